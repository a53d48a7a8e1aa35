"""Replay of stored steps in this package's environments, with the compiled step of rollouts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cartpole_phys.arguments import LARGEST_START
from cartpole_phys.backends.base import (
    FLAGS,
    Layout,
    NotReplayable,
    changed_next,
    different,
    elapsed,
    followed,
)
from cartpole_phys.batch import Columns
from cartpole_phys.system import PARAM_NAMES, CartPole
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import Array, Flags, FloatArray


def state_layout(system: CartPole) -> Layout:
    """The infos needed for replay: state, push, randomized parameters and noise key."""
    drawn: dict[str, tuple[str, tuple[int, ...]]] = {}
    if system.randomize:
        drawn["params"] = ("<f8", (len(PARAM_NAMES),))
    if system.noisy:
        drawn["noise_key"] = ("<u8", (2,))
    return {"qpos": ("<f8", (2,)), "qvel": ("<f8", (2,)), "push": ("<f8", ()), **drawn}


def native_layout(system: CartPole) -> Layout:
    """The arrays used in a replay."""
    size = (system.task.observation_size,)
    return {
        **FLAGS,
        "observations": ("<f4", size),
        "next_observations": ("<f4", size),
        "actions": ("<f4", (1,)) if system.continuous else ("<i8", ()),
        **{f"infos/{name}": kind for name, kind in state_layout(system).items()},
    }


def states_of(rows: Mapping[str, Array]) -> FloatArray:
    """The states before each step: x (m), ẋ (m/s), θ (rad), θ̇ (rad/s), shape (N, 4)."""
    qpos, qvel = rows["infos/qpos"], rows["infos/qvel"]
    return np.stack([qpos[:, 0], qvel[:, 0], qpos[:, 1], qvel[:, 1]], axis=1)  # (N, 2) × 2 -> (N, 4)


def native_differences(system: CartPole, rows: Mapping[str, Array]) -> dict[str, Flags]:
    """What each row of whole episodes says wrongly, by kind, each (N,); ``rows`` in their types.

    To the last bit; sensors' errors are drawn again from their stored key. An episode's first observation is
    what its first state gives, which a reset has to accept; its parameters stay as they were drawn.

    Raises:
        NotReplayable: on an action that the environment refuses.
    """
    within = followed(rows)
    columns = Columns(system, len(within))
    columns.settings["push_probability"] = 0.0  # the stored pushes, not new ones
    columns.states[:], columns.pushes[:] = states_of(rows).T, rows["infos/push"]  # (N, 4) -> (4, N)
    if system.randomize:
        columns.params[:] = rows["infos/params"].T  # (N, 8) -> (8, N)
    if system.noisy:
        columns.keys[:], columns.episodes[:] = rows["infos/noise_key"].T  # (N, 2) -> (2, N)
    columns.elapsed[:] = elapsed(within)
    begins = columns.elapsed == 0
    begun = begins & different(columns.observe(), rows["observations"])
    try:
        columns.set_actions(rows["actions"])
    except InputError as error:
        raise NotReplayable(str(error)) from error
    stepped = columns.step()
    found = {
        "start state": wrong_starts(begins, states_of(rows)),
        "observation": begun,
        "next state": changed_next(within, columns.states.T, states_of(rows)),
        "next observation": different(stepped.observations, rows["next_observations"]),
        "reward": different(stepped.rewards.astype(np.float32), rows["rewards"]),
        "terminal flag": stepped.terminated != rows["terminals"],
    }
    return {**wrong_params(system, within, rows), **found}


def wrong_starts(begins: Flags, states: FloatArray) -> Flags:
    """Episodes' first rows (N,) in a state (N, 4) that no reset accepts."""
    return begins & ~(np.abs(states) <= LARGEST_START).all(axis=1)  # also where it is NaN


def wrong_params(system: CartPole, within: Flags, rows: Mapping[str, Array]) -> dict[str, Flags]:
    """Rows whose parameters are not in their ranges or the environment's own, or differ from the row before.

    Empty where no parameter is drawn.
    """
    if not system.randomize:
        return {}
    params, ranges = rows["infos/params"], {name: ends for name, *ends in system.randomize}
    fixed = zip(PARAM_NAMES, system.params.values, strict=True)
    ends = np.array([ranges.get(name, (value, value)) for name, value in fixed])  # (8, 2)
    outside = (params < ends[:, 0]) | (params > ends[:, 1])
    wrong = np.asarray(outside.any(axis=1))
    wrong[1:] |= within[:-1] & different(params[1:], params[:-1])
    return {"parameters": wrong}
