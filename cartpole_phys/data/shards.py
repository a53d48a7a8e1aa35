"""A data set in several files, its shards, that acts as one and keeps only a few of them in memory.

::

    folder/
        manifest.json       which files, with how many steps and episodes, and their hashes
        shard-00000.hdf5    whole episodes, each file a data set by itself; and so on
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
KEPT = 2  # shards in memory: one that is read from, and one for an order that goes back and forth
PLAIN_NAME = re.compile(r"\w[\w.-]*", re.ASCII)  # without a folder, a drive or a way up
WHOLE = "whole"  # in a shard's metadata, under "shard": what the set has otherwise than the shard itself
PARTS = ("parts", "scores")  # in a file's metadata: one entry for each of its parts
SHARDS_OWN = (ARRAY_HASHES, METADATA_HASH, "shard", "summary", *PARTS)  # what is not so of the whole set
ROWS_OWN = (ARRAY_HASHES, "rows", "command")  # in the description of a part: what is of these rows alone
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
    """What ``manifest.json`` says."""

    name: str
    shards: tuple[Shard, ...]
    metadata_sha256: str  # of all shards' together, by ``joined_sha256``


def read_manifest(path: Path) -> Manifest:
    """A manifest, checked by itself: its shards are not looked at.

    Raises:
        InputError: if there is none, or something in it is missing or of a wrong kind.
    """
    try:
        written = parse_json(path.read_text("utf-8"))
        if written["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema_version is {written['schema_version']!r}, not {SCHEMA_VERSION}")
        shards = tuple(_checked_shard(shard) for shard in written["shards"])
        if not shards:
            raise ValueError("it names no shards")
        return Manifest(str(written["name"]), shards, str(written["metadata_sha256"]))
    except FileNotFoundError as error:
        raise InputError(
            f"Expected a sharded data set with its {MANIFEST}, but there is no file {str(path)!r}; "
            "fetch or build the data set again."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise InputError(
            f"Expected the manifest of a sharded data set, but {str(path)!r} cannot be used ({reason}); "
            "fetch or build the data set again."
        ) from error


def _checked_shard(written: Mapping[str, Any]) -> Shard:
    shard = Shard(written["file"], written["steps"], written["episodes"], written["sha256"])
    if not isinstance(shard.file, str) or not PLAIN_NAME.fullmatch(shard.file):
        raise ValueError(f"{shard.file!r} is not a plain file name")
    for count in (shard.steps, shard.episodes):
        if not is_integer(count) or count < 1:
            raise ValueError(f"{shard.file} should have at least 1 step and 1 episode, not {count!r}")
    if not isinstance(shard.sha256, str) or not SHA256.fullmatch(shard.sha256):
        raise ValueError(f"{shard.file} has no sha256 of 64 hexadecimal digits")
    return shard


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest safely to disk; under its name there is never half of one.

    Raises:
        OSError: if the disk is full or the folder cannot be written.
    """
    text = json.dumps({"schema_version": SCHEMA_VERSION, **asdict(manifest)}, indent=2)
    with atomic_file(path) as partial:
        partial.write_text(text + "\n", "utf-8")


def joined_sha256(hashes: Iterable[str]) -> str:
    """The hash of a whole data set's metadata, from those of its shards in their order."""
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def verified_shards(folder: Path) -> Iterator[Reader]:
    """The shards of a folder, each opened once and byte by byte as the manifest says.

    Raises:
        InputError: if there is no manifest, or a shard is missing, changed or cannot be read.
    """
    for shard in read_manifest(folder / MANIFEST).shards:
        path = folder / shard.file
        with Reader(path) if path.is_file() else nullcontext() as reader:
            if reader is None or reader.sha256() != shard.sha256:
                raise InputError(
                    f"Expected the shard {shard.file} in {str(folder)!r} as its manifest says, but it is "
                    "missing or changed; fetch or build the data set again."
                )
            yield reader


