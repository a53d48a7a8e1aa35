"""Steps a second beside Gymnasium's own environments: ``python -m benchmarks.environment``.

Both are stepped in turns in one process, so that a noisy machine slows both; the ratio of the medians counts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
from rich.console import Console
from rich.table import Table

import cartpole_phys
from benchmarks.machine import describe

gym.register_envs(cartpole_phys)

OURS, PEER = "PhysCartPoleDiscrete-v0", "CartPole-v1"
ROUNDS = 9
SIZES = (64, 1_024, 4_096, 16_384)
STEPS_A_ROUND = 4_000_000  # environment steps, less for small batches
RESULT = Path(__file__).parent / "results" / "environment.json"


def _vector_steps(env_id: str, num_envs: int) -> Callable[[], float]:
    """A function that steps a vector environment for a round and returns steps a second."""
    envs = gym.make_vec(env_id, num_envs=num_envs)
    envs.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, 2, (32, num_envs))
    repeats = max(32, min(2_000, STEPS_A_ROUND // num_envs))

    def measure() -> float:
        start = time.perf_counter()
        for i in range(repeats):
            envs.step(actions[i % 32])
        return repeats * num_envs / (time.perf_counter() - start)

    return measure


def _scalar_steps(env_id: str) -> Callable[[], float]:
    """Likewise for ``unwrapped.step`` of one environment, resets included."""
    env = gym.make(env_id).unwrapped
    env.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, 2, 10_000).tolist()

    def measure() -> float:
        start = time.perf_counter()
        for action in actions:
            if env.step(action)[2]:
                env.reset()
        return len(actions) / (time.perf_counter() - start)

    return measure


def compare(name: str, ours: Callable[[], float], peer: Callable[[], float]) -> dict[str, Any]:
    """Medians of both and their ratio, with the smallest and largest ratio of a round."""
    ours(), peer()  # compile, warm caches
    rounds = [(ours(), peer()) for _ in range(ROUNDS)]
    ratios = [a / b for a, b in rounds]
    mine, theirs = median(a for a, _ in rounds), median(b for _, b in rounds)
    return {
        "work": name,
        "ours_per_second": mine,
        "peer_per_second": theirs,
        "ratio": mine / theirs,
        "lowest_ratio": min(ratios),
        "highest_ratio": max(ratios),
    }


def measure() -> list[dict[str, Any]]:
    """All comparisons: random actions, with checks, resets and fresh arrays out."""
    rows = [
        compare(f"vector step, {size:,} environments", _vector_steps(OURS, size), _vector_steps(PEER, size))
        for size in SIZES
    ]
    return [*rows, compare("scalar step", _scalar_steps(OURS), _scalar_steps(PEER))]


def table(rows: list[dict[str, Any]]) -> Table:
    """The comparisons for the terminal."""
    drawn = Table(title=f"{OURS} beside Gymnasium's {PEER}, medians of {ROUNDS} rounds")
    for heading in ("work", "ours, steps/s", "Gymnasium, steps/s", "ratio", "spread"):
        drawn.add_column(heading, justify="left" if heading == "work" else "right")
    for row in rows:
        spread = f"{row['lowest_ratio']:.1f} to {row['highest_ratio']:.1f}"
        drawn.add_row(
            row["work"],
            f"{row['ours_per_second']:,.0f}",
            f"{row['peer_per_second']:,.0f}",
            f"{row['ratio']:.1f}×",
            spread,
        )
    return drawn


def main() -> None:
    """Measure, print and write the result."""
    rows = measure()
    RESULT.write_text(json.dumps({**describe(), "rows": rows}, indent=2) + "\n", "utf-8")
    Console().print(table(rows))


if __name__ == "__main__":
    main()
