"""Sharded data sets: a folder of HDF5 files with a manifest, read lazily as one sequence of episodes.

The folder contains ``manifest.json``, with the number of steps and episodes of each shard and its hash, and
the shards ``shard-00000-of-….hdf5``: complete episodes, each file also a data set by itself.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cartpole_phys.data.hashing import ARRAY_HASHES, METADATA_HASH
from cartpole_phys.data.hdf5.file import Reader
from cartpole_phys.episodes import Episode, Episodes, concatenate
from cartpole_phys.episodes.selection import EpisodeSequence, episode_indices
from cartpole_phys.utils.errors import InputError, is_integer, printable
from cartpole_phys.utils.files import atomic_file, parse_json
from cartpole_phys.utils.typing import Array, Flags, FloatArray, IntArray

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
CACHED_SHARDS = 2  # in memory: two, so that access which alternates between neighbors does not reread them
PLAIN_NAME = re.compile(r"\w[\w.-]*", re.ASCII)  # no folder, drive or parent folder
WHOLE = "whole"  # in a shard's metadata, under "shard": metadata of the whole data set
PARTS = ("parts", "scores")  # metadata with one entry per part
SHARD_KEYS = (ARRAY_HASHES, METADATA_HASH, "shard", "summary", *PARTS)  # metadata of a single shard
ROW_KEYS = (ARRAY_HASHES, "rows", "command")  # in the description of a part: values of a shard's rows
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Shard:
    """One file of a sharded data set."""

    file: str  # a plain name in the manifest's folder
    steps: int
    episodes: int
    sha256: str  # of the file's bytes


@dataclass(frozen=True)
class Manifest:
    """Contents of ``manifest.json``."""

    name: str
    shards: tuple[Shard, ...]
    metadata_sha256: str  # of all shards, by ``joined_sha256``


def read_manifest(path: Path) -> Manifest:
    """Read and validate a manifest; the shards are not opened.

    Raises:
        InputError: if the file does not exist, or an entry is missing or invalid.
    """
    try:
        content = parse_json(path.read_text("utf-8"))
        if content["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema_version is {content['schema_version']!r}, not {SCHEMA_VERSION}")
        shards = tuple(_parse_shard(entry) for entry in content["shards"])
        if not shards:
            raise ValueError("it lists no shards")
        return Manifest(str(content["name"]), shards, str(content["metadata_sha256"]))
    except FileNotFoundError as error:
        raise InputError(
            f"Expected a sharded data set with a {MANIFEST}, but the file {str(path)!r} does not exist; "
            "fetch or build the data set again."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise InputError(
            f"Expected the manifest of a sharded data set, but {str(path)!r} is invalid ({reason}); "
            "fetch or build the data set again."
        ) from error


def _parse_shard(entry: Mapping[str, Any]) -> Shard:
    shard = Shard(entry["file"], entry["steps"], entry["episodes"], entry["sha256"])
    if not isinstance(shard.file, str) or not PLAIN_NAME.fullmatch(shard.file):
        raise ValueError(f"{shard.file!r} is not a plain file name")
    for count in (shard.steps, shard.episodes):
        if not is_integer(count) or count < 1:
            raise ValueError(f"{shard.file} needs at least 1 step and 1 episode, got {count!r}")
    if not isinstance(shard.sha256, str) or not SHA256.fullmatch(shard.sha256):
        raise ValueError(f"{shard.file} has no sha256 of 64 hexadecimal digits")
    return shard


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest atomically.

    Raises:
        OSError: if the disk is full or the folder cannot be written.
    """
    text = json.dumps({"schema_version": SCHEMA_VERSION, **asdict(manifest)}, indent=2)
    with atomic_file(path) as partial:
        partial.write_text(text + "\n", "utf-8")


def joined_sha256(hashes: Iterable[str]) -> str:
    """Metadata hash of a sharded data set, from the metadata hashes of its shards in order."""
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def verified_shards(folder: Path) -> Iterator[Reader]:
    """Open each shard of a folder once, and verify its checksum against the manifest.

    Raises:
        InputError: if there is no manifest, or a shard is missing, differs or cannot be read.
    """
    for shard in read_manifest(folder / MANIFEST).shards:
        path = folder / shard.file
        with Reader(path) if path.is_file() else nullcontext() as reader:
            if reader is None or reader.sha256() != shard.sha256:
                raise InputError(
                    f"Expected the shard {shard.file} in {str(folder)!r} with the checksum in its manifest, "
                    "but it is missing or changed; fetch or build the data set again."
                )
            yield reader


