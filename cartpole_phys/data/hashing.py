"""Hashes of files, arrays and metadata: what a file states about itself, and what it is named by."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cartpole_phys.utils.typing import Array

ARRAY_HASHES, METADATA_HASH = "sha256", "metadata_sha256"  # attributes


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class ArrayHash:
    """Hash of an array's type, shape and values, of an array that comes in pieces."""

    def __init__(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        """Begin with what the whole array will be."""
        self._digest = hashlib.sha256(f"{dtype.str}{shape}".encode())

    def update(self, rows: Array) -> None:
        """Add the next rows."""
        self._digest.update(np.ascontiguousarray(rows).data)

    def hexdigest(self) -> str:
        """The hash, once all rows were added."""
        return self._digest.hexdigest()


class TableHash:
    """Hashes of row-aligned arrays that come in pieces, by name."""

    def __init__(self, rows: int) -> None:
        """Begin arrays that will have so many rows."""
        self._rows = rows
        self._hashes: dict[str, ArrayHash] = {}

    def update(self, arrays: Mapping[str, Array], map_: Callable[..., Iterable[None]] = map) -> None:
        """Add the next rows of every array; ``map_`` may work in threads."""
        for name, array in arrays.items():
            if name not in self._hashes:
                self._hashes[name] = ArrayHash(array.dtype, (self._rows, *array.shape[1:]))
        deque(map_(lambda name: self._hashes[name].update(arrays[name]), arrays), maxlen=0)

    def hexdigests(self) -> dict[str, str]:
        """The hashes, once all rows were added."""
        return {name: whole.hexdigest() for name, whole in self._hashes.items()}


def array_sha256(array: Array) -> str:
    """Hash of an array's type, shape and values."""
    whole = ArrayHash(array.dtype, array.shape)
    whole.update(array)
    return whole.hexdigest()


def metadata_sha256(metadata: Mapping[str, Any], weights: Mapping[str, Mapping[str, Array]]) -> str:
    """Hash of all metadata but itself, the policy weights included."""
    hashed: dict[str, Any] = {name: value for name, value in metadata.items() if name != METADATA_HASH}
    hashed["weights"] = {
        part: {name: array_sha256(array) for name, array in arrays.items()}
        for part, arrays in weights.items()
    }
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()


def sealed(
    metadata: Mapping[str, Any], weights: Mapping[str, Mapping[str, Array]], hashes: Mapping[str, str]
) -> dict[str, Any]:
    """The metadata with the hash of every array and of the metadata themselves."""
    complete = {**metadata, ARRAY_HASHES: dict(sorted(hashes.items()))}
    return {**complete, METADATA_HASH: metadata_sha256(complete, weights)}
