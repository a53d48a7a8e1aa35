"""Replay of stored steps in any Gymnasium environment whose state can be restored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cartpole_phys.backends.base import changed_next, different, elapsed, followed
from cartpole_phys.backends.make import Env, suppress_warnings
from cartpole_phys.backends.simulator_state import PhysicsState
from cartpole_phys.utils.typing import Array, Flags


class _Repeated(NamedTuple):
    """The results of N replayed steps."""

    states: dict[str, Array]  # after each step, each (N, k)
    observations: npt.NDArray[np.float32]  # (N, obs), after each step
    rewards: npt.NDArray[np.float32]  # (N,)
    terminated: Flags  # (N,)
    wrong_state: Flags  # (N,), first rows with inconsistent state arrays
    wrong_observation: Flags  # (N,), first rows whose observation does not match the state


def gymnasium_differences(env: Env, physics: PhysicsState, rows: Mapping[str, Array]) -> dict[str, Flags]:
    """Replay rows of whole episodes, and return masks (N,) of differing rows, by kind.

    Args:
        env: an environment of the same kind as in the data set.
        physics: reads and restores its state.
        rows: D4RL arrays by name, in their types.

    Raises:
        Exception: any exception of the environment on an invalid state or action.
    """
    within = followed(rows)
    with suppress_warnings(), np.errstate(all="ignore"):
        repeated = _repeat(env, physics, rows, elapsed(within))
    next_state = np.zeros(len(within), dtype=np.bool_)
    for name, states in repeated.states.items():
        next_state |= changed_next(within, states, rows[f"infos/{name}"])
    return {
        "state": repeated.wrong_state,
        "observation": repeated.wrong_observation,
        "next state": next_state,
        "next observation": different(repeated.observations, rows["next_observations"]),
        "reward": different(repeated.rewards, rows["rewards"]),
        "terminal flag": repeated.terminated != rows["terminals"],
    }


def _repeat(env: Env, physics: PhysicsState, rows: Mapping[str, Array], steps: Array) -> _Repeated:
    """Restore and step row after row; each episode begins with a reset, for whatever no state tells."""
    bare: Any = env.unwrapped
    stored = {name: rows[f"infos/{name}"] for name in physics.layout}
    repeated = _Repeated(
        {name: np.empty_like(array) for name, array in stored.items()},
        np.empty_like(rows["observations"]),
        np.empty_like(rows["rewards"]),
        *(np.zeros(len(steps), dtype=np.bool_) for _ in range(3)),
    )
    for row, step in enumerate(steps):
        state = {name: array[row] for name, array in stored.items()}
        if step == 0:
            env.reset(seed=0)
        physics.restore(bare, state, int(step))
        if step == 0:
            read, seen = physics.read(bare), np.asarray(physics.observe(bare), dtype=np.float32)
            repeated.wrong_state[row] = any(_differs(read[name], state[name]) for name in state)
            repeated.wrong_observation[row] = _differs(seen, rows["observations"][row])
        action = rows["actions"][row]
        repeated.observations[row], repeated.rewards[row], repeated.terminated[row], _, _ = env.step(
            action.copy()
        )
        for name, values in physics.read(bare).items():
            repeated.states[name][row] = values
    return repeated


def _differs(a: Array, b: Array) -> bool:
    """Whether two arrays of one type differ in any bit."""
    return a.tobytes() != b.tobytes()
