"""Pickled lists of trajectory dictionaries, the format of the original Decision Transformer code.

That code reads no other format than pickle. Reading admits only NumPy arrays and plain containers, since any
other name in a pickle could run code, and takes memory linear in the file's size.

Source: github.com/kzl/decision-transformer, ``gym/data/download_d4rl_datasets.py``.
"""

from __future__ import annotations

import mmap
import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cartpole_phys.data.exports.restricted_unpickler import ArrayBudget, ArrayUnpickler
from cartpole_phys.episodes import Episodes
from cartpole_phys.episodes.d4rl_layout import with_row_values
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import Array

SUFFIX = ".pkl"
PROTOCOL = 4  # readable by Python 3.8, which the Decision Transformer's own code needs
REQUIRED = ("observations", "actions", "rewards")
KEYS = (*REQUIRED, "next_observations", "terminals", "dones")


def write(data: Episodes, path: Path) -> None:
    """Write all episodes, with ``timeouts``, which the original code ignores."""
    flat = data.as_d4rl()
    names = ("observations", "next_observations", "actions", "rewards", "terminals", "timeouts")
    bounds = zip(data.offsets[:-1], data.offsets[1:], strict=True)
    trajectories = [{name: flat[name][start:stop] for name in names} for start, stop in bounds]
    with path.open("wb") as file:
        pickle.dump(trajectories, file, PROTOCOL)


def read(path: str | os.PathLike[str]) -> Episodes:
    """Read the episodes of a pickled list of dictionaries.

    Args:
        path: pickle of a list with one dictionary per episode: ``observations`` (T, obs), ``actions``
            (T, act) or (T,), ``rewards`` (T,), and optionally ``next_observations``, and ``terminals`` or
            ``dones``. Other keys are ignored.

    Raises:
        InputError: if the file contains anything but arrays and containers, or is not such a list.
    """
    try:
        with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            budget = ArrayBudget(len(content))
            trajectories = ArrayUnpickler(content).load()
    except InputError:
        raise
    except Exception as error:  # a corrupt pickle may raise anything
        raise InputError(
            f"Expected a pickled list of episodes, but {os.fspath(path)!r} cannot be read ({error})."
        ) from error
    if not isinstance(trajectories, list) or not trajectories:
        raise InputError(
            f"Expected a list of episodes in {os.fspath(path)!r}, got {type(trajectories).__name__}."
        )
    episodes = [_read_episode(item, number, budget) for number, item in enumerate(trajectories)]
    return Episodes.from_d4rl(_concatenated(episodes))


def _read_episode(trajectory: Any, number: int, budget: ArrayBudget) -> dict[str, Array]:
    """Numeric arrays of one episode under D4RL's keys.

    Raises:
        InputError: if the trajectory is not such a dictionary.
    """
    try:
        arrays = _arrays(trajectory, number, budget)
    except InputError:
        raise
    except (IndexError, MemoryError, OverflowError, TypeError, ValueError) as error:  # ragged or not numeric
        raise InputError(
            f"Expected numeric arrays with one row per step in episode {number}, got others ({error})."
        ) from error
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise InputError(f"Expected a numeric array {name} in episode {number}, got {array.dtype}.")
    return arrays


def _arrays(trajectory: Any, number: int, budget: ArrayBudget) -> dict[str, Array]:
    """Arrays of one episode under D4RL's keys, with a flag at the last row.

    Raises:
        InputError: if an array is missing, or lengths differ.
    """
    if not isinstance(trajectory, Mapping) or not all(name in trajectory for name in REQUIRED):
        raise InputError(f"Expected episode {number} as a dictionary with {', '.join(REQUIRED)}.")
    arrays = {name: budget.array(trajectory[name]) for name in KEYS if name in trajectory}
    observations, rewards = arrays["observations"], np.ravel(arrays["rewards"])  # (T,) or (T, 1) -> (T,)
    steps = len(rewards)
    flags = np.ravel(arrays.get("terminals", arrays.get("dones", np.zeros(steps))))
    terminals = with_row_values("terminals", flags).copy()
    next_observations = arrays.get("next_observations", np.concatenate([observations[1:], observations[-1:]]))
    episode = {
        "observations": observations,
        "next_observations": next_observations,
        "actions": arrays["actions"],
        "rewards": rewards,
        "terminals": terminals,
        "timeouts": np.zeros(steps, np.bool_),
    }
    if not steps or any(len(array) != steps for array in episode.values()):
        lengths = ", ".join(f"{name} {len(array)}" for name, array in episode.items())
        raise InputError(f"Expected arrays of equal, nonzero length in episode {number}, got {lengths}.")
    episode["terminals"][:-1] = False  # each dictionary is one episode, regardless of flags inside it
    episode["timeouts"][-1] = not terminals[-1]
    return episode


def _concatenated(episodes: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Concatenate the arrays of all episodes.

    Raises:
        InputError: if the shapes of rows differ between episodes.
    """
    try:
        return {name: np.concatenate([episode[name] for episode in episodes]) for name in episodes[0]}
    except (MemoryError, ValueError) as error:
        raise InputError(
            f"Expected rows of equal shape in all episodes, got different ones ({error})."
        ) from error
