"""Exports, read by the client libraries they are made for."""

import importlib
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import minari
import numpy as np
import pytest

from cartpole_phys import build_dataset, load_dataset
from cartpole_phys.data.exports import pickle as pickled
from cartpole_phys.data.exports.export import FORMATS, export
from cartpole_phys.data.exports.minari import dataset_id
from cartpole_phys.data.loading import load_file
from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.errors import InputError

FILES = ("medium_file", "discrete_file", "varied_file", "random_file")


@pytest.fixture(params=FILES)
def file(request: pytest.FixtureRequest) -> Path:
    """A file of each kind."""
    path: Path = request.getfixturevalue(request.param)
    return path


def _same_rows(found: Any, expected: np.ndarray) -> None:
    assert np.asarray(found).dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_minari_reads_every_episode(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    exported = export(file, "minari")
    data, dataset = load_file(file), minari.load_dataset(exported.name)
    assert exported.name in minari.list_local_datasets()
    assert (dataset.total_episodes, dataset.total_steps) == (len(data), data.steps)
    for episode, ours in zip(dataset.iterate_episodes(), data, strict=True):
        _same_rows(episode.observations, np.concatenate([ours.observations, ours.final_observation[None]]))
        _same_rows(episode.actions, ours.actions)
        _same_rows(episode.rewards, ours.rewards)
        assert (episode.terminations[-1], episode.truncations[-1]) == (ours.terminated, ours.truncated)
        assert not episode.terminations[:-1].any()
        assert not episode.truncations[:-1].any()
        assert episode.infos.keys() == ours.infos.keys()
        for name, values in ours.infos.items():
            assert len(episode.infos[name]) == len(values) + 1
            _same_rows(episode.infos[name][:-1], values)


def test_minari_recreates_the_environment(
    varied_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    dataset = minari.load_dataset(export(varied_file, "minari").name)
    ours: Any = gym.make("PhysCartPole-v0", **load_file(varied_file).metadata["env_kwargs"])
    for env in (dataset.recover_environment(), dataset.recover_environment(eval_env=True)):
        theirs: Any = env.unwrapped
        assert theirs.system == ours.unwrapped.system
        assert env.observation_space == dataset.observation_space
        assert env.action_space == dataset.action_space
    scores = minari.get_normalized_score(dataset, np.array([500.0]))
    np.testing.assert_allclose(scores, 1.0)


def test_hugging_face_reads_parquet(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    datasets: Any = importlib.import_module("datasets")  # a type checker takes the folder here for it
    exported, data = export(file, "parquet", tmp_path), load_file(file)
    table = datasets.load_dataset(
        "parquet", data_files=exported.name, split="train", cache_dir=str(tmp_path / "cache")
    ).with_format("numpy")
    assert len(table) == len(data)
    for row, ours in zip(table, data, strict=True):
        for name in ("observations", "actions", "rewards"):
            _same_rows(np.stack(row[name]), getattr(ours, name))
        assert row["dones"].tolist() == [False] * (len(ours.rewards) - 1) + [ours.terminated]
        assert row["truncated"] == (not ours.terminated)


def test_parquet_keeps_the_metadata(medium_file: Path, tmp_path: Path) -> None:
    import pyarrow.parquet

    exported = export(medium_file, "parquet", tmp_path)
    kept = pyarrow.parquet.read_schema(exported.path).metadata[b"cartpole_phys"]
    assert json.loads(kept)["sha256"] == load_file(medium_file).metadata["sha256"]


def _windows(path: str, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observations, actions and returns-to-go as the Decision Transformer's own code takes them.

    Source: github.com/kzl/decision-transformer, ``gym/experiment.py``, lines 100 to 160 in other words.
    """
    with open(path, "rb") as file:
        trajectories = pickle.load(file)  # noqa: S301 - as that code does
    first = trajectories[0]
    to_go = np.cumsum(first["rewards"][::-1])[::-1]
    return first["observations"][:length], first["actions"][:length], to_go[:length]


def test_the_decision_transformer_code_reads_pickles(file: Path, tmp_path: Path) -> None:
    exported, data = export(file, "pickle", tmp_path), load_file(file)
    observations, actions, to_go = _windows(exported.name, 20)
    _same_rows(observations, data[0].observations[:20])
    _same_rows(actions, data[0].actions[:20])
    np.testing.assert_allclose(to_go, data.returns_to_go[:20][: len(to_go)])


def test_pickles_round_trip(file: Path, tmp_path: Path) -> None:
    data, back = load_file(file), load_dataset(export(file, "pickle", tmp_path).path)
    assert isinstance(back, Episodes)
    for name, array in back.as_d4rl().items():
        _same_rows(array, data.as_d4rl()[name])
    np.testing.assert_array_equal(back.offsets, data.offsets)


def test_ogbench_reads_npz(file: Path, tmp_path: Path) -> None:
    from ogbench import utils

    exported, data = export(file, "ogbench", tmp_path), load_file(file)
    found = utils.load_dataset(exported.name, ob_dtype=np.float32, action_dtype=data.actions.dtype)
    _same_rows(found["observations"], data.observations)
    _same_rows(found["next_observations"], data.next_observations)
    _same_rows(found["actions"], data.actions)
    np.testing.assert_array_equal(np.flatnonzero(found["terminals"]), data.offsets[1:] - 1)


@pytest.mark.filterwarnings("ignore")  # TorchRL's own deprecations, on import
def test_torchrl_reads_the_file_itself(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchrl.data.datasets import d4rl

    monkeypatch.setitem(d4rl.D4RL_DATASETS, "ours", file.as_uri())
    # By default TorchRL treats truncation as termination and sets the next observation to zeros.
    replay = d4rl.D4RLExperienceReplay(
        "ours", batch_size=32, direct_download=True, root=tmp_path, use_truncated_as_done=False
    )
    data, rows = load_file(file), replay[:]
    count = data.steps - 1  # TorchRL drops the last row
    assert len(rows) == count
    _same_rows(rows["observation"], data.observations[:count])
    _same_rows(rows["action"], data.actions[:count])
    _same_rows(rows["next", "reward"][:, 0], data.rewards[:count])
    _same_rows(rows["next", "terminated"][:, 0], data.terminations[:count])
    inside = ~data.terminations[:count]
    _same_rows(rows["next", "observation"][inside], data.next_observations[:count][inside])


def test_ids_in_minari() -> None:
    assert dataset_id("physcartpole-sac-medium-v0") == "physcartpole/sac-medium-v0"
    assert dataset_id("physcartpolediscrete-ppo-expert-v0") == "physcartpole/discrete-ppo-expert-v0"
    assert dataset_id("pendulum_v1-random-v0") == "physcartpole/pendulum_v1-random-v0"
    assert dataset_id("mine") == "physcartpole/mine-v0"


@pytest.mark.parametrize("to", FORMATS)
def test_exports_are_atomic(medium_file: Path, tmp_path: Path, to: str) -> None:
    command = [sys.executable, "-c", "from cartpole_phys.cli import main; main()", "export", str(medium_file)]
    command += ["--to", to, "--out", str(tmp_path), "--json"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    path = Path(json.loads(told.stdout)["path"])
    assert path.exists()
    again = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 2
    assert "exists already; pass --overwrite" in again.stderr
    subprocess.run([*command, "--overwrite"], capture_output=True, timeout=120, check=True)
    assert not list(tmp_path.rglob("*.partial"))


def test_an_uncreatable_minari_folder_is_an_error(
    medium_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "file" / "below"))
    with pytest.raises(InputError, match=r"Not a directory: .* another one with MINARI_DATASETS_PATH"):
        export(medium_file, "minari")


def test_an_unwritable_minari_namespace_is_an_error(medium_file: Path, tmp_path: Path) -> None:
    (tmp_path / "physcartpole" / "namespace_metadata.json.lock").mkdir(parents=True)
    with pytest.raises(InputError, match=rf"Cannot write '{tmp_path}' \(Is a directory\)"):
        export(medium_file, "minari", tmp_path)


def test_unsupported_exports_are_rejected(medium_file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Unknown format 'unknown'; choose from minari, parquet"):
        export(medium_file, "unknown", tmp_path)
    with pytest.raises(InputError, match="There is no file"):
        export(tmp_path / "none.hdf5", "parquet", tmp_path)
    with pytest.raises(InputError, match=r"Expected --out to name a folder, got the file '.*x\.parquet'"):
        export(medium_file, "parquet", tmp_path / "x.parquet")
    assert not (tmp_path / "x.parquet").exists()


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/b", "..", "a..b"])
@pytest.mark.parametrize("to", FORMATS)
def test_data_set_names_cannot_escape_the_folder(
    medium_file: Path, tmp_path: Path, name: str, to: str
) -> None:
    path, out = tmp_path / "mine.hdf5", tmp_path / "out"
    path.write_bytes(medium_file.read_bytes())
    with h5py.File(path, "r+") as file:
        file.attrs["dataset_name"] = name
    exported = export(path, to, out).path
    assert exported.name.startswith("mine")
    assert exported.is_relative_to(out)
    assert {entry.name for entry in tmp_path.iterdir()} == {"mine.hdf5", "out"}


def test_shards_are_exported_as_one(tmp_path: Path) -> None:
    folder = build_dataset(policy="random", steps=500, shard_steps=200, out=tmp_path)
    back = pickled.read(export(folder, "pickle", tmp_path).path)
    np.testing.assert_array_equal(back.observations, load_dataset(folder).load().observations)  # type: ignore[union-attr]


def test_minari_gets_the_package_environment_for_any_specification(
    medium_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A specification may name any function as its entry point, with any arguments."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    file, ran = tmp_path / medium_file.name, tmp_path / "ran"
    file.write_bytes(medium_file.read_bytes())
    with h5py.File(file, "r+") as changed:
        spec = json.loads(changed.attrs["env_spec"])
        spec |= {"entry_point": "subprocess:Popen", "kwargs": {"args": ["touch", str(ran)]}}
        changed.attrs["env_spec"] = json.dumps(spec)
    dataset = minari.load_dataset(export(file, "minari").name)
    assert not ran.exists()
    assert dataset.env_spec is not None
    assert dataset.env_spec.entry_point == "cartpole_phys.env:PhysCartPoleEnv"


def test_minari_export_needs_the_environment_specification(
    medium_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    file = tmp_path / medium_file.name
    file.write_bytes(medium_file.read_bytes())
    with h5py.File(file, "r+") as changed:
        del changed.attrs["tier"]
    with pytest.raises(InputError, match="the attributes algorithm, tier, command and versions"):
        export(file, "minari")


def _edited(source: Path, target: Path, edit: Callable[[Any], None]) -> Path:
    """Write an edited copy of a file."""
    target.write_bytes(source.read_bytes())
    with h5py.File(target, "r+") as file:
        edit(file)
    return target


@pytest.mark.parametrize(
    "references",
    [
        3,
        {"ref_min": 1},
        {"ref_min": {"mean": "a", "episodes": 9}, "ref_max": {"mean": 1}},
        {"ref_min": {"mean": -(10**400), "episodes": 9}, "ref_max": {"mean": 1}},
        {"ref_min": {"mean": 0}, "ref_max": {"mean": 1}},
        {"ref_min": {"mean": 2, "episodes": 9}, "ref_max": {"mean": 1}},
    ],
)
def test_invalid_references_are_not_exported_to_minari(
    medium_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, references: Any
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))

    def edit(file: Any) -> None:
        file.attrs["references"] = json.dumps(references)

    exported = export(_edited(medium_file, tmp_path / medium_file.name, edit), "minari")
    storage = minari.load_dataset(exported.name).storage
    assert not [name for name in storage.metadata if name.startswith("ref_")]


def test_minari_reads_groups_of_infos(
    medium_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))

    def edit(file: Any) -> None:
        file["infos/camera/light"] = np.arange(len(file["rewards"]))

    exported = export(_edited(medium_file, tmp_path / medium_file.name, edit), "minari")
    first = next(iter(minari.load_dataset(exported.name).iterate_episodes()))
    np.testing.assert_array_equal(first.infos["camera"]["light"][:-1], np.arange(len(first.rewards)))
