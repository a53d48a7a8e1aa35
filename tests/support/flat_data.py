"""Flat arrays under D4RL's keys, for the tests of transitions and episodes."""

from collections.abc import Mapping

import numpy as np

from cartpole_phys.policies.controllers import uniform
from cartpole_phys.rollouts.collect import collect
from cartpole_phys.system import CartPole
from cartpole_phys.utils.typing import Array


def flat_data(kind: str, steps: int = 300) -> dict[str, Array]:
    """A small data set of one kind; D4RL's functions treat each kind differently."""
    arrays = collect(CartPole(continuous=kind != "discrete"), uniform(), steps, seed=3).as_d4rl()
    draws = np.random.default_rng(0).random((2, steps))
    if kind == "overlapping flags":
        arrays["terminals"], arrays["timeouts"] = draws < 0.3
    elif kind == "unflagged tail":
        arrays["timeouts"] = np.zeros(steps, dtype=np.bool_)
    elif kind == "float64":
        arrays = {name: array.astype(np.float64) for name, array in arrays.items()}
    elif kind == "no flags":
        arrays["terminals"] = arrays["timeouts"] = np.zeros(steps, dtype=np.bool_)
    elif kind == "time-outs only":
        arrays["terminals"], arrays["timeouts"] = np.zeros(steps, np.bool_), np.ones(steps, np.bool_)
    return arrays


KINDS = (
    "continuous",
    "discrete",
    "overlapping flags",
    "unflagged tail",
    "float64",
    "no flags",
    "time-outs only",
)


def transitions_row_by_row(arrays: Mapping[str, Array], keep_timeouts: bool) -> dict[str, Array]:
    """D4RL's rules for transitions: each row but the last, followed by the next row's observation."""
    kept = [row for row in range(len(arrays["rewards"]) - 1) if keep_timeouts or not arrays["timeouts"][row]]
    columns = {
        "observations": [np.float32(arrays["observations"][row]) for row in kept],
        "actions": [np.float32(arrays["actions"][row]) for row in kept],
        "next_observations": [np.float32(arrays["observations"][row + 1]) for row in kept],
        "rewards": [np.float32(arrays["rewards"][row]) for row in kept],
        "terminals": [bool(arrays["terminals"][row]) for row in kept],
    }
    return {name: np.array(column) for name, column in columns.items()}
