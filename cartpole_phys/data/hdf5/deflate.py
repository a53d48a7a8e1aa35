"""Chunks as HDF5's shuffle and deflate filters leave them, made and read several times faster than by zlib.

HDF5 applies its filters in one thread under a lock. Here they run in NumPy and ``isal``, which release
Python's lock, so that chunks can be worked on in threads; the bytes are the same format, for any reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import numpy as np
from isal import isal_zlib

from cartpole_phys.utils.typing import Array

Buffer = bytes | memoryview
ChunkError: Any = isal_zlib.error

COMPRESSION_LEVEL = 2  # of isal's 0 to 3
RAW = -15  # window bits of a deflate stream without header and checksum
HEADER = b"\x78\x9c"  # of a zlib stream (RFC 1950)
END = b"\x01\x00\x00\xff\xff"  # a last block, with nothing in it (RFC 1951)
STORED = 65_535  # bytes that a block can hold as they are
SAMPLE = 1_024  # bytes of a plane that tell whether all of it is worth compressing
SAMPLE_LEVEL = 0  # the fastest
WORTH = 0.95  # a sample that stays larger than this share is not


def deflate(rows: Array, chunk_rows: int) -> bytes:
    """A chunk of at most ``chunk_rows`` rows, filled up with zeros.

    Bytes of one significance lie together, and those of the least look random: they are stored as they are,
    which costs hardly any size and makes reading twice as fast.
    """
    if len(rows) < chunk_rows:
        rows = np.concatenate([rows, np.zeros((chunk_rows - len(rows), *rows.shape[1:]), rows.dtype)])
    together = rows.reshape(-1).view(np.uint8).reshape(-1, rows.itemsize)  # (rows, …) -> (values, bytes)
    planes = np.ascontiguousarray(together.T)  # (bytes, values)
    blocks: list[Buffer] = []
    for worth_it, run in groupby(planes, _is_worth_compressing):
        encode = _compressed if worth_it else _stored
        blocks += encode(run)
    return b"".join([HEADER, *blocks, END, isal_zlib.adler32(planes.data).to_bytes(4, "big")])


def _is_worth_compressing(plane: Array) -> bool:
    """Whether a sample from its middle becomes smaller."""
    middle = max(len(plane) - SAMPLE, 0) // 2
    sample = plane[middle : middle + SAMPLE]
    return len(isal_zlib.compress(sample, SAMPLE_LEVEL, RAW)) <= WORTH * len(sample)


def _compressed(planes: Iterable[Array]) -> Iterator[Buffer]:
    """Deflate blocks that end at a whole byte."""
    stream = isal_zlib.compressobj(COMPRESSION_LEVEL, isal_zlib.DEFLATED, RAW)
    for plane in planes:
        yield stream.compress(plane)
    yield stream.flush(isal_zlib.Z_SYNC_FLUSH)


def _stored(planes: Iterable[Array]) -> Iterator[Buffer]:
    """Deflate blocks that hold bytes as they are, after their number and its complement."""
    for plane in planes:
        for first in range(0, len(plane), STORED):
            piece = plane[first : first + STORED]
            yield b"\x00" + len(piece).to_bytes(2, "little") + (len(piece) ^ 0xFFFF).to_bytes(2, "little")
            yield piece.data


def inflate(chunk: bytes, chunk_rows: int, rows: Array, first: int) -> None:
    """Write rows of a chunk of ``chunk_rows``, from its row ``first`` on, into ``rows``, a contiguous array.

    Raises:
        ChunkError: if the chunk is damaged.
        ValueError: if it holds more or fewer rows.
    """
    size = chunk_rows * rows[:1].nbytes
    stream = isal_zlib.decompressobj()
    planes = np.frombuffer(stream.decompress(chunk, size + 1), np.uint8)  # one byte more than there should be
    if len(planes) != size or not stream.eof:
        raise ValueError(f"a chunk holds other than the {size:,} bytes that it should")
    planes = planes.reshape(rows.itemsize, -1)  # (bytes, values)
    start = first * rows[:1].size
    target = rows.reshape(-1).view(np.uint8)  # (rows, …) -> (values × bytes,)
    for i, plane in enumerate(planes):  # several times faster than all at once by planes.T
        target[i :: rows.itemsize] = plane[start : start + rows.size]
