"""Endurance test: 10⁹ random steps with random parameters, without a NaN: ``python -m benchmarks.endurance``.

Every environment has its own parameters within the ranges that ``physics.RANGES`` documents: half of them
log-uniform, a quarter uniform and a quarter at the corners; new ones every ``STEPS_A_DRAW`` steps. Actions
are uniform, at the corners the full force in either direction. All tasks and integrators take turns.
"""

from __future__ import annotations

import time
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe, write_json
from cartpole_phys import commands
from cartpole_phys.batch import Columns
from cartpole_phys.kernels.integrators import INTEGRATORS
from cartpole_phys.physics import DAMPING_LIMIT, RANGES
from cartpole_phys.system import PARAM_NAMES, CartPole
from cartpole_phys.tasks import TASKS
from cartpole_phys.utils.typing import FloatArray

RESULT = Path(__file__).parent / "results" / "endurance.json"
TOTAL_STEPS = 1_000_000_000
NUM_ENVS = 8_192
STEPS_A_DRAW = 500


def draw_params(generator: np.random.Generator, count: int) -> FloatArray:
    """Parameters (8, n) within their ranges, the first quarter at corners and the next one uniform.

    Among the others, which are log-uniform, each kind of friction is absent in a quarter.
    """
    low, high = np.array([RANGES[name] for name in PARAM_NAMES[:6]]).T[..., None]
    shares = generator.uniform(size=(8, count))
    corners, uniform = np.arange(count) < count // 4, np.arange(count) < count // 2
    shares[:, corners] = np.round(shares[:, corners])
    drawn = np.empty_like(shares)
    drawn[:6] = np.where(uniform, low + (high - low) * shares[:6], low * (high / low) ** shares[:6])
    drawn[:6] = np.clip(drawn[:6], low, high)  # what rounding leaves outside
    absent = (generator.uniform(size=(2, count)) < 0.25) & ~uniform
    _, _, pole_mass, half_length, _, time_step = drawn[:6]
    drawn[6] = RANGES["cart_friction"][1] * shares[6]
    drawn[7] = DAMPING_LIMIT * pole_mass * half_length**2 / time_step * shares[7]
    drawn[6:][absent] = 0.0
    return drawn


def draw_actions(generator: np.random.Generator, count: int) -> npt.NDArray[np.float32]:
    """Actions (n, 1): the full force to either side for the quarter at corners, else uniform."""
    actions = generator.uniform(-1.0, 1.0, (count, 1))
    actions[: count // 4] = np.sign(actions[: count // 4])
    return actions.astype(np.float32)


def endure(task: str, integrator: str, steps: int, seed: int) -> dict[str, Any]:
    """Take random steps in one task with one integrator, and count episodes and non-finite steps.

    A step counts as non-finite if its state or observation is, or if its reward is outside [0, 1].
    """
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
            columns.select_kernels()
            columns.begin()
        columns.set_actions(draw_actions(generator, NUM_ENVS))
        stepped = columns.step(restart=True)
        finite = np.isfinite(columns.states).all(axis=0) & np.isfinite(stepped.observations).all(axis=1)
        not_finite += int((~(finite & (stepped.rewards >= 0.0) & (stepped.rewards <= 1.0))).sum())
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
    """Run all tasks with all integrators, with an equal share of the steps each."""
    cases = list(product(TASKS, INTEGRATORS))
    return [endure(*case, steps=total // len(cases), seed=seed) for seed, case in enumerate(cases)]


def table(rows: list[dict[str, Any]]) -> Table:
    """The result as a table for the terminal."""
    cells = [
        [
            row["task"],
            row["integrator"],
            *(f"{row[name]:,}" for name in ("steps", "episodes", "not_finite")),
            f"{row['largest']['theta_dot']:.3g}",
            f"{row['seconds']:.0f}",
        ]
        for row in rows
    ]
    return commands.table(
        f"{sum(row['steps'] for row in rows):,} random steps with random parameters",
        ("task", "integrator", "steps", "episodes", "not finite", "largest |θ̇|, rad/s", "seconds"),
        cells,
        text_columns=2,
    )


def endurance(
    steps: Annotated[int, typer.Option(min=1, help="Total number of steps.")] = TOTAL_STEPS,
) -> None:
    """Take random steps with random parameters, and write the result if all steps were taken."""
    rows = measure(steps)
    if steps == TOTAL_STEPS:
        write_json(RESULT, {**describe(), "rows": rows})
    Console().print(table(rows))


if __name__ == "__main__":
    commands.run_single(endurance)
