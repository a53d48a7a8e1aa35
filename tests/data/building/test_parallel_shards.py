"""Sharded builds: existing shards are kept; missing shards and those of other policies are built."""

import copy
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cartpole_phys import build_dataset, load_dataset, qlearning_dataset, sequence_dataset
from cartpole_phys.data.building.build import Options, build
from cartpole_phys.data.checks.run import (
    FAILED,
    NOT_APPLICABLE,
    NOT_PROVEN,
    PASSED,
    GateResult,
    _worst,
    check,
)
from cartpole_phys.data.hashing import METADATA_HASH, file_sha256
from cartpole_phys.data.hdf5.file import Contents, read, read_header, write
from cartpole_phys.data.loading import load_file
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.data.shards import (
    MANIFEST,
    Manifest,
    Shard,
    ShardedEpisodes,
    joined_sha256,
    write_manifest,
)
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.progress import Silent

BUILD: dict[str, Any] = {"policy": "heuristic", "tier": "mixed", "steps": 4_000, "shard_steps": 900}
OWN = "sharded_policies:constant"
OWN_MODULE = "def constant(backend):\n    return lambda observations: observations[:, :1] * 0.0\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of six shards, built once."""
    return build_dataset(**BUILD, out=tmp_path_factory.mktemp("shards"))


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    """A copy of the data set that a test may change."""
    return Path(shutil.copytree(built, tmp_path / built.name))


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("shard-*"))


