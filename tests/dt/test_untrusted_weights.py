"""Untrusted weights: Booleans are 0 or 1, model size is limited by the file, and no crash."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch

from cartpole_phys.data.hdf5.file import read_header
from cartpole_phys.utils.errors import InputError
from dt.training import checkpoint as checkpoints
from dt.training.checkpoint import CONFIG, MODEL
from dt.training.loop import train
from tests.support.small_models import make_episodes, small_recipe

LOAD = """
import pathlib, sys
from cartpole_phys.utils.errors import InputError
from dt.formats.trajectory_transformer import _weights
try:
    _weights(pathlib.Path(sys.argv[1]))
except InputError as error:
    sys.exit(f"refused: {error}")
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved Trajectory Transformer, which has Boolean buffers."""
    path = tmp_path_factory.mktemp("models") / "run"
    train(make_episodes(steps=300), small_recipe("trajectory", steps=1), path)
    return path


def test_booleans_of_a_checkpoint_are_0_or_1(saved: Path) -> None:
    content = (saved / MODEL).read_bytes()
    weights = safetensors.torch.load(content)
    name = next(name for name, weight in weights.items() if weight.dtype == torch.bool)
    weights[name].view(torch.uint8).flatten()[0] = 2
    safetensors.torch.save_file(weights, saved / MODEL)
    with pytest.raises(InputError, match=f"{name}.*0 or 1"):
        checkpoints.load(saved)
    (saved / MODEL).write_bytes(content)


@pytest.mark.parametrize("field", ["layers", "width", "context"])
def test_model_size_is_checked_before_allocation(
    field: str, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("made before it was measured")

    text = (saved / CONFIG).read_text("utf-8")
    description = json.loads(text)
    found = [
        part for part in (description["model"], *description["model"].values()) if isinstance(part, dict)
    ]
    for part in found:
        if field in part:
            part[field] *= 50
    assert json.dumps(description) != json.dumps(json.loads(text))
    (saved / CONFIG).write_text(json.dumps(description), "utf-8")
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", refuse)
    with pytest.raises(InputError, match="weights"):
        checkpoints.load(saved)
    (saved / CONFIG).write_text(text, "utf-8")


def test_deeply_nested_key_in_pickled_weights_is_rejected(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "good.bin")
    with (
        zipfile.ZipFile(tmp_path / "good.bin") as good,
        zipfile.ZipFile(tmp_path / "pytorch_model.bin", "w") as forged,
    ):
        for item in good.infolist():
            deep = b"\x80\x02})" + 1_000_000 * b"\x85" + b"Ns."
            forged.writestr(item.filename, deep if item.filename.endswith("data.pkl") else good.read(item))
    command = [sys.executable, "-c", LOAD, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr[:8]) == (1, "refused:"), ended


def test_booleans_of_an_attribute_are_0_or_1(medium_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "set.hdf5"
    path.write_bytes(medium_file.read_bytes())
    with h5py.File(path, "r+") as file:
        file.attrs["policy_weights/0/mask"] = np.array([0, 1, 2], np.uint8).view(np.bool_)
    with pytest.raises(InputError, match=r"policy_weights/0/mask.*0 or 1"):
        read_header(path)
