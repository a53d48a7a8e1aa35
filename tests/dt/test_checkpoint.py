"""Checkpoints: round trip, validation of files, atomic replacement and crashes."""

import copy
import functools
import json
import operator
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from cartpole_phys.utils.errors import InputError
from dt.formats import hub
from dt.training import checkpoint as checkpoints
from dt.training.checkpoint import CONFIG, MODEL, TRAINING, Checkpoint
from dt.training.loop import train
from tests.support.small_models import make_episodes, small_recipe

FILES = (MODEL, TRAINING, CONFIG)


@pytest.fixture(scope="module", params=["decision", "bc"])
def trained(request: pytest.FixtureRequest) -> Checkpoint:
    return train(make_episodes(steps=300), small_recipe(request.param, steps=2))


@pytest.fixture
def saved(trained: Checkpoint, tmp_path: Path) -> Path:
    checkpoints.save(tmp_path / "run", trained)
    return tmp_path / "run"


def assert_same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_save_and_load_round_trip(trained: Checkpoint, saved: Path) -> None:
    assert sorted(path.name for path in saved.parent.rglob("*")) == sorted((*FILES, "run"))
    loaded = checkpoints.load(saved)
    for name in ("recipe", "source", "normalization", "step"):
        assert getattr(loaded, name) == getattr(trained, name)
    assert_same(loaded.model.state_dict(), trained.model.state_dict())
    assert_same(loaded.training, trained.training)
    assert not loaded.model.training