class ShardedEpisodes(EpisodeSequence):
    """Sequence of all E episodes, with N steps, of a sharded data set.

    Only the most recently used shards are in memory; an episode is a view, and keeps its shard in memory.
    """

    def __init__(self, folder: Path, read: Callable[[Path], Episodes]) -> None:
        """Open a folder without reading a shard.

        Args:
            folder: contains the manifest and the shards.
            read: returns the episodes of a shard's file.

        Raises:
            InputError: if the manifest is invalid, or a shard's file does not exist.
        """
        self.folder = folder
        self.manifest = read_manifest(folder / MANIFEST)
        self._read = read
        self._recent: dict[int, Episodes] = {}  # by shard index, most recently used last
        self._starts = np.cumsum([0, *(shard.episodes for shard in self.manifest.shards)])  # (shards + 1,)
        for shard in self.manifest.shards:
            if not (folder / shard.file).is_file():
                raise InputError(
                    f"Expected the shard {shard.file} in {str(folder)!r}, but it does not exist; "
                    "fetch or build the data set again."
                )

    def __repr__(self) -> str:
        """Number of episodes and steps, and name; reads no shard."""
        name = printable(self.manifest.name)
        return f"ShardedEpisodes({len(self):,} episodes, {self.steps:,} steps, {name})"

    def __len__(self) -> int:
        """Number of episodes."""
        return int(self._starts[-1])

    def _episode(self, index: int) -> Episode:
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._shard(number)[index - int(self._starts[number])]

    def shards(self) -> Iterator[Episodes]:
        """Iterate over the episodes of each shard.

        Raises:
            InputError: if a shard cannot be read, or differs from the manifest.
        """
        return (self._shard(number) for number in range(len(self.manifest.shards)))

    @property
    def steps(self) -> int:
        """Number of steps N."""
        return sum(shard.steps for shard in self.manifest.shards)

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """Metadata of the whole data set, from the first shard."""
        return _dataset_metadata(self._shard(0).metadata)

    @property
    def lengths(self) -> IntArray:
        """Steps per episode, shape (E,); the first access reads every shard."""
        return self._lengths_and_returns[0]

    @property
    def returns(self) -> FloatArray:
        """Undiscounted return per episode, shape (E,); the first access reads every shard."""
        return self._lengths_and_returns[1]

    @cached_property
    def _lengths_and_returns(self) -> tuple[IntArray, FloatArray]:
        lengths, returns = zip(*((shard.lengths, shard.returns) for shard in self.shards()), strict=True)
        return np.concatenate(lengths), np.concatenate(returns)

    @property
    def offsets(self) -> IntArray:
        """Index of the first row of each episode, and N, shape (E + 1,)."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    @property
    def observations(self) -> npt.NDArray[np.float32]:
        """The observation before each step, shape (N, obs), concatenated as every array below."""
        return self._concatenated(lambda shard: shard.observations)

    @property
    def actions(self) -> Array:
        """The action of each step, shape (N, act) or (N,)."""
        return self._concatenated(lambda shard: shard.actions)

    @property
    def rewards(self) -> npt.NDArray[np.float32]:
        """The reward of each step, shape (N,)."""
        return self._concatenated(lambda shard: shard.rewards)

    @property
    def terminations(self) -> Flags:
        """Whether the episode terminated at each step, shape (N,)."""
        return self._concatenated(lambda shard: shard.terminations)

    @property
    def truncations(self) -> Flags:
        """Whether the episode was truncated at each step, shape (N,)."""
        return self._concatenated(lambda shard: shard.truncations)

    @property
    def final_observations(self) -> npt.NDArray[np.float32]:
        """The observation after the last step of each episode, shape (E, obs)."""
        return self._concatenated(lambda shard: shard.final_observations)

    @property
    def next_observations(self) -> npt.NDArray[np.float32]:
        """The observation after each step, shape (N, obs)."""
        return self._concatenated(lambda shard: shard.next_observations)

    @property
    def returns_to_go(self) -> FloatArray:
        """Sum of rewards from each step to the end of its episode, shape (N,)."""
        return self._concatenated(lambda shard: shard.returns_to_go)

    @property
    def complete(self) -> Flags:
        """Whether each episode ended by termination or time limit, shape (E,)."""
        return self._concatenated(lambda shard: shard.complete)

    @property
    def infos(self) -> dict[str, Array]:
        """Infos of all steps by name, each of shape (N, …)."""
        return {name: self._array(f"infos/{name}") for name in self._shard(0).infos}

    def as_d4rl(self) -> dict[str, Array]:
        """Flat arrays of all steps under D4RL's keys."""
        return self.load().as_d4rl()

    def _array(self, key: str) -> Array:
        return self._concatenated(lambda shard: shard[key])

    def _concatenated(self, array: Callable[[Episodes], Array]) -> Array:
        return np.concatenate(list(map(array, self.shards())))

    def select(self, indices: npt.ArrayLike) -> Episodes:
        """Load the episodes of the given indices, shape (K,), in this order; each shard is read once.

        Raises:
            InputError: if an index is invalid.
        """
        selected = episode_indices(indices, len(self))
        numbers = np.searchsorted(self._starts, selected, side="right") - 1  # shard of each episode, (K,)
        by_shard = np.argsort(numbers, kind="stable")
        parts = [
            self._shard(number).select(selected[numbers == number] - self._starts[number])
            for number in (np.unique(numbers).tolist() if len(selected) else [0])
        ]
        return replace(
            concatenate(parts).select(np.argsort(by_shard)), metadata=_dataset_metadata(parts[0].metadata)
        )

    def load(self) -> Episodes:
        """Load all episodes into memory; the metadata include the parts of the data set and their scores."""
        shards = list(self.shards())
        metadata = [shard.metadata for shard in shards]
        return replace(concatenate(shards), metadata={**_dataset_metadata(metadata[0]), **_parts(metadata)})

    def _shard(self, number: int) -> Episodes:
        """Return a shard through the cache of recently used shards."""
        if number in self._recent:
            self._recent[number] = self._recent.pop(number)
        else:
            while len(self._recent) >= CACHED_SHARDS:
                del self._recent[next(iter(self._recent))]
            self._recent[number] = self._load_shard(number)
        return self._recent[number]

    def _load_shard(self, number: int) -> Episodes:
        """Read a shard, and verify its size against the manifest.

        Raises:
            InputError: if the number of steps or episodes differs.
        """
        shard = self.manifest.shards[number]
        episodes = self._read(self.folder / shard.file)
        expected, got = (shard.steps, shard.episodes), (episodes.steps, len(episodes))
        if got != expected:
            raise InputError(
                f"Expected {expected[0]:,} steps in {expected[1]:,} episodes in the shard {shard.file}, got "
                f"{got[0]:,} in {got[1]:,}; fetch or build the data set again."
            )
        return episodes


def _shard_entry(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Entry in a shard's metadata with its position in the data set."""
    entry = metadata.get("shard")
    return entry if isinstance(entry, Mapping) else {}


def _dataset_metadata(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Metadata of the whole data set, derived from those of any one shard."""
    whole = _shard_entry(metadata).get(WHOLE)
    if not isinstance(whole, Mapping):
        return metadata
    return {name: value for name, value in {**metadata, **whole}.items() if name not in SHARD_KEYS}


def _parts(shards: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Parts of the whole data set and their scores, from the first shard of each part."""
    firsts = [metadata for metadata in shards if _shard_entry(metadata).get("number_in_part") == 0]
    per_shard: dict[str, list[Any]] = {name: [metadata.get(name) for metadata in firsts] for name in PARTS}
    return {
        name: [_without_row_keys(entry) for entries in lists for entry in entries]
        for name, lists in per_shard.items()
        if lists and all(isinstance(entries, list) for entries in lists)
    }


def _without_row_keys(entry: Any) -> Any:
    """Description of a part, or its score, without values that describe a single shard's rows."""
    if not isinstance(entry, Mapping):
        return entry
    return {name: value for name, value in entry.items() if name not in ROW_KEYS}
