"""Base class of the gates, their exceptions, and helpers that read rows and parts."""

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


class GateFailure(Exception):  # noqa: N818 - it is the result of a gate, not an error
    """Raised inside a gate that fails; the message gives the reason."""


class CannotTell(Exception):  # noqa: N818 - likewise
    """Raised inside a gate whose input is missing or invalid; the message gives the reason.

    A file with a recipe then fails, since it has to be verifiable; for other files the gate does not apply.
    """


class NotApplicable(Exception):  # noqa: N818 - likewise
    """Raised inside a gate that does not apply to a file; the message gives the reason."""


class NotProven(Exception):  # noqa: N818 - likewise
    """Raised inside a gate that would have to run user-supplied code; the message gives the command."""


class Gate(ABC):
    """One validation check of a file, in one pass over its blocks."""

    name: ClassVar[str]

    def __init__(self, header: Header) -> None:
        """Check the file's header.

        Raises:
            GateFailure: if the header alone fails the check.
            CannotTell: if something that the gate needs is missing.
            NotApplicable: if the gate does not apply to the file.
        """
        self.header = header

    def see(self, block: Block) -> None:  # noqa: B027 - some gates need no rows
        """Check the next rows.

        Raises:
            GateFailure: if they fail the check.
            CannotTell: if something that the gate needs is missing.
        """

    @abstractmethod
    def verdict(self) -> str:
        """The detail of a passed gate, after the last row.

        Raises:
            GateFailure: if the file fails the check.
            CannotTell: if something that the gate needs is missing.
            NotApplicable: if the gate does not apply to the file.
            NotProven: if the check would have to run user-supplied code.
        """


def need(block: Block, *names: str) -> list[Array]:
    """The named arrays of a block; rewards and flags as (N,), flags as bool.

    Raises:
        CannotTell: if one is missing or has another number of rows.
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
        CannotTell: if it names none, or one that cannot or must not be made for a file.
    """
    try:
        return stated.declared_backend(header.metadata)
    except InputError as error:
        raise CannotTell(str(error)) from error


def stated_parts(header: Header) -> list[Mapping[str, Any]]:
    """A file's description of its parts, consecutive rows with one behavior policy each.

    Raises:
        CannotTell: if it does not describe them, or they do not add up to all rows.
    """
    parts = described_parts(header)
    if not parts or rows_of(parts) != header.rows:
        raise CannotTell("the described parts do not add up to all rows of the file")
    return parts


def described_parts(header: Header) -> list[Mapping[str, Any]]:
    """``stated_parts`` without the check of the number of rows.

    Raises:
        CannotTell: if the file does not describe its parts.
    """
    parts = header.metadata.get("parts")
    if not isinstance(parts, list) or not all(_is_part(part) for part in parts):
        raise CannotTell("the file does not describe its behavior policy")
    return parts


def require_own_code(part: Mapping[str, Any]) -> None:
    """Refuse a part with a user-supplied policy: a check does not run code that a file names.

    Raises:
        NotProven: if the policy is user-supplied.
    """
    if part.get("kind") in USER_SUPPLIED.stored:
        raise NotProven(
            "the policy is user-supplied code, which only runs if you name it: cartpole-phys rebuild FILE "
            f"--policy {shlex.quote(str(part.get('place')))}"
        )


def rows_of(parts: Sequence[Mapping[str, Any]]) -> int:
    """Total number of rows of described parts."""
    return sum(part["rows"] for part in parts)


def _is_part(part: Any) -> bool:
    return isinstance(part, Mapping) and is_integer(part.get("rows")) and part["rows"] >= 0


def first_row(rows: Any) -> int:
    """Index of the first true row."""
    return int(np.argmax(rows))
