"""Vectorized counterparts of D4RL's ``qlearning_dataset`` and ``sequence_dataset``.

By default, known bugs of D4RL's functions are fixed; each docstring lists them with the issues of
https://github.com/Farama-Foundation/D4RL that report them. ``strict_d4rl=True`` keeps them, and
reproduces the output of D4RL 1.1.
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

TRANSITION_KEYS = ("observations", "actions", "next_observations", "rewards", "terminals")


def qlearning_dataset(
    data: Data, terminate_on_end: bool = False, strict_d4rl: bool = False
) -> dict[str, Array]:
    """Transitions for Q-learning, as flat arrays.

    Differences from D4RL's function of this name:

    * next observations are those of the data, also after an episode's last step, where D4RL returns the
      first observation of the next episode (#145);
    * no row is dropped: D4RL drops the last one (#145) and all timeouts, which are ordinary transitions here,
      with ``terminals`` false, so that value-based methods bootstrap from their next observation;
    * ``terminate_on_end`` works as documented, while D4RL leaves the flags unchanged (#182);
    * discrete actions stay integers, which D4RL converts to float32.

    Without ``next_observations``, as in D4RL's own maze2d, antmaze, kitchen and Adroit data sets, the
    observation after the last row or a timeout is unknown: these rows are dropped, as in D4RL.

    Args:
        data: episodes, or flat arrays under D4RL's keys, as D4RL's ``get_dataset`` returns them; a sharded
            data set is loaded into memory.
        terminate_on_end: set ``terminals`` at the last row of every episode, timeouts included.
        strict_d4rl: reproduce D4RL's output, including the bugs above.

    Returns:
        ``observations`` (N, obs), ``actions`` (N, act) or (N,), ``next_observations`` (N, obs) and
        ``rewards`` (N,), float32 except for discrete actions, and ``terminals`` (N,), bool. Without
        ``strict_d4rl``, arrays of the data that already have that dtype are returned without a copy.

    Raises:
        InputError: if a required array is missing, or has a different number of rows; with
            ``strict_d4rl`` also if ``timeouts`` are missing.
    """
    flat = _flat_arrays(data)
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
    """Iterate over the episodes, each a dictionary of all arrays of the data, as views of T rows.

    Differences from D4RL's function of this name:

    * rows after the last flag form an episode, which D4RL drops;
    * arrays without one row per step, such as D4RL's own ``metadata/…``, are skipped, while D4RL fails on
      them (#222).

    Args:
        data: episodes, or flat arrays under D4RL's keys, as D4RL's ``get_dataset`` returns them; a sharded
            data set is loaded into memory.
        strict_d4rl: reproduce D4RL's output, and reject input on which D4RL fails.

    Raises:
        InputError: if one of D4RL's arrays is missing, or has a different number of rows; with
            ``strict_d4rl`` also if any other array has, or if ``timeouts`` are missing.
    """
    arrays = _flat_arrays(data)
    if strict_d4rl:
        _require_timeouts(arrays)
    ends = _ends(with_timeouts(arrays), tail=not strict_d4rl)
    steps = len(arrays["rewards"])
    aligned = {name: array for name, array in arrays.items() if array.shape[:1] == (steps,)}
    if strict_d4rl and len(aligned) < len(arrays):
        unaligned = ", ".join(sorted(arrays.keys() - aligned.keys()))
        raise InputError(
            f"Expected only arrays of {steps:,} rows, since D4RL fails on others, but {unaligned} have a "
            "different number of rows; remove them, or do not set strict_d4rl."
        )
    return _split(aligned, np.flatnonzero(ends) + 1)


def _flat_arrays(data: Data) -> dict[str, Array]:
    """Flat arrays under D4RL's keys."""
    whole = data.load() if isinstance(data, ShardedEpisodes) else data
    flat = whole.as_d4rl() if isinstance(whole, Episodes) else whole
    return {name: np.asarray(array) for name, array in flat.items()}


def _require_timeouts(arrays: Mapping[str, Array]) -> None:
    """Require ``timeouts``, for which D4RL substitutes the time limit of the environment.

    Raises:
        InputError: if they are missing.
    """
    if "timeouts" not in arrays:
        raise InputError(
            "Expected timeouts, without which D4RL's functions use the environment's time limit, got none; "
            "add them, or do not set strict_d4rl."
        )


def _transitions_of_d4rl(arrays: Mapping[str, Array], terminate_on_end: bool) -> dict[str, Array]:
    """Output of D4RL's ``qlearning_dataset``, bugs included."""
    terminals, timeouts = (arrays[name][:-1] for name in ("terminals", "timeouts"))
    rows = np.arange(len(terminals)) if terminate_on_end else np.flatnonzero(~timeouts)
    # From no rows NumPy creates float64 arrays of shape (0,), which D4RL returns.
    if not len(rows):
        return {name: np.array([]) for name in TRANSITION_KEYS}
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
    """Whether each row is the last of an episode; with ``tail``, rows after the last flag form one."""
    ends = arrays["terminals"] | arrays["timeouts"]
    if tail:
        ends[-1:] = True
    return ends


def _split(arrays: Mapping[str, Array], stops: IntArray) -> Iterator[dict[str, Array]]:
    """Split every array at ``stops``, the exclusive ends of the episodes."""
    start = 0
    for stop in stops.tolist():
        yield {name: array[start:stop] for name, array in arrays.items()}
        start = stop


def _actions(actions: Array) -> Array:
    """Convert actions to float32 unless they are integers."""
    return actions if actions.dtype.kind in "iu" else np.asarray(actions, dtype=np.float32)
