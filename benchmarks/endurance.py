"""A billion random steps with random parameters, without a NaN: ``python -m benchmarks.endurance``.

Every environment has parameters of its own, log-uniform in the ranges that ``physics.RANGES`` documents, and
new ones every ``STEPS_A_DRAW`` steps; actions are uniform. All tasks and integrators take turns.
"""

from __future__ import annotations

import json
import time
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from cartpole_phys import commands
from cartpole_phys.integrators import INTEGRATORS
from cartpole_phys.physics import DAMPING_LIMIT, RANGES
from cartpole_phys.stepping.columns import Columns
from cartpole_phys.system import PARAM_NAMES, CartPole
from cartpole_phys.task import TASKS

FloatArray = npt.NDArray[np.float64]

RESULT = Path(__file__).parent / "results" / "endurance.json"
TOTAL_STEPS = 1_000_000_000
NUM_ENVS = 8_192
STEPS_A_DRAW = 500


def draw_params(generator: np.random.Generator, count: int) -> FloatArray:
    """Parameters (8, n) within their ranges; each kind of friction is absent in a quarter of them."""
    drawn = np.empty((len(PARAM_NAMES), count))
    for row, name in enumerate(PARAM_NAMES[:6]):
        low, high = RANGES[name]
        drawn[row] = np.exp(generator.uniform(np.log(low), np.log(high), count))
    _, _, pole_mass, half_length, _, time_step = drawn[:6]
    largest = RANGES["cart_friction"][1], DAMPING_LIMIT * pole_mass * half_length**2 / time_step
    for row, limit in zip((6, 7), largest, strict=True):
        drawn[row] = limit * generator.uniform(size=count) * (generator.uniform(size=count) > 0.25)
    return drawn


def endure(task: str, integrator: str, steps: int, seed: int) -> dict[str, Any]:
    """Random steps of one task with one integrator: what became of them."""
    generator = np.random.default_rng(seed)
    columns = Columns(CartPole(integrator=integrator, task=TASKS[task]), NUM_ENVS)
    columns.keys[:] = generator.integers(0, 2**63, NUM_ENVS, dtype=np.uint64)
    not_finite = episodes = 0
    largest = np.zeros(4)
    rounds = -(-steps // NUM_ENVS)
    start = time.perf_counter()
    for i in range(rounds):
        if i % STEPS_A_DRAW == 0:
            columns.params[:] = draw_params(generator, NUM_ENVS)
            columns.look_for_differences()
            columns.begin()
        columns.set_actions(generator.uniform(-1.0, 1.0, (NUM_ENVS, 1)).astype(np.float32))
        stepped = columns.step(restart=True)
        not_finite += int((~np.isfinite(columns.states)).any(axis=0).sum())
        episodes += int((stepped.terminated | stepped.truncated).sum())
        largest = np.fmax(largest, np.abs(columns.states).max(axis=1))
    return {
        "task": task,
        "integrator": integrator,
        "steps": rounds * NUM_ENVS,
        "episodes": episodes,
        "not_finite": not_finite,
        "largest": dict(zip(("x", "x_dot", "theta", "theta_dot"), largest.tolist(), strict=True)),
        "seconds": time.perf_counter() - start,
    }


def measure(total: int) -> list[dict[str, Any]]:
    """All tasks with all integrators, with an equal share of the steps each."""
    cases = list(product(TASKS, INTEGRATORS))
    return [endure(*case, steps=total // len(cases), seed=seed) for seed, case in enumerate(cases)]


def table(rows: list[dict[str, Any]]) -> Table:
    """The result for the terminal."""
    drawn = Table(title=f"{sum(row['steps'] for row in rows):,} random steps with random parameters")
    for heading in ("task", "integrator", "steps", "episodes", "not finite", "largest |θ̇|, rad/s", "seconds"):
        drawn.add_column(heading)
    for row in rows:
        numbers = f"{row['steps']:,}", f"{row['episodes']:,}", f"{row['not_finite']:,}"
        spin = f"{row['largest']['theta_dot']:.3g}"
        drawn.add_row(row["task"], row["integrator"], *numbers, spin, f"{row['seconds']:.0f}")
    return drawn


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def endurance(steps: Annotated[int, typer.Option(min=1, help="In all.")] = TOTAL_STEPS) -> None:
    """Take random steps with random parameters, and write what became of them if they are all."""
    rows = measure(steps)
    if steps == TOTAL_STEPS:
        RESULT.write_text(json.dumps({**describe(), "rows": rows}, indent=2) + "\n", "utf-8")
    Console().print(table(rows))


if __name__ == "__main__":
    commands.run(app)