@pytest.mark.parametrize("name", FILES)
def test_truncated_or_missing_file_is_rejected(name: str, saved: Path) -> None:
    content = (saved / name).read_bytes()
    for length in (0, 5, len(content) // 2, len(content) - 2):
        (saved / name).write_bytes(content[:length])
        with pytest.raises(InputError, match="truncated or written by another program"):
            checkpoints.load(saved)
    (saved / name).unlink()
    with pytest.raises(InputError, match="truncated or written by another program"):
        checkpoints.load(saved)


def without(name: str) -> Any:
    return lambda config: {key: value for key, value in config.items() if key != name}


@pytest.mark.parametrize(
    "change",
    [
        without("format"),
        without("source"),
        without("step"),
        lambda config: {**config, "version": 99},
        lambda config: {**config, "kind": "gpt"},
        lambda config: {**config, "model": {"layers": 3}},
        lambda config: {**config, "train": {**config["train"], "clip_norm": 1.0}},
        lambda config: {**config, "normalization": {"return_scale": 1.0}},
        lambda config: [config],
    ],
)  # fmt: skip
def test_invalid_config_is_rejected(change: Any, saved: Path) -> None:
    config = json.loads((saved / CONFIG).read_text())
    (saved / CONFIG).write_text(json.dumps(change(config)))
    with pytest.raises(InputError, match="cannot be read"):
        checkpoints.load(saved)


def _leaves(values: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values in nested mappings and lists, except those in ``env_kwargs``."""
    if isinstance(values, dict) and path[-1:] != ("env_kwargs",):
        return [leaf for name, value in values.items() for leaf in _leaves(value, (*path, name))]
    if isinstance(values, list):
        return [leaf for number, value in enumerate(values) for leaf in _leaves(value, (*path, number))]
    return [path]


def test_values_of_another_type_are_rejected(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    paths = _leaves(config)
    assert len(paths) > 30
    for path in paths:
        changed = copy.deepcopy(config)
        *parents, last = path
        container = functools.reduce(operator.getitem, parents, changed)
        container[last] = 1.5 if isinstance(container[last], str) else "1"
        (saved / "config.json").write_text(json.dumps(changed))
        with pytest.raises(InputError, match="truncated or written by another program"):
            checkpoints.load(saved)


def test_weights_of_another_shape_are_rejected(saved: Path) -> None:
    config = json.loads((saved / CONFIG).read_text())
    config["source"]["spaces"]["action_size"] = 3
    (saved / CONFIG).write_text(json.dumps(config))
    with pytest.raises(InputError, match="cannot be read"):
        checkpoints.load(saved)


def test_other_files_and_folders_are_rejected_and_kept(trained: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Expected a checkpoint in"):
        checkpoints.load(tmp_path / "nowhere")
    folder, file = tmp_path / "photos", tmp_path / "file"
    folder.mkdir()
    for mine in (folder / "holiday.jpg", file):
        mine.write_text("mine")
    for path in (folder, file):
        with pytest.raises(InputError, match="truncated or written by another program"):
            checkpoints.load(path)
        with pytest.raises(InputError, match="is not a checkpoint; choose another --out"):
            checkpoints.save(path, trained)
    assert (folder / "holiday.jpg").read_text() == file.read_text() == "mine"
    copy = tmp_path / "run.old"  # created by the user
    copy.mkdir()
    (copy / "mine").write_text("mine")
    for _ in range(2):
        checkpoints.save(tmp_path / "run", trained)
    assert (copy / "mine").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    checkpoints.save(tmp_path / "empty", trained)
    assert checkpoints.load(tmp_path / "empty").step == 2


@pytest.mark.skipif(os.name != "posix", reason="files are limited as on POSIX systems")
@pytest.mark.parametrize("trained", ["decision"], indirect=True)
def test_full_disk_keeps_old_checkpoint_and_no_partial_file(trained: Checkpoint, saved: Path) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"Cannot write the weights .* free disk space"):
            checkpoints.save(saved, trained)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [entry.name for entry in saved.parent.iterdir()] == ["run"]
    assert checkpoints.load(saved).step == 2


class Crash(BaseException):
    """Simulated death of the process."""


def crash_at(call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise ``Crash`` at the ``call``-th file-system change and at all later ones."""
    calls = iter(range(1_000))

    def counted(function: Any) -> Any:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if next(calls) >= call:
                raise Crash
            return function(*args, **kwargs)

        return wrapper

    monkeypatch.setattr(os, "rename", counted(os.rename))
    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    monkeypatch.setattr(shutil, "rmtree", counted(shutil.rmtree))
    monkeypatch.setattr("dt.training.checkpoint.save_file", counted(safetensors.torch.save_file))


@pytest.mark.parametrize("trained", ["bc"], indirect=True)
def test_interrupted_replacement_leaves_a_complete_checkpoint(trained: Checkpoint, tmp_path: Path) -> None:
    path, crashes = tmp_path / "run", 0
    checkpoints.save(path, trained)
    for call in range(1_000):
        before = checkpoints.load(path).step
        with pytest.MonkeyPatch.context() as monkeypatch:
            crash_at(call, monkeypatch)
            try:
                checkpoints.save(path, replace(trained, step=before + 1))
            except Crash:
                crashes += 1
        after = checkpoints.load(path).step
        assert after in (before, before + 1)
        assert checkpoints.exists(path)
        if crashes == call:
            break
    assert crashes > 8
    assert after == before + 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


SAVE_FOREVER = """
import sys
from dataclasses import replace
from pathlib import Path
from dt.training import checkpoint
path = Path(sys.argv[1])
loaded = checkpoint.load(path)
for step in range(3, 1_000_000):
    checkpoint.save(path, replace(loaded, step=step))
"""


@pytest.mark.parametrize("trained", ["decision"], indirect=True)
def test_killed_process_leaves_a_complete_checkpoint(saved: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", SAVE_FOREVER, str(saved)])
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and _step(saved) < 10:
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    assert checkpoints.load(saved).step >= 10


def _step(path: Path) -> int:
    try:
        return int(json.loads((path / CONFIG).read_text())["step"])
    except OSError:  # between the two renames
        return 0


def test_deeply_nested_json_is_rejected(saved: Path) -> None:
    (saved / CONFIG).write_text("[" * 100_000 + "]" * 100_000)
    for read in (checkpoints.load, hub.read_config):
        with pytest.raises(InputError, match=r"nested too deep|nested deeper than"):
            read(saved)
