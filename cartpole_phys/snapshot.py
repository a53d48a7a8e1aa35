"""Everything that decides how an environment goes on, to be kept and restored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cartpole_phys.errors import InputError
from cartpole_phys.simulator import CartPole, FloatArray


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The state of n environments, from ``get_state``; give it back to ``set_state`` of an equal one."""

    system: CartPole
    states: FloatArray  # (4, n)
    forces: FloatArray  # (n,), N, of the last step
    pushes: FloatArray  # (n,), N, of the last step
    keys: npt.NDArray[np.uint64]  # (n,), of all randomness inside the steps
    episodes: npt.NDArray[np.int64]  # (n,)
    elapsed: npt.NDArray[np.int64]  # (n,), steps of the episode so far
    done: npt.NDArray[np.bool_]  # (n,), whether the episode is over
    random_state: Mapping[str, Any]  # of ``np_random``


def check_fits(snapshot: object, system: CartPole, num_envs: int) -> None:
    """Make sure that something is a snapshot of ``num_envs`` environments of a system.

    Raises:
        InputError: if it is none, or of another system or another number of environments.
    """
    if not isinstance(snapshot, Snapshot):
        raise InputError(f"Expected a snapshot from get_state(), got {type(snapshot).__name__}.")
    if snapshot.system != system:
        raise InputError(
            f"Expected a snapshot of {system}, got one of {snapshot.system}; "
            "make the environment with the same arguments."
        )
    if snapshot.states.shape != (4, num_envs):
        got = snapshot.states.shape[-1]
        raise InputError(f"Expected a snapshot of {num_envs} environments, got one of {got}.")