def test_parts_are_in_consecutive_shards(folder: Path) -> None:
    tiers = [read_header(shard).metadata["parts"][0]["tier"] for shard in _shards(folder)]
    assert tiers == ["weak", "weak", "medium", "medium", "expert", "expert"]
    data = load_dataset(folder)
    assert isinstance(data, ShardedEpisodes)
    assert data.steps == BUILD["steps"]
    weak = data.load().observations[: BUILD["steps"] // 3]
    assert len(np.unique(weak, axis=0)) == len(weak)  # two shards of one policy do not hold the same episodes
    results = check(folder)
    assert not [result for result in results if result.status == FAILED]
    assert GateResult("parts", PASSED, "all 4,000 rows in 6 shards") in results
    assert data.metadata["tier"] == data.metadata["recipe"]["tier"] == "mixed"


def test_loaded_shards_have_the_metadata_of_the_whole_set(folder: Path) -> None:
    data = load_dataset(folder)
    assert isinstance(data, ShardedEpisodes)
    whole = data.load()
    for metadata in (data.metadata, whole.metadata, data[1:3].metadata, data.sample(2, seed=0).metadata):
        assert metadata["tier"] == metadata["recipe"]["tier"] == "mixed"
        assert metadata["recipe"]["steps"] == BUILD["steps"]
        assert not metadata.keys() & {"sha256", "metadata_sha256", "summary", "shard"}
    assert [part["tier"] for part in whole.metadata["parts"]] == ["weak", "medium", "expert"]
    assert not any(part.keys() & {"sha256", "rows"} for part in whole.metadata["parts"])
    scores = [read_header(shard).metadata["scores"][0] for shard in _shards(folder)]
    assert whole.metadata["scores"] == scores[::2]


def test_d4rl_forms_take_shards(folder: Path) -> None:
    data = load_dataset(folder)
    assert isinstance(data, ShardedEpisodes)
    whole = data.load()
    expected = qlearning_dataset(whole)
    for name, rows in qlearning_dataset(data).items():
        np.testing.assert_array_equal(rows, expected[name])
    assert sum(1 for _ in sequence_dataset(data)) == len(whole)


def test_a_build_resumes_with_the_missing_shards(folder: Path) -> None:
    shards = _shards(folder)
    before = [shard.read_bytes() for shard in shards]
    (folder / MANIFEST).unlink()
    shards[1].unlink()
    shards[3].write_bytes(before[3][:-100])
    for ending in ("partial", "lock"):
        (folder / f"shard-00009-of-00010.hdf5.{ending}").write_bytes(b"left by a killed build")
    kept = [shard.stat().st_mtime_ns for shard in shards if shard not in (shards[1], shards[3])]
    build_dataset(**BUILD, out=folder.parent)
    assert [shard.read_bytes() for shard in _shards(folder)] == before
    assert [shard.stat().st_mtime_ns for shard in shards if shard not in (shards[1], shards[3])] == kept


def test_shards_of_another_policy_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "sharded_policies.py"
    monkeypatch.syspath_prepend(tmp_path)
    build: dict[str, Any] = {"policy": OWN, "steps": 300, "shard_steps": 100, "jobs": 1, "out": tmp_path}
    module.write_text(OWN_MODULE)
    folder = build_dataset(**build)
    (folder / MANIFEST).unlink()
    module.write_text(OWN_MODULE.replace("0.0", "0.1"))
    del sys.modules["sharded_policies"]
    build_dataset(**build)
    sources = {read_header(shard).metadata["parts"][0]["source_sha256"] for shard in _shards(folder)}
    assert len(sources) == 1
    assert load_dataset(folder)[0].actions.any()


def test_an_interrupted_build_leaves_finished_shards_or_nothing(tmp_path: Path) -> None:
    class Stop(Silent):
        def __init__(self, after: int) -> None:
            self._after = after

        def shards(self, done: int, total: int) -> None:
            if done == self._after:
                raise KeyboardInterrupt

    for after, left in ((0, []), (2, ["shard-00000-of-00006.hdf5", "shard-00001-of-00006.hdf5"])):
        with pytest.raises(KeyboardInterrupt):
            build(Recipe(**BUILD), Options(tmp_path, "set"), Stop(after))
        assert sorted(path.name for path in tmp_path.rglob("*.hdf5")) == left
        assert (tmp_path / "set").exists() == bool(left)


def test_only_shards_are_removed_for_new_ones(tmp_path: Path) -> None:
    place = tmp_path / "mine"
    place.mkdir()
    names = ("shard-notes.txt", "shard-00009-of-00010.hdf5", "shard-100000-of-100001.hdf5")
    others = [place / name for name in names]
    for path in others:
        path.write_text("mine")
    build_dataset(**BUILD, out=tmp_path, name="mine")
    assert [path.exists() for path in others] == [True, False, False]


def test_a_check_rejects_shards_of_another_set(folder: Path) -> None:
    """Valid shards of another data set fail."""
    path = folder / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["shards"] = manifest["shards"][::-1]
    path.write_text(json.dumps(manifest))
    assert _failed(folder) == [
        ("hashes", "checksum mismatch: the manifest is of other shards"),
        ("parts", "expected shard 0 of 6 (number and count), got (5, 6)"),
    ]


def test_a_check_opens_each_shard_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One opening serves the hash, the header and the rows, in HDF5 or in Python."""
    opened: list[str] = []

    def in_hdf5(file: h5py.File, what: Any, *arguments: Any, **options: Any) -> None:
        opened.extend([what.name] if isinstance(what, Path) else [])  # else it is open already
        whole(file, what, *arguments, **options)

    def in_python(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and str(arguments[0]).endswith(".hdf5"):
            opened.append(Path(arguments[0]).name)

    whole = h5py.File.__init__
    monkeypatch.setattr(h5py.File, "__init__", in_hdf5)
    sys.addaudithook(in_python)  # audit hooks cannot be removed; this one is harmless
    assert check(folder).passed
    assert opened == [path.name for path in _shards(folder)]


def test_a_shard_that_is_missing_changed_or_unreadable(folder: Path) -> None:
    path = _shards(folder)[1]
    content = path.read_bytes()
    for changed, reason in ((content + b"\0", "missing or changed"), (b"\0" * 99, "cannot be read")):
        path.write_bytes(changed)
        with pytest.raises(InputError, match=rf"{path.name}.*{reason}"):
            check(folder)
    path.unlink()
    with pytest.raises(InputError, match=rf"{path.name}.*missing or changed"):
        check(folder)


def _failed(folder: Path) -> list[tuple[str, str]]:
    """Failed gates without the metadata gates of single shards."""
    failed = [result for result in check(folder) if result.status == FAILED and result.gate != "metadata"]
    return [(result.gate, result.detail) for result in failed]


def _restate(folder: Path, edit: Callable[[int, dict[str, Any]], None], count: int | None = None) -> None:
    """Edit the shard metadata of the first shards and recompute all hashes."""
    shards, hashes = [], []
    for number, path in enumerate(_shards(folder)[:count]):
        contents = read(path)
        metadata: dict[str, Any] = copy.deepcopy(dict(contents.metadata))
        edit(number, metadata["shard"])
        write(path, Contents(contents.arrays, metadata, contents.weights))
        hashes.append(read_header(path).metadata[METADATA_HASH])
        data = load_file(path)
        shards.append(Shard(path.name, data.steps, len(data), file_sha256(path)))
    write_manifest(folder / MANIFEST, Manifest(folder.name, tuple(shards), joined_sha256(hashes)))


def test_a_check_detects_missing_shards(folder: Path) -> None:
    _restate(folder, lambda number, place: None)
    assert _failed(folder) == []
    _restate(folder, lambda number, place: None, count=2)
    assert _failed(folder) == [("parts", "expected shard 0 of 2 (number and count), got (0, 6)")]
    _restate(folder, lambda number, place: place.update(count=2), count=2)
    assert _failed(folder) == [("parts", "expected 4,000 rows in all shards of the data set, got 1,334")]


def test_a_check_rejects_mixed_sets(folder: Path) -> None:
    _restate(folder, lambda number, place: place.update(set=f"set {number // 4}"))
    assert _failed(folder) == [("parts", "shard 4 belongs to another data set than shard 0")]


@pytest.mark.parametrize("said", ["", "whole"])
def test_shards_without_shard_metadata_fail(folder: Path, said: str) -> None:
    def edit(number: int, place: dict[str, Any]) -> None:
        for name in {said} if said else set(place):
            del place[name]

    _restate(folder, edit)
    assert {result.gate: result.status for result in check(folder)}["parts"] == FAILED


@pytest.mark.parametrize(
    ("statuses", "status", "detail"),
    [
        ((PASSED, NOT_APPLICABLE), NOT_APPLICABLE, "shard 1: why"),
        ((NOT_APPLICABLE, NOT_APPLICABLE), NOT_APPLICABLE, "why in the first of 2 shards"),
        ((NOT_APPLICABLE, FAILED), FAILED, "shard 1: why"),
        ((NOT_PROVEN, FAILED), FAILED, "shard 1: why"),
        ((PASSED, NOT_PROVEN), NOT_PROVEN, "shard 1: why"),
        ((NOT_PROVEN, NOT_PROVEN), NOT_PROVEN, "why in the first of 2 shards"),
        ((FAILED, FAILED), FAILED, "shard 0: why"),
        ((PASSED, PASSED), PASSED, "why in the first of 2 shards"),
    ],
)
def test_a_gate_has_passed_where_all_shards_passed(statuses: list[str], status: str, detail: str) -> None:
    told = _worst([GateResult("replay", one, "why") for one in statuses])
    assert told == GateResult("replay", status, detail)


def test_a_finished_set_is_kept_without_overwrite(folder: Path) -> None:
    with pytest.raises(InputError, match="exists already; pass --overwrite"):
        build_dataset(**BUILD, out=folder.parent)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shard_steps": 0}, "--shard-steps of at least 1, got 0"),
        ({"policy": "ppo", "tier": "medium-replay", "steps": None}, "is incompatible with medium-replay"),
        ({"shard_steps": None, "ray": "auto"}, "--shard-steps with --ray"),
    ],
)
def test_invalid_options_are_rejected(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_dataset(**{**BUILD, **changes}, out=tmp_path)
    assert list(tmp_path.iterdir()) == []
