"""HDF5's shuffle and deflate filters for chunks, several times faster than with zlib.

HDF5 applies its filters in one thread under a lock. Here they run in NumPy and ``isal``, which release the
GIL, so that threads can process chunks in parallel; the chunks have the standard format, for any HDF5 reader.
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
END = b"\x01\x00\x00\xff\xff"  # an empty final block (RFC 1951)
STORED = 65_535  # maximum bytes of an uncompressed block
SAMPLE = 1_024  # bytes of a plane that are compressed to decide whether to compress all of it
SAMPLE_LEVEL = 0  # the fastest
WORTH = 0.95  # maximum compression ratio of the sample for which a plane is compressed


def deflate(rows: Array, chunk_rows: int) -> bytes:
    """Shuffle and deflate a chunk of at most ``chunk_rows`` rows, padded with zeros.

    Shuffling groups bytes by significance. The least significant ones look random: they are stored
    uncompressed, which hardly increases the size and makes reading twice as fast.
    """
    if len(rows) < chunk_rows:
        rows = np.concatenate([rows, np.zeros((chunk_rows - len(rows), *rows.shape[1:]), rows.dtype)])
    together = rows.reshape(-1).view(np.uint8).reshape(-1, rows.itemsize)  # (rows, …) -> (values, bytes)
    planes = np.ascontiguousarray(together.T)  # (bytes, values)
    blocks: list[Buffer] = []
    for compressible, run in groupby(planes, _is_compressible):
        encode = _compressed if compressible else _stored
        blocks += encode(run)
    return b"".join([HEADER, *blocks, END, isal_zlib.adler32(planes.data).to_bytes(4, "big")])


def _is_compressible(plane: Array) -> bool:
    """Whether compression reduces the size of a sample from the middle."""
    middle = max(len(plane) - SAMPLE, 0) // 2
    sample = plane[middle : middle + SAMPLE]
    return len(isal_zlib.compress(sample, SAMPLE_LEVEL, RAW)) <= WORTH * len(sample)


def _compressed(planes: Iterable[Array]) -> Iterator[Buffer]:
    """Compressed deflate blocks that end at a byte boundary."""
    stream = isal_zlib.compressobj(COMPRESSION_LEVEL, isal_zlib.DEFLATED, RAW)
    for plane in planes:
        yield stream.compress(plane)
    yield stream.flush(isal_zlib.Z_SYNC_FLUSH)


def _stored(planes: Iterable[Array]) -> Iterator[Buffer]:
    """Uncompressed deflate blocks: the number of bytes, its complement, and the bytes."""
    for plane in planes:
        for first in range(0, len(plane), STORED):
            piece = plane[first : first + STORED]
            yield b"\x00" + len(piece).to_bytes(2, "little") + (len(piece) ^ 0xFFFF).to_bytes(2, "little")
            yield piece.data


def inflate(chunk: bytes, chunk_rows: int, rows: Array, first: int) -> None:
    """Inflate a chunk of ``chunk_rows`` rows, and copy those from ``first`` on into the contiguous ``rows``.

    Raises:
        ChunkError: if the chunk is corrupt.
        ValueError: if it has more or fewer rows.
    """
    size = chunk_rows * rows[:1].nbytes
    stream = isal_zlib.decompressobj()
    planes = np.frombuffer(
        stream.decompress(chunk, size + 1), np.uint8
    )  # at most one byte more than expected
    if len(planes) != size or not stream.eof:
        raise ValueError(f"expected a chunk of {size:,} bytes, got a different size")
    planes = planes.reshape(rows.itemsize, -1)  # (bytes, values)
    start = first * rows[:1].size
    target = rows.reshape(-1).view(np.uint8)  # (rows, …) -> (values × bytes,)
    for i, plane in enumerate(planes):  # several times faster than all at once by planes.T
        target[i :: rows.itemsize] = plane[start : start + rows.size]