class ShardedEpisodes(EpisodeSequence):
    """The episodes of all shards, one shard after another, as one sequence of E episodes and N steps.

    Only the shards last used are in memory; an episode holds its own one there for as long as it is kept.
    """

    def __init__(self, folder: Path, read: Callable[[Path], Episodes]) -> None:
        """Open a folder; no shard is read yet.

        Args:
            folder: where the manifest and the shards are.
            read: gives the episodes of one shard's file.

        Raises:
            InputError: if the manifest cannot be used, or a shard's file is not there.
        """
        self.folder = folder
        self.manifest = read_manifest(folder / MANIFEST)
        self._read = read
        self._recent: dict[int, Episodes] = {}  # the one last used at the end
        self._starts = np.cumsum([0, *(shard.episodes for shard in self.manifest.shards)])  # (shards + 1,)
        for shard in self.manifest.shards:
            if not (folder / shard.file).is_file():
                raise InputError(
                    f"Expected the shard {shard.file} in {str(folder)!r}, but it is not there; "
                    "fetch or build the data set again."
                )

    def __repr__(self) -> str:
        """How much there is of what; reads no shard."""
        name = printable(self.manifest.name)
        return f"ShardedEpisodes({len(self):,} episodes, {self.steps:,} steps, {name})"

    def __len__(self) -> int:
        """Number of episodes."""
        return int(self._starts[-1])

    def _episode(self, index: int) -> Episode:
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._shard(number)[index - int(self._starts[number])]

    def shards(self) -> Iterator[Episodes]:
        """The episodes of one shard after another.

        Raises:
            InputError: if a shard cannot be read, or is not what the manifest says.
        """
        return (self._shard(number) for number in range(len(self.manifest.shards)))

    @property
    def steps(self) -> int:
        """Number of steps N."""
        return sum(shard.steps for shard in self.manifest.shards)

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """What a shard's metadata say of the whole data set."""
        return _of_whole(self._shard(0).metadata)

    @property
    def lengths(self) -> IntArray:
        """Steps per episode, shape (E,); asked for the first time, this reads every shard."""
        return self._lengths_and_returns[0]

    @property
    def returns(self) -> FloatArray:
        """Undiscounted return per episode, shape (E,); asked for the first time, this reads every shard."""
        return self._lengths_and_returns[1]

    @cached_property
    def _lengths_and_returns(self) -> tuple[IntArray, FloatArray]:
        lengths, returns = zip(*((shard.lengths, shard.returns) for shard in self.shards()), strict=True)
        return np.concatenate(lengths), np.concatenate(returns)

    @property
    def offsets(self) -> IntArray:
        """The first row of each episode, and N, shape (E + 1,)."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    @property
    def observations(self) -> npt.NDArray[np.float32]:
        """The observation before each step, shape (N, obs); as every array below, joined from all shards."""
        return self._joined(lambda shard: shard.observations)

    @property
    def actions(self) -> Array:
        """The action of each step, shape (N, act) or (N,)."""
        return self._joined(lambda shard: shard.actions)

    @property
    def rewards(self) -> npt.NDArray[np.float32]:
        """The reward of each step, shape (N,)."""
        return self._joined(lambda shard: shard.rewards)

    @property
    def terminations(self) -> Flags:
        """Where episodes terminated, shape (N,)."""
        return self._joined(lambda shard: shard.terminations)

    @property
    def truncations(self) -> Flags:
        """Where episodes were truncated, shape (N,)."""
        return self._joined(lambda shard: shard.truncations)

    @property
    def final_observations(self) -> npt.NDArray[np.float32]:
        """The observation after each episode's last step, shape (E, obs)."""
        return self._joined(lambda shard: shard.final_observations)

    @property
    def next_observations(self) -> npt.NDArray[np.float32]:
        """The observation after each step, shape (N, obs)."""
        return self._joined(lambda shard: shard.next_observations)

    @property
    def returns_to_go(self) -> FloatArray:
        """Sum of rewards from each step to the end of its episode, shape (N,)."""
        return self._joined(lambda shard: shard.returns_to_go)

    @property
    def complete(self) -> Flags:
        """Which episodes ended by termination or time limit, shape (E,)."""
        return self._joined(lambda shard: shard.complete)

    @property
    def infos(self) -> dict[str, Array]:
        """Each info of all steps, shape (N, …)."""
        return {name: self._array(f"infos/{name}") for name in self._shard(0).infos}

    def as_d4rl(self) -> dict[str, Array]:
        """Flat arrays of all steps under D4RL's keys."""
        return self.load().as_d4rl()

    def _array(self, key: str) -> Array:
        return self._joined(lambda shard: shard[key])

    def _joined(self, array: Callable[[Episodes], Array]) -> Array:
        return np.concatenate(list(map(array, self.shards())))

    def select(self, indices: npt.ArrayLike) -> Episodes:
        """The episodes of these indices, shape (K,), in this order, in memory; each shard is read once.

        Raises:
            InputError: if these are not indices of episodes.
        """
        chosen = episode_indices(indices, len(self))
        numbers = np.searchsorted(self._starts, chosen, side="right") - 1  # of each one's shard, (K,)
        by_shard = np.argsort(numbers, kind="stable")
        parts = [
            self._shard(number).select(chosen[numbers == number] - self._starts[number])
            for number in (np.unique(numbers).tolist() if len(chosen) else [0])
        ]
        return replace(concatenate(parts).select(np.argsort(by_shard)), metadata=_of_whole(parts[0].metadata))

    def load(self) -> Episodes:
        """All episodes, in memory; their metadata also hold the parts of the data set and their scores."""
        shards = list(self.shards())
        stated = [shard.metadata for shard in shards]
        return replace(concatenate(shards), metadata={**_of_whole(stated[0]), **_parts(stated)})

    def _shard(self, number: int) -> Episodes:
        """One shard, from memory if it was used lately."""
        if number in self._recent:
            self._recent[number] = self._recent.pop(number)
        else:
            while len(self._recent) >= KEPT:
                del self._recent[next(iter(self._recent))]
            self._recent[number] = self._checked(number)
        return self._recent[number]

    def _checked(self, number: int) -> Episodes:
        """One shard from its file, which holds what the manifest says."""
        shard = self.manifest.shards[number]
        episodes = self._read(self.folder / shard.file)
        expected, got = (shard.steps, shard.episodes), (episodes.steps, len(episodes))
        if got != expected:
            raise InputError(
                f"Expected {expected[0]:,} steps in {expected[1]:,} episodes in the shard {shard.file}, got "
                f"{got[0]:,} in {got[1]:,}; fetch or build the data set again."
            )
        return episodes


def _place(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a shard says of the set that it belongs to."""
    place = metadata.get("shard")
    return place if isinstance(place, Mapping) else {}


def _of_whole(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a shard's metadata say of the whole set, which all its shards say alike."""
    whole = _place(metadata).get(WHOLE)
    if not isinstance(whole, Mapping):
        return metadata
    return {name: value for name, value in {**metadata, **whole}.items() if name not in SHARDS_OWN}


def _parts(shards: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The parts of a whole set and their scores, told by the first shard of each."""
    firsts = [metadata for metadata in shards if _place(metadata).get("number_in_part") == 0]
    told: dict[str, list[Any]] = {name: [metadata.get(name) for metadata in firsts] for name in PARTS}
    return {
        name: [_without_rows(entry) for one in lists for entry in one]
        for name, lists in told.items()
        if lists and all(isinstance(one, list) for one in lists)
    }


def _without_rows(entry: Any) -> Any:
    """The description of a part, or its score, without what is of a single shard's rows."""
    if not isinstance(entry, Mapping):
        return entry
    return {name: value for name, value in entry.items() if name not in ROWS_OWN}
