"""Flat arrays under D4RL's keys, for the tests of what is made of them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from cartpole_phys.policies.heuristic import uniform
from cartpole_phys.rollout import collect
from cartpole_phys.system import CartPole


def flat_data(kind: str, steps: int = 300) -> dict[str, npt.NDArray[Any]]:
    """Small data sets, each with something that D4RL's functions treat in a way of their own."""
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
