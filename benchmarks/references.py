"""Measure the reference returns of the normalized score: ``python -m benchmarks.references``.

The lowest reference is the mean of 1,000 episodes of uniformly random actions; the highest that of the
best known policy, which balances every episode to the time limit, swings up in one swing, or comes from value
iteration.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cartpole_phys
from benchmarks.machine import write_json
from benchmarks.pendulum_reference import GRID, PendulumReference
from cartpole_phys.backends.base import Backend, PolicySource
from cartpole_phys.backends.resolve import make_backend
from cartpole_phys.data.score import mean_interval
from cartpole_phys.policies.controllers import DAMPING_RATIO, proportional, swing_up, uniform
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError

PATH = Path(cartpole_phys.__file__).parent / "data" / "references.json"
FOREIGN_IDS = ("Pendulum-v1",)
EPISODES = 1_000
SEED = 0
BEST_GAIN = 3.0  # 1/rad


def _measure(backend: Backend, policy: PolicySource, name: str) -> dict[str, Any]:
    mean, low, high = mean_interval(backend.play(policy, EPISODES, SEED).returns)
    return {"mean": mean, "low": low, "high": high, "episodes": EPISODES, "seed": SEED, "policy": name}


def measure() -> dict[str, Any]:
    """Both references of every environment id, with 95 % intervals."""
    measured = {}
    for env_id in (*CartPole.known_ids(), *FOREIGN_IDS):
        backend = make_backend(env_id)
        best, name = _best(backend)
        measured[env_id] = {
            "ref_min": _measure(backend, uniform(), "uniformly random"),
            "ref_max": _measure(backend, best, name),
        }
    return measured


def _best(backend: Backend) -> tuple[PolicySource, str]:
    """The best known policy and its name."""
    system = backend.system
    if system is None:
        return PendulumReference(), f"value iteration on {GRID[0]} angles by {GRID[1]} rates"
    if system.task.controller is None:
        raise InputError(f"Expected a best known policy for the task {system.task.name!r}; add it to _best.")
    if system.task.controller == "swing_up":
        return swing_up(system.params), "energy shaping, then the linear-quadratic regulator"
    damping = BEST_GAIN * DAMPING_RATIO
    name = f"proportional control on the tilt, K {BEST_GAIN:g}/rad, D {damping:g} s/rad"
    return proportional(BEST_GAIN, system.continuous, damping), name


if __name__ == "__main__":
    write_json(PATH, measure())
    print(PATH.read_text("utf-8"))
