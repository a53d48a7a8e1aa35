"""Blocks of complete episodes, to process a file with memory for one block."""

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
    """Rows of complete episodes; only the last block of a file may end without a flag."""

    start: int  # index of the first row in the file
    arrays: Mapping[str, Array]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.arrays["rewards"])

    def between(self, first: int, end: int) -> Block:
        """The part of the block with the file's rows ``first`` to ``end`` − 1."""
        low, high = (min(max(row - self.start, 0), self.rows) for row in (first, end))
        return Block(self.start + low, {name: array[low:high] for name, array in self.arrays.items()})


def flagged(arrays: Mapping[str, Array]) -> Flags:
    """Whether each row ends an episode, shape (N,)."""
    columns = [with_row_values(name, arrays[name]) for name in ("terminals", "timeouts") if name in arrays]
    flags = [array for array in columns if array.ndim == 1]
    return np.logical_or.reduce(flags) if flags else np.zeros(len(arrays["rewards"]), np.bool_)


def blocks(reader: Reader) -> Iterator[Block]:
    """Iterate over the row-aligned arrays of a file in blocks, and read one block ahead in a thread."""
    names, rows = reader.header.aligned, reader.header.rows
    remainder: dict[str, Array] = {}  # rows of an episode that continues in the next block
    start = 0
    with ThreadPoolExecutor(1) as ahead:
        pending = ahead.submit(reader.rows, names, 0, ROWS_PER_BLOCK)
        for stop in range(ROWS_PER_BLOCK, rows + ROWS_PER_BLOCK, ROWS_PER_BLOCK):
            read = pending.result()
            pending = ahead.submit(reader.rows, names, stop, stop + ROWS_PER_BLOCK)
            arrays = (
                {name: np.concatenate([remainder[name], read[name]]) for name in names} if remainder else read
            )
            end = len(arrays["rewards"]) if stop >= rows else _complete_rows(arrays)
            yield Block(start, {name: array[:end] for name, array in arrays.items()})
            remainder, start = {name: array[end:] for name, array in arrays.items()}, start + end


def _complete_rows(arrays: Mapping[str, Array]) -> int:
    """Number of leading rows that form complete episodes."""
    ends = np.flatnonzero(flagged(arrays))
    return int(ends[-1]) + 1 if len(ends) else 0
