"""Chunks as HDF5's shuffle and deflate filters leave them, made and read several times faster than by zlib.

HDF5 applies its filters in one thread under a lock. Here they run in NumPy and ``isal``, which release
Python's lock, so that chunks can be worked on in threads; the bytes are the same format, for any reader.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

Array = npt.NDArray[Any]
ChunkError: Any = isal_zlib.error

COMPRESSION_LEVEL = 2  # of isal's 0 to 3


def deflate(rows: Array, chunk_rows: int) -> bytes:
    """A chunk of at most ``chunk_rows`` rows, filled up with zeros."""
    values = np.zeros((chunk_rows, *rows.shape[1:]), rows.dtype)
    values[: len(rows)] = rows
    planes = values.reshape(-1).view(np.uint8).reshape(-1, rows.itemsize)  # (rows, …) -> (values, bytes each)
    return bytes(isal_zlib.compress(np.ascontiguousarray(planes.T), COMPRESSION_LEVEL))


def inflate(chunk: bytes, rows: Array, first: int) -> None:
    """Write the rows of a chunk, from its row ``first`` on, into ``rows``, a contiguous array.

    Raises:
        ChunkError: if the chunk is damaged.
    """
    planes = np.frombuffer(isal_zlib.decompress(chunk), np.uint8).reshape(rows.itemsize, -1)
    width = rows.itemsize * rows[:1].size  # bytes a row
    start, count = first * width // rows.itemsize, rows.size
    target = rows.reshape(-1).view(np.uint8).reshape(-1, rows.itemsize)  # (rows, …) -> (values, bytes each)
    target[...] = planes[:, start : start + count].T
