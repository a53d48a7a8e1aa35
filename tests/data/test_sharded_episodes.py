"""Sharded data sets: the same episodes as in memory, with few shards loaded at a time."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cartpole_phys.data.hdf5.file import Contents, write
from cartpole_phys.data.loading import load_file
from cartpole_phys.data.shards import (
    CACHED_SHARDS,
    MANIFEST,
    Manifest,
    Shard,
    ShardedEpisodes,
    read_manifest,
    write_manifest,
)
from cartpole_phys.episodes import Episodes, concatenate
from cartpole_phys.policies.controllers import uniform
from cartpole_phys.rollouts.collect import collect
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError

ARRAYS = ("observations", "actions", "rewards", "terminations", "truncations", "final_observations")
SHARDS = 4


@pytest.fixture
def parts() -> list[Episodes]:
    return [collect(CartPole(), uniform(), 200 + 10 * i, seed=i) for i in range(SHARDS)]


@pytest.fixture
def folder(tmp_path: Path, parts: list[Episodes]) -> Path:
    shards = []
    for i, part in enumerate(parts):
        path = tmp_path / f"shard-{i}.hdf5"
        write(path, Contents(part.as_d4rl(), {"schema_version": 1, "shard": i}, {}))
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        shards.append(Shard(path.name, part.steps, len(part), sha256))
    write_manifest(tmp_path / MANIFEST, Manifest("small", tuple(shards), "0" * 64))
    return tmp_path


class Reader:
    """Read shards and record their numbers."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, path: Path) -> Episodes:
        self.names.append(path.stem)
        return load_file(path)


