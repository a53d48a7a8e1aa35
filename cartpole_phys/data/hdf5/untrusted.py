"""Checks of untrusted HDF5 files before their data are read.

A few bytes of HDF5 can claim a terabyte, form cycles, or reference other files. Only data stored in the file
itself are read, and only if their claimed size is possible for the bytes stored.
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
V2_METADATA = "metadata/"  # D4RL's own groups, which duplicate some of our attributes
FILTERS = {h5z.FILTER_SHUFFLE, h5z.FILTER_DEFLATE, h5z.FILTER_LZF, h5z.FILTER_FLETCHER32}
EXPANSION = 1_032  # maximum expansion factor of deflate (zlib's technical details)
MAX_DEPTH = 8  # of nested groups
NUMERIC_KINDS, MAX_ITEMSIZE = "biuf", 8  # NumPy's dtype kinds, and bytes: wider types are platform-dependent


def numeric_datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Numeric HDF5 data sets of a file by path, sorted; others are skipped.

    Raises:
        ValueError: if one is stored in another file, uses an unsupported filter, or claims more bytes than
            the file contains.
    """
    size, stored, found = os.path.getsize(file.filename), 0, {}
    for name, dataset in _datasets(file):
        if name.startswith(V2_METADATA):
            continue
        _require_internal(name, dataset)
        if dataset.shape is None or not _is_numeric(dataset.dtype):
            continue
        _require_plausible_size(name, dataset)
        stored += dataset.id.get_storage_size()
        if stored > size:
            raise ValueError(f"its arrays claim {stored:,} of its {size:,} bytes")
        found[name] = dataset
    return dict(sorted(found.items()))


def v2_datasets(file: h5py.File) -> dict[str, Array | None]:
    """Contents of D4RL's own groups by path within them: numbers and fixed-length strings; None for others.

    Compressed and chunked data sets are None too: a build never writes them here, and they can claim more
    bytes than the file contains.
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
    """Iterate over the data sets and their paths, each once; soft and external links are not followed."""
    seen, pending = {_address(file)}, [("", file, 0)]
    while pending:
        prefix, group, depth = pending.pop()
        for name in _texts(group):
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            item = group[name]
            if _address(item) in seen:
                continue
            seen.add(_address(item))
            if isinstance(item, h5py.Dataset):
                yield prefix + name, item
            elif isinstance(item, h5py.Group) and depth < MAX_DEPTH:
                pending.append((f"{prefix}{name}/", item, depth + 1))


def _texts(names: Iterable[str | bytes]) -> Iterator[str]:
    """Names that are valid text; h5py returns others as bytes, and cannot look them up."""
    return (name for name in names if isinstance(name, str))


def _address(item: h5py.HLObject) -> int:
    """Address of an object in the file, which identifies it among hard links."""
    return int(h5o.get_info(item.id).addr)


def _require_internal(name: str, dataset: h5py.Dataset) -> None:
    """Require values stored in the file itself, before any access makes HDF5 open other files.

    Raises:
        ValueError: if values are in other files, or use a filter that HDF5 would load as a plugin.
    """
    creation = dataset.id.get_create_plist()
    if creation.get_layout() == h5d.VIRTUAL or creation.get_external_count():
        raise ValueError(f"{name} is stored in other files")
    filters = [creation.get_filter(i)[0] for i in range(creation.get_nfilters())]
    if len(set(filters)) < len(filters) or not FILTERS.issuperset(filters):
        raise ValueError(f"{name} uses an unsupported HDF5 filter")


def _require_plausible_size(name: str, dataset: h5py.Dataset) -> None:
    """Require a claimed size that is possible for the bytes stored.

    Raises:
        ValueError: if the array claims more.
    """
    stored, claimed = dataset.id.get_storage_size(), dataset.nbytes
    if dataset.chunks is not None:
        chunk = math.prod(dataset.chunks) * dataset.dtype.itemsize
        claimed = max(claimed, chunk * dataset.id.get_num_chunks())
    filtered = dataset.id.get_create_plist().get_nfilters() > 0
    if claimed > stored * (EXPANSION if filtered else 1):
        raise ValueError(f"{name} claims {claimed:,} bytes, but only {stored:,} are stored")


def read_attributes(file: h5py.File) -> tuple[dict[str, Any], dict[str, dict[str, Array]]]:
    """Read the metadata, and the weights of the behavior policies by part and name.

    Attributes that are neither text nor numeric are skipped.

    Raises:
        ValueError: if an attribute claims more bytes than the file has, or is invalid JSON.
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
            metadata[name] = _decode(name, value)
    return metadata, weights


def _attribute(file: h5py.File, name: str, size: int) -> Any:
    """Value of a text or numeric attribute; None for any other."""
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
    return dtype.kind in NUMERIC_KINDS and dtype.itemsize <= MAX_ITEMSIZE


def _decode(name: str, value: Any) -> Any:
    """Convert the value of an attribute to JSON types."""
    if isinstance(value, bytes):  # fixed-length string
        value = value.decode("utf-8", "replace")
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return parse_json(value)
        except ValueError as error:
            raise ValueError(f"its attribute {name} is invalid JSON: {error}") from error
    return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else value


SIGNATURE = b"GCOL"
HEAP_SIZE = struct.Struct("<8xQ")  # after signature and version
ENTRY = struct.Struct("<HHxxxxQ")  # index (0: free space), reference count, size
WORD = 8  # bytes: alignment of heap objects, and width of a size


def require_sound_heaps(file: h5py.File, datasets: Iterable[h5py.Dataset]) -> None:
    """Require global heaps that HDF5 can traverse, since it loops forever on corrupt ones.

    The values of data sets are not searched for heaps.

    Raises:
        ValueError: if a heap is corrupt.
    """
    if file.id.get_create_plist().get_sizes() != (WORD, WORD):
        raise ValueError(f"its addresses and sizes do not have {WORD} bytes")
    with mmap.mmap(file.id.get_vfd_handle(), 0, access=mmap.ACCESS_READ) as content:
        for start, stop in _complement(_value_regions(datasets), len(content)):
            position = content.find(SIGNATURE, start, stop)
            while position >= 0:
                if not _is_sound(content, position):
                    raise ValueError(f"the heap at byte {position} is corrupt")
                position = content.find(SIGNATURE, position + 1, stop)


def _value_regions(datasets: Iterable[h5py.Dataset]) -> Iterator[tuple[int, int]]:
    """Regions of the file with values: first byte and number of bytes."""
    for dataset in datasets:
        if dataset.chunks is not None:
            chunks: list[Any] = []
            dataset.id.chunk_iter(chunks.append)
            yield from ((chunk.byte_offset, chunk.size) for chunk in chunks)
        elif dataset.id.get_offset() is not None:
            yield dataset.id.get_offset(), dataset.id.get_storage_size()


def _complement(regions: Iterable[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """Regions of the file outside the given ones, as first byte and last + 1."""
    start = 0
    for first, length in sorted(regions):
        if first > start:
            yield start, first
        start = max(start, first + length)
    yield start, size


def _is_sound(content: mmap.mmap, position: int) -> bool:
    """Whether each entry of the heap at a position is followed by the next one, or by its end."""
    if position + HEAP_SIZE.size > len(content):
        return False
    (size,) = HEAP_SIZE.unpack_from(content, position)
    end = min(position + size, len(content))
    entry = position + HEAP_SIZE.size
    while entry + ENTRY.size <= end:
        index, _, length = ENTRY.unpack_from(content, entry)
        entry += length if index == 0 else ENTRY.size + -(-length // WORD) * WORD
        if (index == 0 and length < ENTRY.size) or entry > end:
            return False
    return True
