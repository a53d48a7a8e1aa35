"""What gates share: how they say no, and how they look at rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from cartpole_phys.data.storage.blocks import Block
from cartpole_phys.data.storage.d4rl import Header
from cartpole_phys.errors import InputError
from cartpole_phys.worlds.world import World, world_of

Array = npt.NDArray[Any]


class GateFailure(Exception):  # noqa: N818 - it is a verdict, not an error
    """Raised inside a gate; the message says what is wrong."""


class CannotTell(Exception):  # noqa: N818 - likewise
    """Raised inside a gate that has not what it needs; the message says what is missing."""


class Gate(ABC):
    """One question about a file, answered in one pass over its blocks."""

    name: ClassVar[str]

    def __init__(self, header: Header) -> None:
        """Begin with what the file says of itself.

        Raises:
            GateFailure: if that is enough to say no.
            CannotTell: if the gate has not what it needs.
        """
        self.header = header

    def see(self, block: Block) -> None:  # noqa: B027 - some gates need no rows
        """Look at the next rows.

        Raises:
            GateFailure: if something in them is wrong.
            CannotTell: if the gate has not what it needs.
        """

    @abstractmethod
    def verdict(self) -> str:
        """What was found, after all rows were seen.

        Raises:
            GateFailure: if something is wrong.
            CannotTell: if the gate has not what it needs.
        """


def need(block: Block, *names: str) -> list[Array]:
    """The arrays of these names.

    Raises:
        CannotTell: if one is missing or has other rows.
    """
    missing = [name for name in names if name not in block.arrays]
    if missing:
        raise CannotTell(f"there is no {missing[0]} with a value for each transition")
    return [block.arrays[name] for name in names]


def stated_world(header: Header) -> World:
    """The environment that a file names.

    Raises:
        CannotTell: if it names none that can be made.
    """
    env_id, env_kwargs = header.metadata.get("env_id"), header.metadata.get("env_kwargs")
    if not isinstance(env_id, str) or not isinstance(env_kwargs, Mapping):
        raise CannotTell("the file does not name its environment")
    try:
        return world_of(env_id, env_kwargs)
    except InputError as error:
        raise CannotTell(str(error)) from error


def first_row(rows: Any) -> int:
    """The first row that is set."""
    return int(np.argmax(rows))
