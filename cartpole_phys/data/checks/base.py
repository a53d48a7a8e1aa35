"""What gates share: how they say no, and how they look at rows."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from cartpole_phys.backends.base import Backend
from cartpole_phys.data import declared_env as stated
from cartpole_phys.data.hdf5.blocks import Block
from cartpole_phys.data.hdf5.file import Header
from cartpole_phys.episodes.d4rl_layout import ONE_VALUE, with_row_values
from cartpole_phys.policies.behavior import USER_SUPPLIED
from cartpole_phys.utils.errors import InputError, is_integer
from cartpole_phys.utils.typing import Array


class GateFailure(Exception):  # noqa: N818 - it is a verdict, not an error
    """Raised inside a gate; the message says what is wrong."""


class CannotTell(Exception):  # noqa: N818 - likewise
    """Raised inside a gate that lacks what it needs; the message says what is missing.

    A file that carries a recipe fails then: it has to be provable.
    """


class NotApplicable(Exception):  # noqa: N818 - likewise
    """Raised inside a gate where a file makes no claim of its kind; the message says which."""


class NotProven(Exception):  # noqa: N818 - likewise
    """Raised inside a gate where only somebody's code can prove a claim; the message says how to run it."""


class Gate(ABC):
    """One question about a file, answered in one pass over its blocks."""

    name: ClassVar[str]

    def __init__(self, header: Header) -> None:
        """Begin with what the file says of itself.

        Raises:
            GateFailure: if that is enough to say no.
            CannotTell: if the gate lacks what it needs.
            NotApplicable: if the file makes no claim of this kind.
        """
        self.header = header

    def see(self, block: Block) -> None:  # noqa: B027 - some gates need no rows
        """Look at the next rows.

        Raises:
            GateFailure: if something in them is wrong.
            CannotTell: if the gate lacks what it needs.
        """

    @abstractmethod
    def verdict(self) -> str:
        """What was found, after all rows were seen.

        Raises:
            GateFailure: if something is wrong.
            CannotTell: if the gate lacks what it needs.
            NotApplicable: if the file makes no claim of this kind.
            NotProven: if only somebody's code can prove it.
        """


def need(block: Block, *names: str) -> list[Array]:
    """The arrays of these names, with one value a row of rewards and flags, and flags as bool.

    Raises:
        CannotTell: if one is missing or has other rows.
        InputError: if a flag is neither 0 nor 1.
    """
    found = []
    for name in names:
        array = with_row_values(name, block.arrays[name]) if name in block.arrays else None
        if array is None or (name in ONE_VALUE and array.ndim != 1):
            raise CannotTell(f"there is no {name} with a value for each transition")
        found.append(array)
    return found


def declared_backend(header: Header) -> Backend:
    """The environment that a file names.

    Raises:
        CannotTell: if it names none that can be made, or that a file may ask for.
    """
    try:
        return stated.declared_backend(header.metadata)
    except InputError as error:
        raise CannotTell(str(error)) from error


def stated_parts(header: Header) -> list[Mapping[str, Any]]:
    """What a file says of each of its parts: rows that follow each other, and who acted in them.

    Raises:
        CannotTell: if it does not describe them, or they are not all of its rows.
    """
    parts = described_parts(header)
    if not parts or rows_of(parts) != header.rows:
        raise CannotTell("the parts that the file describes are not all of its rows")
    return parts


def described_parts(header: Header) -> list[Mapping[str, Any]]:
    """The same, whatever rows they have.

    Raises:
        CannotTell: if it does not describe them.
    """
    parts = header.metadata.get("parts")
    if not isinstance(parts, list) or not all(_is_part(part) for part in parts):
        raise CannotTell("the file does not describe its behaviour policy")
    return parts


def require_own_code(part: Mapping[str, Any]) -> None:
    """Refuse a part whose policy is somebody's code, which a check does not run because a file names it.

    Raises:
        NotProven: if it is.
    """
    if part.get("kind") in USER_SUPPLIED.stored:
        raise NotProven(
            "the policy is code from elsewhere, which is only run when you name it: cartpole-phys rebuild "
            f"FILE --policy {shlex.quote(str(part.get('place')))}"
        )


def rows_of(parts: Sequence[Mapping[str, Any]]) -> int:
    """How many rows described parts have together."""
    return sum(part["rows"] for part in parts)


def _is_part(part: Any) -> bool:
    return isinstance(part, Mapping) and is_integer(part.get("rows")) and part["rows"] >= 0


def first_row(rows: Any) -> int:
    """The first row that is set."""
    return int(np.argmax(rows))
