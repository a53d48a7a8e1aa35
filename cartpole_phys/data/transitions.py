"""The data in the two forms of D4RL's ``qlearning_dataset`` and ``sequence_dataset``, without their loops.

By default known faults of D4RL's functions are mended, which each function's documentation lists with the
issues of https://github.com/Farama-Foundation/D4RL that report them; ``strict_d4rl=True`` keeps them, and
gives what D4RL 1.1 gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from cartpole_phys.data.shards import ShardedEpisodes
from cartpole_phys.episodes import Episodes
from cartpole_phys.episodes.d4rl_layout import completed, with_timeouts
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import Array, Flags, IntArray

Data = Episodes | ShardedEpisodes | Mapping[str, Array]

TRANSITION = ("observations", "actions", "next_observations", "rewards", "terminals")


def qlearning_dataset(
    data: Data, terminate_on_end: bool = False, strict_d4rl: bool = False
) -> dict[str, Array]:
    """Transitions as Q-learning takes them.

    Unlike in D4RL's function of this name

    * the next observations are those of the data, also after an episode's last step, where D4RL gives the
      next episode's first one (#145);
    * no row is left out: D4RL drops the last one (#145) and all at which time was up, which here are
      transitions like others, with ``terminals`` false, so that their next observation's value counts;
    * ``terminate_on_end`` does what it is documented to do, while D4RL leaves the flags as they are (#182);
    * discrete actions stay integers, which D4RL makes float32.

    Without ``next_observations``, as in D4RL's own maze2d, antmaze, kitchen and Adroit data sets, nothing is
    known of what followed the last row, or a row at which time was up: these are left out, as D4RL does.

    Args:
        data: episodes, or flat arrays under D4RL's keys, as D4RL's ``get_dataset`` returns them; a folder of
            shards is loaded.
        terminate_on_end: makes ``terminals`` true at the last row of every episode, time-outs included.
        strict_d4rl: returns what D4RL's function returns, the faults above included.

    Returns:
        ``observations`` (N, obs), ``actions`` (N, act) or (N,), ``next_observations`` (N, obs) and
        ``rewards`` (N,), float32 but for discrete actions, and ``terminals`` (N,), bool. Without
        ``strict_d4rl`` they are the data's own arrays wherever these have that type, not copies.

    Raises:
        InputError: if an array that this takes is missing, or has another number of rows; with
            ``strict_d4rl`` also without ``timeouts``.
    """
    flat = _flat(data)
    if strict_d4rl:
        _require_timeouts(flat)
        return _transitions_of_d4rl(with_timeouts(flat), terminate_on_end)
    arrays = completed(flat)
    return {
        "observations": np.asarray(arrays["observations"], dtype=np.float32),
        "actions": _actions(arrays["actions"]),
        "next_observations": np.asarray(arrays["next_observations"], dtype=np.float32),
        "rewards": np.asarray(arrays["rewards"], dtype=np.float32),
        "terminals": _ends(arrays, tail=True) if terminate_on_end else arrays["terminals"],
    }


def sequence_dataset(data: Data, strict_d4rl: bool = False) -> Iterator[dict[str, Array]]:
    """Episode after episode, each a dictionary of all arrays of the data, as views of T rows.

    Unlike in D4RL's function of this name

    * rows after the last flag are an episode too, which D4RL leaves out;
    * arrays that have not one row a step, such as D4RL's own ``metadata/…``, are left out, over which D4RL
      fails (#222).

    Args:
        data: episodes, or flat arrays under D4RL's keys, as D4RL's ``get_dataset`` returns them; a folder of
            shards is loaded.
        strict_d4rl: returns what D4RL's function returns, and refuses what it fails over.

    Raises:
        InputError: if one of D4RL's arrays is missing, or has another number of rows; with ``strict_d4rl``
            also if any other array has, or without ``timeouts``.
    """
    arrays = _flat(data)
    if strict_d4rl:
        _require_timeouts(arrays)
    ends = _ends(with_timeouts(arrays), tail=not strict_d4rl)
    steps = len(arrays["rewards"])
    aligned = {name: array for name, array in arrays.items() if array.shape[:1] == (steps,)}
    if strict_d4rl and len(aligned) < len(arrays):
        unaligned = ", ".join(sorted(arrays.keys() - aligned.keys()))
        raise InputError(
            f"Expected only arrays of {steps:,} rows, over others D4RL fails, but {unaligned} have another "
            "number of rows: leave them out, or leave out strict_d4rl."
        )
    return _pieces(aligned, np.flatnonzero(ends) + 1)


def _flat(data: Data) -> dict[str, Array]:
    """Flat arrays under D4RL's keys."""
    whole = data.load() if isinstance(data, ShardedEpisodes) else data
    flat = whole.as_d4rl() if isinstance(whole, Episodes) else whole
    return {name: np.asarray(array) for name, array in flat.items()}


def _require_timeouts(arrays: Mapping[str, Array]) -> None:
    """Refuse to guess time limits in D4RL's place.

    Raises:
        InputError: if there are no timeouts.
    """
    if "timeouts" not in arrays:
        raise InputError(
            "Expected timeouts, without which D4RL's functions count up to the environment's time limit, got "
            "none; add them, or leave out strict_d4rl."
        )


def _transitions_of_d4rl(arrays: Mapping[str, Array], terminate_on_end: bool) -> dict[str, Array]:
    """What D4RL's qlearning_dataset returns."""
    terminals, timeouts = (arrays[name][:-1] for name in ("terminals", "timeouts"))
    rows = np.arange(len(terminals)) if terminate_on_end else np.flatnonzero(~timeouts)
    # Out of no rows NumPy makes float64 arrays of shape (0,), and so D4RL returns them.
    if not len(rows):
        return {name: np.array([]) for name in TRANSITION}
    return {
        "observations": _float32_rows(arrays["observations"], rows),
        "actions": _float32_rows(arrays["actions"], rows),
        "next_observations": _float32_rows(arrays["observations"], rows + 1),
        "rewards": _float32_rows(arrays["rewards"], rows),
        "terminals": terminals[rows],
    }


def _float32_rows(array: Array, rows: IntArray) -> npt.NDArray[np.float32]:
    return np.take(array, rows, axis=0).astype(np.float32, copy=False)


def _ends(arrays: Mapping[str, Array], tail: bool) -> Flags:
    """Which rows are the last of an episode; ``tail`` counts rows after the last flag as one."""
    ends = arrays["terminals"] | arrays["timeouts"]
    if tail:
        ends[-1:] = True
    return ends


def _pieces(arrays: Mapping[str, Array], stops: IntArray) -> Iterator[dict[str, Array]]:
    """The rows up to each stop from the one before, of every array."""
    start = 0
    for stop in stops.tolist():
        yield {name: array[start:stop] for name, array in arrays.items()}
        start = stop


def _actions(actions: Array) -> Array:
    """Float32, or integers as they are."""
    return actions if actions.dtype.kind in "iu" else np.asarray(actions, dtype=np.float32)