def _same(got: Episodes, expected: Episodes) -> None:
    for name in (*ARRAYS, "offsets"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
    assert got.infos.keys() == expected.infos.keys()
    for name, values in expected.infos.items():
        np.testing.assert_array_equal(got.infos[name], values)


def test_shards_have_the_interface_of_episodes_in_memory(folder: Path, parts: list[Episodes]) -> None:
    data, whole = ShardedEpisodes(folder, load_file), concatenate(parts)
    assert (len(data), data.steps) == (len(whole), whole.steps)
    assert data.metadata["shard"] == 0
    np.testing.assert_array_equal(data.lengths, whole.lengths)
    np.testing.assert_array_equal(data.returns, whole.returns)
    _same(data.load(), whole)
    for shard, part in zip(data.shards(), parts, strict=True):
        _same(shard, part)
    for i, episode in enumerate(data):
        np.testing.assert_array_equal(episode.observations, whole[i].observations)
        np.testing.assert_array_equal(data[i - len(data)].observations, whole[i].observations)
    with pytest.raises(IndexError):
        data[len(data)]


def test_selections_equal_those_in_memory(folder: Path, parts: list[Episodes]) -> None:
    data, whole = ShardedEpisodes(folder, load_file), concatenate(parts)
    shuffled = np.random.default_rng(0).permutation(len(whole))
    last = len(whole) - 1
    for indices in ([], [0], [last, 0, last, 3], range(5, 20), shuffled, np.append(shuffled, shuffled)):
        _same(data.select(indices), whole.select(indices))
    _same(data[3:-2:2], whole[3:-2:2])
    _same(data.sample(9, seed=1), whole.sample(9, seed=1))
    _same(data.filter(data.returns > 20), whole.filter(whole.returns > 20))
    calls: list[Callable[[], Any]] = [
        lambda: data.select([len(whole)]),
        lambda: data.sample(len(whole) + 1, 0),
        lambda: data.filter([True]),
    ]
    for call in calls:
        with pytest.raises(InputError, match="Expected"):
            call()


def test_shards_are_loaded_lazily_and_few_are_cached(folder: Path, parts: list[Episodes]) -> None:
    read = Reader()
    data = ShardedEpisodes(folder, read)
    assert (len(data), data.steps, read.names) == (sum(map(len, parts)), sum(p.steps for p in parts), [])
    assert (repr(data), read.names) == (f"ShardedEpisodes({len(data)} episodes, 860 steps, small)", [])
    firsts = np.cumsum([0, *map(len, parts)])[:-1]
    for number in (0, 1, 0, 2, 0, 1):  # the least recently used shard is evicted
        _ = data[int(firsts[number])]
    assert read.names == ["shard-0", "shard-1", "shard-2", "shard-1"]
    assert len(data._recent) == CACHED_SHARDS == 2
    read.names.clear()
    for part in (data.lengths, data.returns, data.lengths):
        assert len(part) == len(data)
    assert sorted(read.names) == sorted({*read.names})
    read.names.clear()
    data.select(np.random.default_rng(0).permutation(len(data)))
    assert sorted(read.names) == sorted({*read.names})


def test_manifest_round_trip(folder: Path) -> None:
    manifest = read_manifest(folder / MANIFEST)
    assert [shard.file for shard in manifest.shards] == [f"shard-{i}.hdf5" for i in range(SHARDS)]
    changed = replace(manifest, name="other")
    write_manifest(folder / MANIFEST, changed)
    assert read_manifest(folder / MANIFEST) == changed
    assert not list(folder.glob("*.partial"))
    assert json.loads((folder / MANIFEST).read_text("utf-8"))["schema_version"] == 1


@pytest.mark.parametrize(
    "name", ["../shard-0.hdf5", "/etc/passwd", "a/b", "a\\b", "C:b", "..", ".", "", ".hidden", "a\n", 3, None]
)
def test_shards_lie_in_the_folder(folder: Path, name: object) -> None:
    _change(folder, shards=[{"file": name, "steps": 1, "episodes": 1, "sha256": "0" * 64}])
    with pytest.raises(InputError, match="not a plain file name"):
        ShardedEpisodes(folder, load_file)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schema_version": 2}, "schema_version is 2, not 1"),
        ({"shards": []}, "lists no shards"),
        ({"shards": None}, "is invalid"),
        ({"shards": [{"file": "a", "steps": 0, "episodes": 1, "sha256": "0" * 64}]}, "at least 1 step"),
        ({"shards": [{"file": "a", "steps": 1, "episodes": True, "sha256": "0" * 64}]}, "at least 1 step"),
        ({"shards": [{"file": "a", "steps": 1, "episodes": 1, "sha256": "0" * 63}]}, "64 hexadecimal"),
        ({"shards": [{"file": "a", "steps": 1, "sha256": "0" * 64}]}, "'episodes' is missing"),
    ],
)
def test_an_invalid_manifest_is_rejected_with_the_reason(
    folder: Path, changes: dict[str, Any], reason: str
) -> None:
    _change(folder, **changes)
    with pytest.raises(InputError, match=reason):
        ShardedEpisodes(folder, load_file)


@pytest.mark.parametrize("text", ["", "[]", "{}", "3", '{"schema_version": 1}', "\x00"])
def test_manifest_of_another_kind(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text, "utf-8")
    with pytest.raises(InputError, match="is invalid"):
        read_manifest(folder / MANIFEST)


def test_the_error_names_missing_shards(folder: Path) -> None:
    (folder / "shard-2.hdf5").unlink()
    with pytest.raises(InputError, match=r"shard-2\.hdf5 .* fetch or build"):
        ShardedEpisodes(folder, load_file)
    with pytest.raises(InputError, match="does not exist"):
        ShardedEpisodes(folder / "nowhere", load_file)


@pytest.mark.parametrize("count", ["steps", "episodes"])
def test_a_shard_that_differs_from_the_manifest_is_rejected(folder: Path, count: str) -> None:
    shards = json.loads((folder / MANIFEST).read_text("utf-8"))["shards"]
    shards[1][count] += 1
    _change(folder, shards=shards)
    data = ShardedEpisodes(folder, load_file)
    assert data[0].rewards.size
    with pytest.raises(InputError, match=r"Expected .* in the shard shard-1\.hdf5, got .*; fetch or build"):
        data.load()


def _change(folder: Path, **changes: Any) -> None:
    """Change values in the manifest."""
    path = folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")
