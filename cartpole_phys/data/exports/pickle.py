"""Pickled lists of dictionaries, one an episode, as the Decision Transformer's own code reads them.

They are written with pickle, because nothing else is read there. Reading admits NumPy arrays and plain
containers only: any other name in a pickle could run code. It takes memory linear in the file's size.

Source: github.com/kzl/decision-transformer, ``gym/data/download_d4rl_datasets.py``.
"""

from __future__ import annotations

import mmap
import os
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cartpole_phys.data.exports.restricted_unpickler import ArrayBudget, ArrayUnpickler
from cartpole_phys.episodes import Episodes
from cartpole_phys.episodes.d4rl_layout import with_row_values
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import Array

SUFFIX = ".pkl"
PROTOCOL = 4  # what Python 3.8 reads, which the Decision Transformer's own code needs
REQUIRED = ("observations", "actions", "rewards")
READ = (*REQUIRED, "next_observations", "terminals", "dones")


def write(data: Episodes, path: Path) -> None:
    """Write all episodes; ``timeouts`` stand beside ``terminals``, which the original code does not read."""
    flat = data.as_d4rl()
    names = ("observations", "next_observations", "actions", "rewards", "terminals", "timeouts")
    bounds = zip(data.offsets[:-1], data.offsets[1:], strict=True)
    trajectories = [{name: flat[name][start:stop] for name in names} for start, stop in bounds]
    with path.open("wb") as file:
        pickle.dump(trajectories, file, PROTOCOL)


def read(path: str | os.PathLike[str]) -> Episodes:
    """The episodes of a pickled list of dictionaries.

    Args:
        path: holds a list with a dictionary of ``observations`` (T, obs), ``actions`` (T, act) or (T,),
            ``rewards`` (T,) and, where there are some, ``next_observations``, ``terminals`` or ``dones``,
            and ``timeouts`` for each episode.

    Raises:
        InputError: if the file asks for anything but arrays and containers, or holds something else.
    """
    try:
        with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            budget = ArrayBudget(len(content))
            trajectories = ArrayUnpickler(content).load()
    except InputError:
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise InputError(
            f"Expected a pickled list of episodes, but {os.fspath(path)!r} cannot be read ({error})."
        ) from error
    if not isinstance(trajectories, list) or not trajectories:
        raise InputError(
            f"Expected a list of episodes in {os.fspath(path)!r}, got {type(trajectories).__name__}."
        )
    checked = [_checked(one, number, budget) for number, one in enumerate(trajectories)]
    return Episodes.from_d4rl(_joined(checked))


def _checked(trajectory: Any, number: int, budget: ArrayBudget) -> dict[str, Array]:
    """One episode under D4RL's keys.

    Raises:
        InputError: if it is none.
    """
    try:
        arrays = _arrays(trajectory, number, budget)
    except InputError:
        raise
    except (IndexError, MemoryError, OverflowError, TypeError, ValueError) as error:  # ragged, no numbers
        raise InputError(f"Expected arrays of rows in episode {number}, got others ({error}).") from error
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise InputError(f"Expected numbers as {name} in episode {number}, got {array.dtype}.")
    return arrays


def _arrays(trajectory: Any, number: int, budget: ArrayBudget) -> dict[str, Array]:
    """One episode under D4RL's keys, its last row flagged.

    Raises:
        InputError: if it lacks an array, or they differ in length.
    """
    if not isinstance(trajectory, Mapping) or not all(name in trajectory for name in REQUIRED):
        raise InputError(f"Expected episode {number} as a dictionary with {', '.join(REQUIRED)}.")
    arrays = {name: budget.array(trajectory[name]) for name in READ if name in trajectory}
    observations, rewards = arrays["observations"], np.ravel(arrays["rewards"])  # (T,) or (T, 1) -> (T,)
    steps = len(rewards)
    flags = np.ravel(arrays.get("terminals", arrays.get("dones", np.zeros(steps))))
    terminals = with_row_values("terminals", flags).copy()
    following = arrays.get("next_observations", np.concatenate([observations[1:], observations[-1:]]))
    found = {
        "observations": observations,
        "next_observations": following,
        "actions": arrays["actions"],
        "rewards": rewards,
        "terminals": terminals,
        "timeouts": np.zeros(steps, np.bool_),
    }
    if not steps or any(len(array) != steps for array in found.values()):
        lengths = ", ".join(f"{name} {len(array)}" for name, array in found.items())
        raise InputError(f"Expected arrays of one length above 0 in episode {number}, got {lengths}.")
    found["terminals"][:-1] = False  # an episode is a dictionary, whatever stands inside it
    found["timeouts"][-1] = not terminals[-1]
    return found


def _joined(episodes: Iterable[Mapping[str, Array]]) -> dict[str, Array]:
    """Episodes one after another.

    Raises:
        InputError: if they differ in the shape of their rows.
    """
    listed = list(episodes)
    try:
        return {name: np.concatenate([one[name] for one in listed]) for name in listed[0]}
    except (MemoryError, ValueError) as error:
        raise InputError(f"Expected episodes of one kind, got rows of different shapes ({error}).") from error
