"""Everything that decides how environments go on, to be kept and restored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cartpole_phys.errors import InputError
from cartpole_phys.memory import DONE, FloatArray
from cartpole_phys.stepping.columns import Columns
from cartpole_phys.system import CartPole


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The state of n environments, from ``get_state``; give it back to ``set_state`` of an equal one."""

    system: CartPole
    memory: FloatArray  # (ROWS, n), see ``memory.py``
    random_state: Mapping[str, Any]  # of ``np_random``


def keep(columns: Columns, generator: np.random.Generator) -> Snapshot:
    """A snapshot of environments and their random generator."""
    return Snapshot(columns.system, columns.memory.copy(), generator.bit_generator.state)


def restore(
    snapshot: object, columns: Columns, generator: np.random.Generator, may_be_over: bool = True
) -> None:
    """Make environments and their random generator equal to a snapshot.

    Args:
        snapshot: from ``keep``.
        columns: the environments.
        generator: their ``np_random``.
        may_be_over: whether these environments can be in an episode that is over.

    Raises:
        InputError: if it is no snapshot, or of another system or another number of environments, or of
            episodes that are over where none may be; nothing changes then.
    """
    if not isinstance(snapshot, Snapshot):
        raise InputError(f"Expected a snapshot from get_state(), got {type(snapshot).__name__}.")
    if snapshot.system != columns.system:
        raise InputError(
            f"Expected a snapshot of {columns.system}, got one of {snapshot.system}; "
            "make the environment with the same arguments."
        )
    if snapshot.memory.shape != columns.memory.shape:
        got = snapshot.memory.shape[-1]
        raise InputError(f"Expected a snapshot of {len(columns)} environments, got one of {got}.")
    if not may_be_over and snapshot.memory.view(np.int64)[DONE].any():
        raise InputError(
            'Expected a snapshot without ended episodes for autoreset_mode="SameStep", got one with some; '
            "restore it in the autoreset mode that it was made in."
        )
    generator.bit_generator.state = dict(snapshot.random_state)
    columns.restore(snapshot.memory)
