"""The places in an HDF5 file where texts lie, looked at before HDF5 does.

HDF5 2.0 walks for ever through a global heap in which something takes no room; one wrong bit is enough.

Source: HDF5 File Format Specification 3.0, III.E, "Disk Format: Level 1E - Global Heap".
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import h5py

SIGNATURE = b"GCOL"
HEAP_SIZE = struct.Struct("<8xQ")  # after signature and version
ENTRY = struct.Struct("<HHxxxxQ")  # number (0: what is free), references, size
WORD = 8  # bytes that sizes are multiples of, and that a size is written in


def require_sound_heaps(file: h5py.File, datasets: Iterable[h5py.Dataset]) -> None:
    """Refuse a file whose heaps HDF5 cannot walk through; the values of its data sets are not searched.

    Raises:
        ValueError: if there is such a heap.
    """
    if file.id.get_create_plist().get_sizes() != (WORD, WORD):
        raise ValueError(f"its addresses and sizes are not of {WORD} bytes")
    with mmap.mmap(file.id.get_vfd_handle(), 0, access=mmap.ACCESS_READ) as held:
        for start, stop in _between(_values(datasets), len(held)):
            place = held.find(SIGNATURE, start, stop)
            while place >= 0:
                if not _is_sound(held, place):
                    raise ValueError(f"the heap at byte {place} is damaged")
                place = held.find(SIGNATURE, place + 1, stop)


def _values(datasets: Iterable[h5py.Dataset]) -> Iterator[tuple[int, int]]:
    """Where values lie: first byte and number of bytes."""
    for dataset in datasets:
        if dataset.chunks is not None:
            chunks: list[Any] = []
            dataset.id.chunk_iter(chunks.append)
            yield from ((chunk.byte_offset, chunk.size) for chunk in chunks)
        elif dataset.id.get_offset() is not None:
            yield dataset.id.get_offset(), dataset.id.get_storage_size()


def _between(regions: Iterable[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """The bytes of a file that are in none of these regions, as first and last + 1."""
    start = 0
    for first, length in sorted(regions):
        if first > start:
            yield start, first
        start = max(start, first + length)
    yield start, size


def _is_sound(held: mmap.mmap, place: int) -> bool:
    """Whether each entry of the heap there leads to the next one, or to its end."""
    if place + HEAP_SIZE.size > len(held):
        return False
    (size,) = HEAP_SIZE.unpack_from(held, place)
    end = min(place + size, len(held))
    entry = place + HEAP_SIZE.size
    while entry + ENTRY.size <= end:
        number, _, length = ENTRY.unpack_from(held, entry)
        entry += length if number == 0 else ENTRY.size + -(-length // WORD) * WORD
        if (number == 0 and length < ENTRY.size) or entry > end:
            return False
    return True
