"""Seconds to the first step, and bytes per environment: ``python -m benchmarks.speeds.startup``.

A cold process finds no cached kernels and compiles them; a warm one finds them. The start of Python and the
imports of Gymnasium and NumPy are not counted; CPU time depends less on other load on the machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
from rich.console import Console
from rich.table import Table

import cartpole_phys
from benchmarks.machine import describe, write_json
from cartpole_phys import commands

gym.register_envs(cartpole_phys)

RESULT = Path(__file__).parent.parent / "results" / "startup.json"
ROUNDS = 5
NUM_ENVS = 16_384  # where bytes are counted
PROGRAM = """
import time
import gymnasium as gym
start, cpu = time.perf_counter(), time.process_time()
import cartpole_phys
env = {make}
env.reset(seed=0)
env.step(env.action_space.sample())
print(time.perf_counter() - start, time.process_time() - cpu)
"""
MAKES = {
    "scalar": 'gym.make("PhysCartPole-v0")',
    "vector": 'gym.make_vec("PhysCartPole-v0", num_envs=64)',
}


def seconds_to_first_step(make: str, cache: Path) -> tuple[float, float]:
    """Wall and CPU seconds of a new process from the import to the end of its first step."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-c", PROGRAM.format(make=make)]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    elapsed, cpu = map(float, printed.split())
    return elapsed, cpu


def bytes_an_environment() -> float:
    """Memory per environment, spaces included, from vector environments of two sizes."""

    def kept(num_envs: int) -> int:
        envs = gym.make_vec("PhysCartPole-v0", num_envs=num_envs)
        envs.reset(seed=0)
        envs.step(np.zeros((num_envs, 1), dtype=np.float32))
        return tracemalloc.get_traced_memory()[0]

    kept(NUM_ENVS)  # imports
    tracemalloc.start()
    small, large = kept(NUM_ENVS), kept(2 * NUM_ENVS)
    tracemalloc.stop()
    return (large - small) / NUM_ENVS


def measure() -> dict[str, Any]:
    """Medians of cold and warm starts, and bytes per environment."""
    rows = []
    for name, make in MAKES.items():
        cold, warm = [], []
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as folder:
                cold.append(seconds_to_first_step(make, Path(folder)))
                warm.append(seconds_to_first_step(make, Path(folder)))
        row: dict[str, Any] = {"environment": name}
        for kind, measured in (("cold", cold), ("warm", warm)):
            elapsed, cpu = (median(values) for values in zip(*measured, strict=True))
            row |= {f"{kind}_seconds": elapsed, f"{kind}_cpu_seconds": cpu}
        rows.append(row)
    return {"rounds": ROUNDS, "rows": rows, "bytes_an_environment": bytes_an_environment()}


def table(result: dict[str, Any]) -> Table:
    """The result as a table for the terminal."""
    kinds = ("cold", "cold_cpu", "warm", "warm_cpu")
    rows = [
        [row["environment"], *(f"{row[f'{kind}_seconds']:.2f}" for kind in kinds)] for row in result["rows"]
    ]
    return commands.table(
        f"Seconds to the first step, medians of {result['rounds']} rounds",
        ("environment", *(kind.replace("_cpu", ", CPU") for kind in kinds)),
        rows,
        caption=f"{result['bytes_an_environment']:.0f} bytes per environment",
    )


def main() -> None:
    """Measure, print and write the result."""
    result = measure()
    write_json(RESULT, {**describe(), **result})
    Console().print(table(result))


if __name__ == "__main__":
    main()
