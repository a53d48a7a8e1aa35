"""SHA-256 of files, arrays and metadata."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cartpole_phys.utils.typing import Array

ARRAY_HASHES, METADATA_HASH = "sha256", "metadata_sha256"  # root attributes of a file


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class ArrayHash:
    """Incremental SHA-256 of an array's dtype, shape and values."""

    def __init__(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        """Start with the dtype and the shape of the whole array."""
        self._digest = hashlib.sha256(f"{dtype.str}{shape}".encode())

    def update(self, rows: Array) -> None:
        """Add the next rows."""
        self._digest.update(np.ascontiguousarray(rows).data)

    def hexdigest(self) -> str:
        """The hash, after all rows were added."""
        return self._digest.hexdigest()


class TableHash:
    """Incremental SHA-256 of row-aligned arrays, by name."""

    def __init__(self, rows: int) -> None:
        """Start hashes of arrays with ``rows`` rows each."""
        self._rows = rows
        self._hashes: dict[str, ArrayHash] = {}

    def update(self, arrays: Mapping[str, Array], map_: Callable[..., Iterable[None]] = map) -> None:
        """Add the next rows of every array; ``map_`` may run in threads."""
        for name, array in arrays.items():
            if name not in self._hashes:
                self._hashes[name] = ArrayHash(array.dtype, (self._rows, *array.shape[1:]))
        deque(map_(lambda name: self._hashes[name].update(arrays[name]), arrays), maxlen=0)

    def hexdigests(self) -> dict[str, str]:
        """The hashes by array name, after all rows were added."""
        return {name: digest.hexdigest() for name, digest in self._hashes.items()}


def array_sha256(array: Array) -> str:
    """SHA-256 of an array's dtype, shape and values."""
    digest = ArrayHash(array.dtype, array.shape)
    digest.update(array)
    return digest.hexdigest()


def metadata_sha256(metadata: Mapping[str, Any], weights: Mapping[str, Mapping[str, Array]]) -> str:
    """SHA-256 of all metadata, except this hash itself, and of the policy weights."""
    hashed: dict[str, Any] = {name: value for name, value in metadata.items() if name != METADATA_HASH}
    hashed["weights"] = {
        part: {name: array_sha256(array) for name, array in arrays.items()}
        for part, arrays in weights.items()
    }
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()


def with_hashes(
    metadata: Mapping[str, Any], weights: Mapping[str, Mapping[str, Array]], hashes: Mapping[str, str]
) -> dict[str, Any]:
    """Metadata with the hash of every array and of the metadata themselves added."""
    complete = {**metadata, ARRAY_HASHES: dict(sorted(hashes.items()))}
    return {**complete, METADATA_HASH: metadata_sha256(complete, weights)}
