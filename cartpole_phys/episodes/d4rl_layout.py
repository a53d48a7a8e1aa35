"""Conversion of the layouts of D4RL's own data sets to that of ``Episodes``.

::

    data set             differs in
    maze2d, Adroit       no next_observations
    antmaze              no next_observations; rewards and terminals are float64
    kitchen, CARLA       neither next_observations nor timeouts; terminals are float32
    any                  rewards and flags may be columns (N, 1), as D4RL's get_dataset accepts

Source: github.com/Farama-Foundation/D4RL, ``d4rl/offline_env.py`` and ``scripts/generation``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import Array, Flags

REQUIRED = ("observations", "actions", "rewards", "terminals")  # in each of D4RL's data sets
COLLECTION_CUT = "infos/collection_cut"
FLAGS = ("terminals", "timeouts", COLLECTION_CUT)
ONE_VALUE = ("rewards", *FLAGS)  # per row


def with_row_values(name: str, array: Array) -> Array:
    """Convert rewards and flags from (N, 1) to (N,), and flags to bool; other arrays are unchanged.

    Raises:
        InputError: if a flag is neither 0 nor 1.
    """
    if name in ONE_VALUE and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if name in FLAGS:
        require_flags(name, array)
        return array.astype(np.bool_, copy=False)
    return array


def require_flags(name: str, array: Array) -> None:
    """Check that flags are 0 or 1; bool arrays from untrusted files may hold other bytes.

    Raises:
        InputError: if one is neither 0 nor 1; of a bool array, if its byte is neither.
    """
    values = np.ascontiguousarray(array).view(np.uint8) if array.dtype == np.bool_ else array
    wrong = ~((values == 0) | (values == 1))
    if wrong.any():
        raise InputError(f"Expected {name} to be 0 or 1, got {values[wrong][0]}; correct the flags.")


def completed(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Flat arrays with ``timeouts`` and ``next_observations``, which are derived if missing.

    * Without ``timeouts``, episodes end at terminals, and where a next observation differs from the
      observation of the following row.
    * Without ``next_observations``, these are the observations of the following row, as in D4RL's
      ``qlearning_dataset``, which uses that row even after a terminal. The last row of an episode that timed
      out has no known next observation, nor does the very last row unless it is a terminal. Such a row is
      dropped with its reward, and the episode ends with the row before.

    Raises:
        InputError: if an array of ``REQUIRED`` is missing, rewards or flags have more than one value per row,
            or a flag is neither 0 nor 1.
    """
    found = with_timeouts(arrays)
    return found if "next_observations" in found else _with_next_observations(found)


def with_timeouts(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Flat arrays with ``timeouts``, which are derived if missing; see ``completed``."""
    found = {name: with_row_values(name, np.asarray(array)) for name, array in arrays.items()}
    _require_rows(found)
    if "timeouts" not in found:
        found["timeouts"] = _derived_timeouts(found)
    return found


def _require_rows(arrays: Mapping[str, Array]) -> None:
    """Check that all arrays are present, with D4RL's shapes.

    Raises:
        InputError: if an array is missing or has another shape.
    """
    missing = [name for name in REQUIRED if name not in arrays]
    if missing:
        raise InputError(
            f"Expected D4RL's arrays {', '.join(REQUIRED)}, but {missing[0]!r} is missing; add it."
        )
    rows = arrays["rewards"].shape[:1]
    expected = {
        **dict.fromkeys(ONE_VALUE, rows),
        **{name: rows + arrays[name].shape[1:] for name in ("observations", "actions")},
        "next_observations": arrays["observations"].shape,
    }
    for name, shape in expected.items():
        if name in arrays and arrays[name].shape != shape:
            raise InputError(f"Expected {name} of shape {shape}, got {arrays[name].shape}.")


def _derived_timeouts(arrays: Mapping[str, Array]) -> Flags:
    """Mask of rows that end an episode without a terminal, derived from next observations."""
    timeouts = np.zeros(len(arrays["rewards"]), np.bool_)
    if "next_observations" in arrays:
        after, observed = arrays["next_observations"][:-1], arrays["observations"][1:]
        other = (after != observed) & ~((after != after) & (observed != observed))  # NaN equals NaN
        timeouts[:-1] = other.reshape(len(other), -1).any(axis=1)  # (N − 1, …) -> (N − 1,)
    return timeouts & ~arrays["terminals"]


def _with_next_observations(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The rows whose next observation is known or that are terminal, with next observations."""
    terminals, observations, rows = arrays["terminals"], arrays["observations"], len(arrays["rewards"])
    left_out = arrays["timeouts"] & ~terminals
    before = np.flatnonzero(left_out[1:] & ~terminals[:-1])  # the new last rows of episodes
    ends = {name: arrays[name].copy() for name in ("timeouts", COLLECTION_CUT) if name in arrays}
    for flags in ends.values():
        flags[before] = flags[before + 1]
    left_out[-1:] = ~terminals[-1:]
    following = np.concatenate([observations[1:], observations[-1:]])
    complete = {**arrays, **ends, "next_observations": following}
    return {
        name: array[~left_out] if array.shape[:1] == (rows,) else array for name, array in complete.items()
    }
