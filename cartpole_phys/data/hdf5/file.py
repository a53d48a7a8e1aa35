"""D4RL's HDF5 layout: flat, row-aligned arrays at the root, metadata in root attributes.

Metadata are attributes because data sets under ``metadata/`` break ``d4rl.sequence_dataset``. Files are
written and read in pieces, so that memory does not grow with the file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import h5py
import numpy as np

from cartpole_phys.data.hashing import TableHash, with_hashes
from cartpole_phys.data.hdf5.deflate import ChunkError, deflate, inflate
from cartpole_phys.data.hdf5.untrusted import (
    WEIGHTS,
    numeric_datasets,
    read_attributes,
    require_sound_heaps,
    v2_datasets,
)
from cartpole_phys.data.hdf5.write_errors import hdf5_file
from cartpole_phys.episodes.d4rl_layout import require_flags
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import Array

Weights = Mapping[str, Mapping[str, Array]]  # by part and name

SCHEMA_VERSION = 1
ROWS_PER_CHUNK = 16_384
REQUIRED = ("observations", "next_observations", "actions", "rewards", "terminals", "timeouts")
THREADS = os.cpu_count() or 1
LIBRARY_VERSIONS = ("v108", "v108")  # of the HDF5 format: older ones limit attributes to 64 KB


class ArraySpec(NamedTuple):
    """Dtype and shape of an array."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Header:
    """Contents of a file except the values of its arrays."""

    arrays: Mapping[str, ArraySpec]
    metadata: Mapping[str, Any]
    weights: Weights
    v2_metadata: Mapping[str, Array | None] = field(
        default_factory=dict
    )  # D4RL's own groups; None: unsupported type

    @property
    def rows(self) -> int:
        """Number of transitions: the length of the rewards."""
        shape = self.arrays["rewards"].shape if "rewards" in self.arrays else ()
        return shape[0] if shape else 0

    @property
    def has_recipe(self) -> bool:
        """Whether the file claims to be built by this package, unlike D4RL's own files."""
        return "schema_version" in self.metadata or "recipe" in self.metadata

    @property
    def aligned(self) -> list[str]:
        """Names of the arrays with one row per transition."""
        return [name for name, spec in self.arrays.items() if spec.shape[:1] == (self.rows,)]


class Writer:
    """Streaming writer of a file: shuffles, deflates and hashes rows in threads.

    Use it as a context manager. Every ``append`` takes rows of the same arrays; ``finish`` adds the metadata.

    Raises:
        OSError: if the disk is full or the folder cannot be written.
    """

    def __init__(self, path: Path, rows: int) -> None:
        """Create a file for ``rows`` rows."""
        self._path, self._rows, self._written = path, rows, 0
        self._context = ExitStack()
        self._file, self._storage = self._context.enter_context(hdf5_file(path, "w", libver=LIBRARY_VERSIONS))
        self._pool, self._hasher = ThreadPoolExecutor(THREADS), ThreadPoolExecutor(1)
        self._hashes = TableHash(rows)
        self._datasets: dict[str, h5py.Dataset] = {}
        self._pending: dict[str, Array] = {}  # rows of an incomplete chunk
        self._running: deque[tuple[int, Future[dict[str, bytes]]]] = deque()  # first row, compressed chunks

    def append(self, arrays: Mapping[str, Array]) -> None:
        """Append rows."""
        if not self._pending:
            for name, array in arrays.items():
                self._create(name, array)
        rows = {
            name: np.concatenate([self._pending[name], array]) if len(self._pending[name]) else array
            for name, array in arrays.items()
        }
        hashed = self._hasher.submit(self._hashes.update, arrays)  # concurrently with compression
        full = len(rows["rewards"]) // ROWS_PER_CHUNK * ROWS_PER_CHUNK
        self._write(rows, full)
        self._pending = {name: array[full:].copy() for name, array in rows.items()}
        hashed.result()

    def hexdigests(self) -> dict[str, str]:
        """The hash of every array, after all rows were appended."""
        return self._hashes.hexdigests()

    def finish(self, metadata: Mapping[str, Any], weights: Weights) -> dict[str, Any]:
        """Write the remaining rows, the metadata and all hashes.

        Returns:
            The metadata as written, including all hashes.
        """
        self._write(self._pending, len(self._pending["rewards"]))
        self._drain(0)
        assert self._written == self._rows
        complete = with_hashes(metadata, weights, self.hexdigests())
        for name, value in complete.items():
            self._file.attrs[name] = (
                json.dumps(value, sort_keys=True) if isinstance(value, (dict, list)) else value
            )
        for part, arrays in weights.items():
            for name, array in arrays.items():
                self._file.attrs[f"{WEIGHTS}{part}/{name}"] = array
        return complete

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in (self._pool, self._hasher):
            pool.shutdown(cancel_futures=True)
        self._context.__exit__(kind, error, trace)

    def _create(self, name: str, array: Array) -> None:
        shape = (self._rows, *array.shape[1:])
        chunks = (min(ROWS_PER_CHUNK, self._rows), *array.shape[1:])
        self._datasets[name] = self._file.create_dataset(
            name, shape, array.dtype, chunks=chunks, compression="gzip", shuffle=True
        )
        self._pending[name] = array[:0]

    def _write(self, rows: Mapping[str, Array], count: int) -> None:
        """Compress the first ``count`` rows in the background."""
        size = min(ROWS_PER_CHUNK, self._rows)
        for start in range(0, count, size):
            piece = {name: array[start : min(start + size, count)] for name, array in rows.items()}
            self._running.append((self._written + start, self._pool.submit(_deflated, piece, size)))
            self._drain(4 * THREADS)
        self._written += count

    def _drain(self, remaining: int) -> None:
        """Write finished chunks, until at most ``remaining`` rounds of them are still running."""
        while len(self._running) > remaining:
            start, chunks = self._running.popleft()
            for name, chunk in chunks.result().items():
                trailing = (0,) * (self._pending[name].ndim - 1)
                self._datasets[name].id.write_direct_chunk((start, *trailing), chunk)
            self._storage.raise_error()


