"""The wheel: built from a copy of the sources, installed and used in a new environment."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from zipfile import ZipFile

import pytest

from cartpole_phys.numeric.compiled import CACHE_FOLDER

ROOT = Path(__file__).parents[2]
# Hidden folders hold environments and caches; build/ and *.egg-info would add stale files to the wheel.
NOT_SOURCES = (".*", "build", "dist", "demo-output", "benchmark-data", "*.egg-info", "__pycache__", "*.hdf5")

USE = """
import sys
from importlib.resources import files
from pathlib import Path

import gymnasium as gym
import numpy as np

env = gym.make("cartpole_phys:PhysCartPole-v0")
observation, _ = env.reset(seed=0)
for _ in range(3):
    observation, reward, terminated, truncated, _ = env.step(np.zeros(1, np.float32))
    assert observation.shape == (4,) and reward == 1.0 and not terminated and not truncated

envs = gym.make_vec("cartpole_phys:PhysCartPole-v0", num_envs=3)
envs.reset(seed=0)
observations = envs.step(np.zeros((3, 1), np.float32))[0]
assert observations.shape == (3, 4)

import cartpole_phys

assert Path(cartpole_phys.__file__).is_relative_to(sys.prefix), cartpole_phys.__file__
assert files("cartpole_phys").joinpath("py.typed").is_file()
assert 0 < cartpole_phys.normalized_score("PhysCartPole-v0", [100.0]) < 100
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the sources, so the checkout does not change."""
    sources, out = tmp_path_factory.mktemp("sources") / "repository", tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, sources, ignore=shutil.ignore_patterns(*NOT_SOURCES))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    _run([*command, "--wheel-dir", str(out), str(sources)], sources)
    (built,) = out.glob("*.whl")
    return built


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command with a folder as working directory and home; failures include the output.

    Without this process's module paths, and with caches that go away with the folder, but for machine code:
    that of the same kernels is the same wherever they are installed.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "XDG_"))}
    variables["HOME"] = str(folder)
    cache = folder / ".cache" / "cartpole-phys"
    if not cache.exists():
        cache.mkdir(parents=True)
        (cache / "kernels").symlink_to(CACHE_FOLDER.parent)
    result = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result


def _new_environment(folder: Path, wheel: Path | None) -> Path:
    """Create an environment with access to the installed third-party packages; return its bin folder.

    It does not see the editable install among them: that works through a .pth file, and Python obeys those
    in the environment's own site-packages only, not in a folder that another .pth file names. The wheel goes
    in before that folder is named, because pip would take the other installation for this one.
    """
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], folder.parent)
    paths = sysconfig.get_paths("venv", vars={"base": str(folder), "platbase": str(folder)})
    if wheel is not None:
        python = str(Path(paths["scripts"]) / "python")
        command = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index"]
        _run([*command, str(wheel)], folder.parent)
    here = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(paths["purelib"]) / "third-party.pth").write_text("\n".join(sorted(here)) + "\n", "utf-8")
    return Path(paths["scripts"])


def test_wheel_contains_only_the_package(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    package = ROOT / "cartpole_phys"
    sources = {path.relative_to(ROOT).as_posix() for path in package.rglob("*.py")}
    assert sources | {"cartpole_phys/py.typed", "cartpole_phys/data/references.json"} <= names
    folders = {name.split("/")[0] for name in names}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {"cartpole_phys"}


def test_installed_wheel_works(wheel: Path, tmp_path: Path) -> None:
    executables = _new_environment(tmp_path / "environment", wheel)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    _run([str(executables / "python"), "-c", USE], elsewhere)
    for command in ("cartpole-phys", "build-dataset"):
        assert "Usage:" in _run([str(executables / command), "--help"], elsewhere).stdout


def test_without_the_wheel_the_import_fails(tmp_path: Path) -> None:
    executables = _new_environment(tmp_path / "environment", None)
    with pytest.raises(AssertionError, match="No module named 'cartpole_phys'"):
        _run([str(executables / "python"), "-c", USE], tmp_path)
