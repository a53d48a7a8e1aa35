"""The gate that repeats every step of a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cartpole_phys.data.d4rl import Contents
from cartpole_phys.data.verdict import CannotTell, GateFailure, different, first_row, inside, need, system_of
from cartpole_phys.errors import InputError
from cartpole_phys.stepping.columns import Columns
from cartpole_phys.system import PARAM_NAMES, CartPole

Array = npt.NDArray[Any]

SLICE = 65_536  # rows that are repeated at once, so that memory does not grow with the file


def replay(contents: Contents) -> str:
    """Stored state, action, push and parameters give the next state, observation, reward and flag.

    To the last bit; sensors' errors are drawn again from their stored key. An episode's first observation is
    what its first state gives, and its parameters stay as they were drawn.
    """
    system = system_of(contents)
    rows = _rows(contents, system)
    within = np.append(inside(contents), False)
    if "params" in rows:
        _check_params(rows["params"], system, within)
    for start in range(0, len(within), SLICE):
        piece = {name: array[start : start + SLICE] for name, array in rows.items()}
        following = rows["states"][start + 1 : start + SLICE + 1]
        for what, wrong in _differences(system, piece, following, within[start : start + SLICE]).items():
            if wrong.any():
                row = start + first_row(wrong)
                raise GateFailure(f"the {what} of row {row} is not what the physics gives")
    return f"{len(within):,} steps repeated to the last bit"


def _check_params(params: Array, system: CartPole, within: npt.NDArray[np.bool_]) -> None:
    """An episode keeps its parameters: in their ranges, or the environment's where none is drawn."""
    changed = within[:-1] & different(params[1:], params[:-1])
    if changed.any():
        raise GateFailure(f"the parameters change after row {first_row(changed)}, inside an episode")
    ranges = {name: (low, high) for name, low, high in system.randomize}
    fixed = zip(PARAM_NAMES, system.params.values, strict=True)
    ends = np.array([ranges.get(name, (value, value)) for name, value in fixed])  # (8, 2)
    outside = ((params < ends[:, 0]) | (params > ends[:, 1])).any(axis=1)
    if outside.any():
        raise GateFailure(f"the parameters of row {first_row(outside)} are not of this environment")


def _rows(contents: Contents, system: CartPole) -> dict[str, Array]:
    """What is needed of every row, by name."""
    qpos, qvel, pushes, actions = need(contents, "infos/qpos", "infos/qvel", "infos/push", "actions")
    (observations,) = need(contents, "observations")
    following, rewards, terminals = need(contents, "next_observations", "rewards", "terminals")
    rows = {
        "states": np.stack([qpos[:, 0], qvel[:, 0], qpos[:, 1], qvel[:, 1]], axis=1),  # (N, 2) × 2 -> (N, 4)
        "elapsed": _elapsed(inside(contents)),
        "observations": observations.astype(np.float32),
        "pushes": pushes,
        "actions": actions,
        "following": following.astype(np.float32),
        "rewards": rewards,
        "terminals": terminals.astype(np.bool_),
    }
    if system.randomize:
        (rows["params"],) = need(contents, "infos/params")
    if system.noisy:
        (rows["noise_key"],) = need(contents, "infos/noise_key")
    return rows


def _elapsed(within: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """How many steps of its episode came before each row, shape (N,)."""
    index = np.arange(len(within) + 1)
    starts = np.concatenate([[True], ~within])
    return index - np.maximum.accumulate(np.where(starts, index, 0))


def _differences(
    system: CartPole, rows: Mapping[str, Array], next_states: Array, within: npt.NDArray[np.bool_]
) -> dict[str, npt.NDArray[np.bool_]]:
    """What each row of a piece says wrongly, by kind, each (N,); ``next_states`` may lack the last."""
    columns = Columns(system, len(within))
    columns.settings["push_probability"] = 0.0  # the stored pushes, not new ones
    columns.states[:], columns.pushes[:] = rows["states"].T, rows["pushes"]  # (N, 4) -> (4, N)
    if "params" in rows:
        columns.params[:] = rows["params"].T  # (N, 8) -> (8, N)
    if "noise_key" in rows:
        columns.keys[:], columns.episodes[:] = rows["noise_key"].T  # (N, 2) -> (2, N)
    columns.elapsed[:] = rows["elapsed"]
    begun = (rows["elapsed"] == 0) & different(columns.observe(), rows["observations"])
    try:
        columns.set_actions(rows["actions"])
    except InputError as error:
        raise CannotTell(str(error)) from error
    stepped = columns.step()
    state_differs = np.zeros(len(within), dtype=np.bool_)
    state_differs[: len(next_states)] = different(columns.states.T[: len(next_states)], next_states)
    return {
        "observation": begun,
        "next state": within & state_differs,
        "next observation": different(stepped.observations, rows["following"]),
        "reward": rows["rewards"] != stepped.rewards.astype(np.float32),
        "terminal flag": rows["terminals"] != stepped.terminated,
    }
