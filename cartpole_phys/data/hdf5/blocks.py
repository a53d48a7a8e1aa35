"""A file in pieces of whole episodes, so that whatever looks at it needs memory for one piece only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from cartpole_phys.data.hdf5.file import ROWS_PER_CHUNK, Reader
from cartpole_phys.episodes.d4rl_layout import with_row_values
from cartpole_phys.utils.typing import Array, Flags

ROWS_PER_BLOCK = 8 * ROWS_PER_CHUNK


class Block(NamedTuple):
    """Rows of whole episodes; only a file's last block may end without a flag."""

    start: int  # the number of its first row in the file
    arrays: Mapping[str, Array]

    @property
    def rows(self) -> int:
        """How many rows."""
        return len(self.arrays["rewards"])

    def between(self, first: int, end: int) -> Block:
        """Those of its rows that have numbers from ``first`` to ``end`` − 1 in the file."""
        low, high = (min(max(row - self.start, 0), self.rows) for row in (first, end))
        return Block(self.start + low, {name: array[low:high] for name, array in self.arrays.items()})


def flagged(arrays: Mapping[str, Array]) -> Flags:
    """Which rows end an episode, shape (N,)."""
    found = [with_row_values(name, arrays[name]) for name in ("terminals", "timeouts") if name in arrays]
    flags = [array for array in found if array.ndim == 1]
    return np.logical_or.reduce(flags) if flags else np.zeros(len(arrays["rewards"]), np.bool_)


def blocks(reader: Reader) -> Iterator[Block]:
    """A file's row-aligned arrays, block by block; the next rows are read while a block is looked at."""
    names, rows = reader.header.aligned, reader.header.rows
    kept: dict[str, Array] = {}  # rows of an episode that goes on
    start = 0
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(reader.rows, names, 0, ROWS_PER_BLOCK)
        for stop in range(ROWS_PER_BLOCK, rows + ROWS_PER_BLOCK, ROWS_PER_BLOCK):
            read = coming.result()
            coming = ahead.submit(reader.rows, names, stop, stop + ROWS_PER_BLOCK)
            arrays = {name: np.concatenate([kept[name], read[name]]) for name in names} if kept else read
            whole = len(arrays["rewards"]) if stop >= rows else _whole(arrays)
            yield Block(start, {name: array[:whole] for name, array in arrays.items()})
            kept, start = {name: array[whole:] for name, array in arrays.items()}, start + whole


def _whole(arrays: Mapping[str, Array]) -> int:
    """How many of the rows belong to episodes that end within them."""
    ends = np.flatnonzero(flagged(arrays))
    return int(ends[-1]) + 1 if len(ends) else 0
