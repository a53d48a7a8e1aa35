"""What gates share: how they say no, and how they look at a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cartpole_phys.data.d4rl import Contents
from cartpole_phys.errors import InputError
from cartpole_phys.system import CartPole

Array = npt.NDArray[Any]


class GateFailure(Exception):  # noqa: N818 - it is a verdict, not an error
    """Raised inside a gate; the message says what is wrong."""


class CannotTell(Exception):  # noqa: N818 - likewise
    """Raised inside a gate that has not what it needs; the message says what is missing."""


def need(contents: Contents, *names: str) -> list[Array]:
    """The arrays of these names, all with equally many rows.

    Raises:
        CannotTell: if one is missing or has other rows.
    """
    missing = [name for name in names if name not in contents.arrays]
    if missing:
        raise CannotTell(f"there is no {missing[0]}")
    arrays = [contents.arrays[name] for name in names]
    if any(array.ndim == 0 or len(array) != len(arrays[0]) for array in arrays):
        raise CannotTell("the arrays are not row-aligned")
    return arrays


def system_of(contents: Contents) -> CartPole:
    """The physics and task that a file names.

    Raises:
        CannotTell: if it names none that can be made.
    """
    env_id, env_kwargs = contents.metadata.get("env_id"), contents.metadata.get("env_kwargs")
    if not isinstance(env_id, str) or not isinstance(env_kwargs, Mapping):
        raise CannotTell("the file does not name its environment")
    try:
        return CartPole.from_id(env_id, env_kwargs)
    except InputError as error:
        raise CannotTell(str(error)) from error


def first_row(rows: Any) -> int:
    """The first row that is set."""
    return int(np.argmax(rows))


def different(a: Array, b: Array) -> npt.NDArray[np.bool_]:
    """Which rows differ in any bit, shape (N,)."""
    bits = f"u{a.itemsize}"
    same = np.ascontiguousarray(a).view(bits) == np.ascontiguousarray(b).view(bits)
    return ~same.reshape(len(a), -1).all(axis=1)  # (N, …) -> (N,)


def inside(contents: Contents) -> npt.NDArray[np.bool_]:
    """Which rows are followed by a row of the same episode, shape (N − 1,)."""
    terminals, timeouts = need(contents, "terminals", "timeouts")
    return ~(terminals.astype(np.bool_) | timeouts.astype(np.bool_))[:-1]
