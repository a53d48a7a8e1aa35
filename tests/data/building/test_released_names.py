"""A build under a released name reports whether its arrays equal the release."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from cartpole_phys import build_dataset
from cartpole_phys.data.checks.run import check
from cartpole_phys.data.hdf5.file import read_header
from cartpole_phys.data.release import identity
from cartpole_phys.data.release.identity import ReleaseWarning, arrays_sha256

NAME = "physcartpole-ppo-medium-replay-v0"  # a second of training
BUILD: dict[str, Any] = {"policy": "ppo", "tier": "medium-replay"}


def _release(patch: pytest.MonkeyPatch, folder: Path, arrays: str, versions: dict[str, str]) -> None:
    """Patch the registry to hold these arrays and versions."""
    stated = {"version": "v0", "files": {NAME: {"arrays_sha256": arrays, "versions": versions}}}
    (folder / "registry.json").write_text(json.dumps(stated))
    patch.setattr(identity, "REGISTRY", folder / "registry.json")
    identity._registry.cache_clear()


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The monkeypatch that edits the registry for one test."""
    yield monkeypatch
    monkeypatch.undo()
    identity._registry.cache_clear()


def test_a_build_reports_whether_its_rows_equal_the_release(
    tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    _release(patch, tmp_path, "0" * 64, {"numpy": "1.0"})
    with pytest.warns(ReleaseWarning, match="differ from those of release v0 .*numpy 1.0 .now .*;") as told:
        path = build_dataset(**BUILD, out=tmp_path / "other")
    metadata = read_header(path).metadata
    assert metadata["dataset_name"] == NAME
    assert metadata["release"] == {"version": "v0", "arrays_sha256": "0" * 64, "equal": False}
    own = arrays_sha256(metadata["sha256"])
    assert own in str(told[0].message)
    assert "not recorded: " in str(told[0].message)
    assert "cpu-capability" in str(told[0].message)
    _release(patch, tmp_path, own, {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same = build_dataset(**BUILD, out=tmp_path / "same")
        build_dataset(**BUILD, steps=300, out=tmp_path / "same")
    assert read_header(same).metadata["release"]["equal"] is True
    assert not [result for result in check(same) if result.status == "failed"]
