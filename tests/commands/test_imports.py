"""Importing the package is fast and loads no heavy dependency."""

import subprocess
import sys

PROGRAM = """
import gymnasium, sys, time
start = time.perf_counter()
import cartpole_phys
seconds = time.perf_counter() - start
heavy = ("torch", "h5py", "numba", "stable_baselines3", "pygame", "rich", "typer")
print(seconds < 0.5, [name for name in heavy if name in sys.modules])
"""


def test_import_is_light() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert result.stdout.split(maxsplit=1) == ["True", "[]\n"]