def _deflated(rows: Mapping[str, Array], chunk_rows: int) -> dict[str, bytes]:
    """Compress one chunk of each array."""
    return {name: deflate(array, chunk_rows) for name, array in rows.items()}


class Reader:
    """Reader of a file's header and of ranges of its rows. Use it as a context manager.

    Raises:
        InputError: if the file does not exist, is corrupt or is not HDF5.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open a file and read its header."""
        if not Path(path).is_file():
            raise InputError(
                f"There is no file {os.fspath(path)!r}; build a data set with: build-dataset --help"
            )
        self._path = path
        self._pool = ThreadPoolExecutor(THREADS)
        with self._input_errors():
            self._file = h5py.File(path, "r")
            try:
                self._datasets = numeric_datasets(self._file)
                require_sound_heaps(self._file, self._datasets.values())
                metadata, weights = read_attributes(self._file)
                v2_metadata = v2_datasets(self._file)
            except BaseException:
                self._file.close()
                raise
        specs = {name: ArraySpec(item.dtype, item.shape) for name, item in self._datasets.items()}
        self.header = Header(specs, metadata, weights, v2_metadata)

    def sha256(self) -> str:
        """SHA-256 of the bytes of the open file, even if its path has been replaced since."""
        with open(os.dup(self._file.id.get_vfd_handle()), "rb") as opened:
            position = opened.tell()  # shared with HDF5
            opened.seek(0)
            digest = hashlib.file_digest(opened, "sha256")
            opened.seek(position)
        return digest.hexdigest()

    def rows(self, names: Iterable[str], start: int = 0, stop: int | None = None) -> dict[str, Array]:
        """Read rows ``start`` to ``stop`` of the named arrays; by default, to the end.

        Raises:
            InputError: if the file is corrupt, or a bool is neither 0 nor 1.
        """
        with self._input_errors():
            arrays, running = {}, []
            for name in names:
                dataset = self._datasets[name]
                if not dataset.ndim or not _has_standard_layout(dataset):
                    arrays[name] = dataset[start:stop] if dataset.ndim else dataset[()]
                    continue
                end = len(dataset) if stop is None else min(stop, len(dataset))
                arrays[name] = np.empty((max(end - start, 0), *dataset.shape[1:]), dataset.dtype)
                running += self._inflate(dataset, arrays[name], start, end)
            for chunk in running:
                chunk.result()
        for name, rows in arrays.items():
            if rows.dtype == np.bool_:
                require_flags(name, rows)
        return arrays

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._file.close()

    def _inflate(self, dataset: h5py.Dataset, rows: Array, start: int, stop: int) -> list[Future[None]]:
        """Start threads that inflate rows ``start`` to ``stop`` of a data set into ``rows``."""
        size, trailing, running = dataset.chunks[0], (0,) * (dataset.ndim - 1), []
        for first in range(start // size * size, stop, size):
            filter_mask, chunk = dataset.id.read_direct_chunk((first, *trailing))
            low, high = max(first, start), min(first + size, stop)
            target = rows[low - start : high - start]
            if filter_mask:  # HDF5 skips a filter that does not reduce the size
                target[:] = dataset[low:high]
            else:
                running.append(self._pool.submit(inflate, chunk, size, target, low - first))
        return running

    @contextmanager
    def _input_errors(self) -> Iterator[None]:
        """Convert HDF5's exceptions to a one-line ``InputError``."""
        try:
            yield
        except (OSError, RuntimeError, ValueError, TypeError, KeyError, MemoryError, ChunkError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"Expected a D4RL HDF5 file, but {os.fspath(self._path)!r} cannot be read ({reason}); "
                "it may be truncated or have another format; fetch or build it again."
            ) from error


def _has_standard_layout(dataset: h5py.Dataset) -> bool:
    """Whether a data set has the layout of ``Writer``: chunks of complete rows, shuffled and deflated."""
    return (
        dataset.chunks is not None
        and dataset.chunks[1:] == dataset.shape[1:]
        and (dataset.compression, dataset.shuffle, dataset.fletcher32) == ("gzip", True, False)
        and dataset.id.get_num_chunks() == -(-len(dataset) // dataset.chunks[0])
        and dataset.dtype.isnative
    )


@dataclass(frozen=True)
class Contents:
    """Contents of a file in memory."""

    arrays: Mapping[str, Array]
    metadata: Mapping[str, Any]
    weights: Weights


def read_header(path: str | os.PathLike[str]) -> Header:
    """Read the contents of a file except the values of its arrays.

    Raises:
        InputError: if the file does not exist, is corrupt or is not HDF5.
    """
    with Reader(path) as reader:
        return reader.header


def read(path: str | os.PathLike[str]) -> Contents:
    """Read all contents of a file, without running the gates.

    Raises:
        InputError: if the file does not exist, is corrupt or is not HDF5.
    """
    with Reader(path) as reader:
        header = reader.header
        return Contents(reader.rows(header.arrays), header.metadata, header.weights)


def write(path: Path, contents: Contents) -> None:
    """Write a file, and recompute its hashes.

    Raises:
        OSError: if the disk is full or the folder cannot be written.
    """
    with Writer(path, len(contents.arrays["rewards"])) as writer:
        writer.append(contents.arrays)
        writer.finish(contents.metadata, contents.weights)
