"""What replaying any world shares: the rows it needs, and how they are compared."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]
Layout = Mapping[str, tuple[str, tuple[int, ...]]]  # of arrays by name: type, and shape of a row

FLAGS: Layout = {"rewards": ("<f4", ()), "terminals": ("|b1", ()), "timeouts": ("|b1", ())}


class NotReplayable(Exception):  # noqa: N818 - it is a verdict, not an error
    """The steps of some rows cannot be repeated; the message says why."""


class UnknownState(NotReplayable):
    """No step of the environment can be repeated, whatever the rows: its state is out of reach."""


def require(rows: Mapping[str, Array], layout: Layout) -> dict[str, Array]:
    """The arrays of a layout, in its types.

    Raises:
        NotReplayable: if one is missing, or has other rows or another kind of numbers.
    """
    taken = {}
    for name, (dtype, trailing) in layout.items():
        if name not in rows:
            raise NotReplayable(f"there is no {name}")
        array = rows[name]
        if array.shape != (len(rows["rewards"]), *trailing):
            raise NotReplayable(f"{name} has rows of shape {array.shape[1:]}, this environment {trailing}")
        if dtype != "|b1" and not np.can_cast(array.dtype, dtype, "same_kind"):
            raise NotReplayable(f"{name} is {array.dtype}, expected {dtype}")
        taken[name] = array.astype(dtype, copy=False)
    return taken


def different(a: Array, b: Array) -> Flags:
    """Which rows of two arrays of one type differ in any bit, shape (N,)."""
    if not a.size:
        return np.zeros(len(a), np.bool_)
    width = a[:1].nbytes
    bits = np.uint64 if width % 8 == 0 else f"u{a.itemsize}"
    words = zip(_flat(a, bits).T, _flat(b, bits).T, strict=True)  # (N, words) -> (words, N)
    # Word by word: NumPy's reduction over so short an axis takes ten times as long.
    return reduce(np.logical_or, (mine != other for mine, other in words))


def _flat(array: Array, bits: Any) -> Array:
    flat = np.ascontiguousarray(array).reshape(-1)  # (N, …) -> (values,)
    return flat.view(bits).reshape(len(array), -1)  # -> (N, words)


def followed(rows: Mapping[str, Array]) -> Flags:
    """Which rows are followed by a row of the same episode, shape (N,)."""
    within = ~(rows["terminals"].astype(np.bool_) | rows["timeouts"].astype(np.bool_))
    within[-1:] = False
    return within


def elapsed(within: Flags) -> npt.NDArray[np.int64]:
    """How many steps of its episode came before each row, shape (N,), from ``followed``."""
    index = np.arange(len(within))
    starts = np.append(True, ~within[:-1])[: len(within)]
    return index - np.maximum.accumulate(np.where(starts, index, 0))


def changed_next(within: Flags, computed: Array, stored: Array) -> Flags:
    """Where what was ``computed`` after a row is not what is ``stored`` at the row that follows, (N,)."""
    wrong = np.zeros(len(within), dtype=np.bool_)
    wrong[:-1] = within[:-1] & different(computed[:-1], stored[1:])
    return wrong
