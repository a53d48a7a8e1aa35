"""D4RL's HDF5 layout: flat, row-aligned arrays at the root, metadata in root attributes.

Arrays are shuffled and deflated here, in threads, and handed to HDF5 as finished chunks; any HDF5 reader
opens them. Metadata are attributes because data sets under ``metadata/`` break ``d4rl.sequence_dataset``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from cartpole_phys.episodes import Episodes
from cartpole_phys.errors import InputError

Array = npt.NDArray[Any]

SCHEMA_VERSION = 1
ROWS_PER_CHUNK = 16_384
COMPRESSION_LEVEL = 2  # of isal's 0 to 3
WEIGHTS = "policy_weights/"  # attributes under this name are a behaviour policy's weights
ARRAY_HASHES, METADATA_HASH = "sha256", "metadata_sha256"
REQUIRED = ("observations", "next_observations", "actions", "rewards", "terminals", "timeouts")


@dataclass(frozen=True)
class Contents:
    """A file as it is: arrays by path, attributes by name, policy weights by part and name."""

    arrays: Mapping[str, Array]
    metadata: Mapping[str, Any]
    weights: Mapping[str, Mapping[str, Array]]


def array_sha256(array: Array) -> str:
    """Hash of an array's type, shape and values."""
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def metadata_sha256(metadata: Mapping[str, Any], weights: Mapping[str, Mapping[str, Array]]) -> str:
    """Hash of all metadata but itself, the policy weights included."""
    hashed: dict[str, Any] = {name: value for name, value in metadata.items() if name != METADATA_HASH}
    hashed["weights"] = {
        part: {name: array_sha256(array) for name, array in arrays.items()}
        for part, arrays in weights.items()
    }
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()


def contents_of(
    episodes: Episodes, metadata: Mapping[str, Any], weights: Mapping[str, Mapping[str, Array]]
) -> Contents:
    """What is to be written: D4RL's arrays, and the metadata completed with all hashes."""
    arrays = {name: np.ascontiguousarray(array) for name, array in episodes.as_d4rl().items()}
    return sealed(Contents(arrays, metadata, weights))


def sealed(contents: Contents) -> Contents:
    """The same contents with their hashes computed anew."""
    hashes = {name: array_sha256(array) for name, array in sorted(contents.arrays.items())}
    metadata = {**contents.metadata, ARRAY_HASHES: hashes}
    metadata[METADATA_HASH] = metadata_sha256(metadata, contents.weights)
    return Contents(contents.arrays, metadata, contents.weights)


def write(path: Path, contents: Contents) -> None:
    """Write a file and bring it safely to disk.

    Raises:
        OSError: if the disk is full or the folder cannot be written.
    """
    with h5py.File(path, "w") as file:
        for name, array in contents.arrays.items():
            _write_array(file, name, array)
        for name, value in contents.metadata.items():
            file.attrs[name] = json.dumps(value, sort_keys=True) if isinstance(value, (dict, list)) else value
        for part, weights in contents.weights.items():
            for name, array in weights.items():
                file.attrs[f"{WEIGHTS}{part}/{name}"] = array
    with open(path, "rb+") as handle:
        os.fsync(handle.fileno())


def _write_array(file: h5py.File, name: str, array: Array) -> None:
    rows = min(ROWS_PER_CHUNK, len(array))
    dataset = file.create_dataset(
        name, array.shape, array.dtype, chunks=(rows, *array.shape[1:]), compression="gzip", shuffle=True
    )
    trailing = (0,) * (array.ndim - 1)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for i, chunk in enumerate(pool.map(_deflate, _chunks(array, rows))):
            dataset.id.write_direct_chunk((i * rows, *trailing), chunk)


def _chunks(array: Array, rows: int) -> Iterator[Array]:
    """Blocks of equally many rows, the last one filled up with zeros."""
    for start in range(0, len(array), rows):
        block = array[start : start + rows]
        if len(block) < rows:
            block = np.concatenate([block, np.zeros((rows - len(block), *array.shape[1:]), array.dtype)])
        yield block


def _deflate(block: Array) -> bytes:
    """A block as HDF5's shuffle and deflate filters would leave it."""
    planes = (
        block.reshape(-1).view(np.uint8).reshape(-1, block.itemsize)
    )  # (rows, …) -> (values, bytes a value)
    return isal_zlib.compress(np.ascontiguousarray(planes.T), COMPRESSION_LEVEL)


def read(path: str | os.PathLike[str]) -> Contents:
    """Everything in a file, unchecked.

    Raises:
        InputError: if there is no such file, or it is not a readable HDF5 file.
    """
    if not Path(path).is_file():
        raise InputError(f"There is no file {os.fspath(path)!r}; build a data set with: build-dataset --help")
    try:
        with h5py.File(path, "r") as file:
            arrays: dict[str, Array] = {}
            file.visititems(lambda name, item: _collect(arrays, name, item))
            metadata, weights = _attributes(file)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"Expected a D4RL HDF5 file, but {os.fspath(path)!r} cannot be read ({reason}); "
            "it may be truncated or of another format: fetch or build it again."
        ) from error
    return Contents(arrays, metadata, weights)


def _collect(arrays: dict[str, Array], name: str, item: Any) -> None:
    if isinstance(item, h5py.Dataset) and item.shape is not None and item.dtype.kind in "biuf":
        arrays[name] = item[()]


def _attributes(file: h5py.File) -> tuple[dict[str, Any], dict[str, dict[str, Array]]]:
    metadata: dict[str, Any] = {}
    weights: dict[str, dict[str, Array]] = {}
    for name, value in file.attrs.items():
        if name.startswith(WEIGHTS):
            part, weight = name.removeprefix(WEIGHTS).split("/", 1)
            weights.setdefault(part, {})[weight] = np.asarray(value)
        elif isinstance(value, str) and value[:1] in ("{", "["):
            metadata[name] = json.loads(value)
        else:
            metadata[name] = value.item() if isinstance(value, np.generic) else value
    return metadata, weights


def missing_arrays(arrays: Mapping[str, Array]) -> list[str]:
    """Which of D4RL's required arrays are not there, or not aligned with the rewards."""
    rows = len(arrays["rewards"]) if "rewards" in arrays and arrays["rewards"].ndim else -1
    return [
        name for name in REQUIRED if name not in arrays or not arrays[name].ndim or len(arrays[name]) != rows
    ]


def load_dataset(path: str | os.PathLike[str]) -> Episodes:
    """The episodes of a D4RL HDF5 file, with its metadata.

    Raises:
        InputError: if there is no such file, or it does not hold D4RL's arrays with equally many rows.
    """
    contents = read(path)
    missing = missing_arrays(contents.arrays)
    if missing:
        raise InputError(
            f"Expected D4RL's arrays {', '.join(REQUIRED)} with equally many rows in {os.fspath(path)!r}, "
            f"but {missing[0]!r} is missing or of another length; see: cartpole-phys check FILE"
        )
    return Episodes.from_d4rl(contents.arrays, contents.metadata)
