"""Base class of the gates, exceptions for their results, and accessors for rows and described parts."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from cartpole_phys.backends.base import Backend
from cartpole_phys.data import declared_env
from cartpole_phys.data.hdf5.blocks import Block
from cartpole_phys.data.hdf5.file import Header
from cartpole_phys.episodes.d4rl_layout import ONE_VALUE, with_row_values
from cartpole_phys.policies.behavior import USER_SUPPLIED
from cartpole_phys.utils.errors import InputError, is_integer
from cartpole_phys.utils.typing import Array


class GateFailure(Exception):  # noqa: N818 - it is the result of a gate, not an error
    """Result of a gate that fails; the message gives the reason."""


class Unverifiable(Exception):  # noqa: N818 - likewise
    """Result of a gate whose input is missing or invalid; the message gives the reason.

    A file with a recipe has to be verifiable, so it fails the gate; for other files the gate does not apply.
    """


class NotApplicable(Exception):  # noqa: N818 - likewise
    """Result of a gate that does not apply to a file; the message gives the reason."""


class NotProven(Exception):  # noqa: N818 - likewise
    """Result of a gate that would have to run user-supplied code; the message gives the command."""


class Gate(ABC):
    """One validation check of a file, in one pass over its blocks."""

    name: ClassVar[str]

    def __init__(self, header: Header) -> None:
        """Check the file's header.

        Raises:
            GateFailure: if the header alone fails the check.
            Unverifiable: if a required input is missing.
            NotApplicable: if the gate does not apply to the file.
        """
        self.header = header

    def check_rows(self, block: Block) -> None:  # noqa: B027 - some gates need no rows
        """Check the next block of rows.

        Raises:
            GateFailure: if they fail the check.
            Unverifiable: if a required input is missing.
        """

    @abstractmethod
    def finish(self) -> str:
        """Finish the check after the last row, and return the detail of the passed gate.

        Raises:
            GateFailure: if the file fails the check.
            Unverifiable: if a required input is missing.
            NotApplicable: if the gate does not apply to the file.
            NotProven: if the check would have to run user-supplied code.
        """


def require_arrays(block: Block, *names: str) -> list[Array]:
    """Return arrays of a block by name; rewards and flags as (N,), flags as bool.

    Raises:
        Unverifiable: if one is missing or does not have one value per row.
        InputError: if a flag is neither 0 nor 1.
    """
    found = []
    for name in names:
        array = with_row_values(name, block.arrays[name]) if name in block.arrays else None
        if array is None or (name in ONE_VALUE and array.ndim != 1):
            raise Unverifiable(f"there are no {name} with one value per transition")
        found.append(array)
    return found


def declared_backend(header: Header) -> Backend:
    """The environment that a file declares.

    Raises:
        Unverifiable: if it declares none, or one that cannot or must not be created for a file.
    """
    try:
        return declared_env.declared_backend(header.metadata)
    except InputError as error:
        raise Unverifiable(str(error)) from error


def complete_parts(header: Header) -> list[Mapping[str, Any]]:
    """Descriptions of a file's parts, each a range of consecutive rows with one behavior policy.

    Raises:
        Unverifiable: if the file does not describe its parts, or they do not cover all rows.
    """
    parts = described_parts(header)
    if not parts or rows_of(parts) != header.rows:
        raise Unverifiable("the described parts do not cover all rows of the file")
    return parts


def described_parts(header: Header) -> list[Mapping[str, Any]]:
    """Descriptions as from ``complete_parts``, without the check that they cover all rows.

    Raises:
        Unverifiable: if the file does not describe its parts.
    """
    parts = header.metadata.get("parts")
    if not isinstance(parts, list) or not all(_is_part(part) for part in parts):
        raise Unverifiable("the file does not describe its behavior policy")
    return parts


def refuse_user_code(part: Mapping[str, Any]) -> None:
    """Refuse a part with a user-supplied policy, since a check does not run code that a file names.

    Raises:
        NotProven: if the policy is user-supplied.
    """
    if part.get("kind") in USER_SUPPLIED.stored:
        raise NotProven(
            "the policy is user-supplied code, which a check does not run; use: cartpole-phys rebuild FILE "
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
