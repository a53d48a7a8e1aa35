"""What a file says that it holds, looked at before any of it is believed.

A few bytes of HDF5 can claim a terabyte, lead in circles, or name other files to read from. What is kept of
a file lies in that file, and is not larger than what lies there can be.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5o, h5z

from cartpole_phys.episodes.d4rl_layout import require_flags
from cartpole_phys.utils.files import parse_json
from cartpole_phys.utils.typing import Array

WEIGHTS = "policy_weights/"  # attributes under this name are a behavior policy's weights
V2_METADATA = "metadata/"  # D4RL's own groups, which hold the same as our attributes, or less
FILTERS = {h5z.FILTER_SHUFFLE, h5z.FILTER_DEFLATE, h5z.FILTER_LZF, h5z.FILTER_FLETCHER32}
EXPANSION = 1_032  # bytes that deflate can make of one, at most (zlib's technical details)
DEEPEST = 8  # groups within groups
NUMBERS, LARGEST_NUMBER = "biuf", 8  # kinds of NumPy's types, and bytes: longer ones differ by machine


def numeric_datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Every array of numbers in a file, by its path; what holds others is left out.

    Raises:
        ValueError: if one lies in another file, is packed in a way that D4RL's are not, or claims more than
            is there.
    """
    size, stored, found = os.path.getsize(file.filename), 0, {}
    for name, dataset in _datasets(file):
        if name.startswith(V2_METADATA):
            continue
        _require_own(name, dataset)
        if dataset.shape is None or not _is_numeric(dataset.dtype):
            continue
        _require_written(name, dataset)
        stored += dataset.id.get_storage_size()
        if stored > size:
            raise ValueError(f"its arrays claim {stored:,} of its {size:,} bytes")
        found[name] = dataset
    return dict(sorted(found.items()))


def v2_datasets(file: h5py.File) -> dict[str, Array | None]:
    """What D4RL's own groups hold, by path within them: numbers and texts of a fixed length, else None.

    None stands too for what is packed or in chunks, which a build never writes here: it can claim more than
    is there.
    """
    found: dict[str, Array | None] = {}
    for name, dataset in _datasets(file):
        if not name.startswith(V2_METADATA):
            continue
        creation = dataset.id.get_create_plist()
        plain = creation.get_layout() == h5d.CONTIGUOUS and not creation.get_external_count()
        known = dataset.shape is not None and (_is_numeric(dataset.dtype) or dataset.dtype.kind == "S")
        written = plain and known and dataset.nbytes <= dataset.id.get_storage_size()
        found[name.removeprefix(V2_METADATA)] = np.asarray(dataset[()]) if written else None
    return found


def _datasets(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Every data set that is linked to from within, once, with its path; links elsewhere are not followed."""
    seen, waiting = {_address(file)}, [("", file, 0)]
    while waiting:
        prefix, group, depth = waiting.pop()
        for name in _texts(group):
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            item = group[name]
            if _address(item) in seen:
                continue
            seen.add(_address(item))
            if isinstance(item, h5py.Dataset):
                yield prefix + name, item
            elif isinstance(item, h5py.Group) and depth < DEEPEST:
                waiting.append((f"{prefix}{name}/", item, depth + 1))


def _texts(names: Iterable[str | bytes]) -> Iterator[str]:
    """The names that are text; of others h5py gives the bytes, and finds nothing under them."""
    return (name for name in names if isinstance(name, str))


def _address(item: h5py.HLObject) -> int:
    """Where it lies in the file, which tells two names of one thing."""
    return int(h5o.get_info(item.id).addr)


def _require_own(name: str, dataset: h5py.Dataset) -> None:
    """Refuse values that lie in other files, before a question makes HDF5 open these.

    Raises:
        ValueError: if they do, or are packed by a filter that HDF5 would look for on the disk.
    """
    creation = dataset.id.get_create_plist()
    if creation.get_layout() == h5d.VIRTUAL or creation.get_external_count():
        raise ValueError(f"the values of {name} are in other files")
    filters = [creation.get_filter(i)[0] for i in range(creation.get_nfilters())]
    if len(set(filters)) < len(filters) or not FILTERS.issuperset(filters):
        raise ValueError(f"{name} is packed in a way that D4RL's arrays are not")


def _require_written(name: str, dataset: h5py.Dataset) -> None:
    """Refuse an array that claims more values than can have been written.

    Raises:
        ValueError: if it does.
    """
    stored, claimed = dataset.id.get_storage_size(), dataset.nbytes
    if dataset.chunks is not None:
        chunk = math.prod(dataset.chunks) * dataset.dtype.itemsize
        claimed = max(claimed, chunk * dataset.id.get_num_chunks())
    packed = dataset.id.get_create_plist().get_nfilters() > 0
    if claimed > stored * (EXPANSION if packed else 1):
        raise ValueError(f"{name} claims {claimed:,} bytes, and only {stored:,} were written")


def read_attributes(file: h5py.File) -> tuple[dict[str, Any], dict[str, dict[str, Array]]]:
    """The metadata, and the weights of the behavior policies by part and name.

    What is neither text nor numbers is nobody's metadata, and left out.

    Raises:
        ValueError: if one claims more than is there, or is no JSON though it begins like it.
    """
    size = os.path.getsize(file.filename)
    metadata: dict[str, Any] = {}
    weights: dict[str, dict[str, Array]] = {}
    for name in _texts(file.attrs):
        value = _attribute(file, name, size)
        if name.startswith(WEIGHTS) and isinstance(value, np.ndarray):
            part, _, weight = name.removeprefix(WEIGHTS).partition("/")
            weights.setdefault(part, {})[weight] = value
        elif value is not None:
            metadata[name] = _decoded(name, value)
    return metadata, weights


def _attribute(file: h5py.File, name: str, size: int) -> Any:
    """Text or numbers; None for anything else."""
    attribute = h5a.open(file.id, name.encode())
    if attribute.shape is None:
        return None
    claimed = math.prod(attribute.shape) * attribute.dtype.itemsize
    if claimed > size:
        raise ValueError(f"its attribute {name} claims {claimed:,} of its {size:,} bytes")
    is_text = h5py.check_string_dtype(attribute.dtype) is not None and attribute.shape == ()
    if not is_text and not _is_numeric(attribute.dtype):
        return None
    value = file.attrs[name]
    if isinstance(value, np.ndarray) and value.dtype == np.bool_:
        require_flags(name, value)
    return value


def _is_numeric(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in NUMBERS and dtype.itemsize <= LARGEST_NUMBER


def _decoded(name: str, value: Any) -> Any:
    """What an attribute means in JSON's types."""
    if isinstance(value, bytes):  # text of a fixed length
        value = value.decode("utf-8", "replace")
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return parse_json(value)
        except ValueError as error:
            raise ValueError(f"its attribute {name} is not the JSON that it begins like: {error}") from error
    return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else value


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
