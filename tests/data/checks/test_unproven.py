"""A file with a recipe must be verifiable: where a gate cannot decide, the check fails."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cartpole_phys.data.checks.run import check
from tests.support.rehashed import Arrays, Edit, Weights, edited_copy, failing

CHECK = [sys.executable, "-c", "from cartpole_phys.cli import main; main()", "check", "--quiet"]


def _nothing(arrays: Arrays, metadata: dict[str, Any]) -> None:
    """Change nothing."""


def _not_a_number(weights: Weights) -> None:
    weights["0"]["fc1.weight"][3, 4] = np.nan


def _misshapen(weights: Weights) -> None:
    weights["0"]["fc1.weight"] = weights["0"]["fc1.weight"][:-1]


def _none(weights: Weights) -> None:
    del weights["0"]


@pytest.mark.parametrize("reweigh", [_not_a_number, _misshapen, _none])
def test_invalid_policy_weights_fail(
    sac_file: Path, tmp_path: Path, reweigh: Callable[[Weights], None]
) -> None:
    path = edited_copy(sac_file, tmp_path / "set.hdf5", _nothing, reweigh)
    assert {"log_probs", "tier"} <= set(failing(path))
    details = {result.gate: result.detail for result in check(path)}
    assert "not proven: " in details["tier"]
    assert "fc" in details["tier"]


def _unknown_environment(arrays: Arrays, metadata: dict[str, Any]) -> None:
    metadata["env_id"] = "PhysCartPol-v0"


def _module_that_is_not_there(arrays: Arrays, metadata: dict[str, Any]) -> None:
    metadata["env_id"] = "no_such_module:Cart-v0"


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (_unknown_environment, "Unknown environment 'PhysCartPol-v0'"),
        (
            _module_that_is_not_there,
            "'no_such_module', which is not imported for an untrusted file; import it",
        ),
    ],
)
def test_an_environment_that_cannot_be_created_fails(
    medium_file: Path, tmp_path: Path, edit: Edit, words: str
) -> None:
    path = edited_copy(medium_file, tmp_path / "set.hdf5", edit)
    assert {"schema", "replay", "actions", "tier"} <= set(failing(path))
    assert all("not proven: " in result.detail and words in result.detail
               for result in check(path) if result.gate in ("replay", "actions", "tier"))  # fmt: skip
    ended = subprocess.run([*CHECK, str(path)], capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert words in ended.stdout


def _neither_recipe_nor_parts(arrays: Arrays, metadata: dict[str, Any]) -> None:
    del metadata["recipe"]
    metadata["parts"] = []


def _neither_version_nor_parts(arrays: Arrays, metadata: dict[str, Any]) -> None:
    del metadata["schema_version"]
    metadata["parts"] = []


def _no_parts(arrays: Arrays, metadata: dict[str, Any]) -> None:
    metadata["parts"] = []


def _no_evaluation(arrays: Arrays, metadata: dict[str, Any]) -> None:
    metadata["evaluation"] = {}


def _no_state(arrays: Arrays, metadata: dict[str, Any]) -> None:
    del arrays["infos/qpos"]


@pytest.mark.parametrize(
    ("edit", "gate"),
    [
        (_neither_recipe_nor_parts, "tier"),
        (_neither_version_nor_parts, "tier"),
        (_no_parts, "tier"),
        (_no_parts, "log_probs"),
        (_no_evaluation, "tier"),
        (_no_state, "replay"),
    ],
)
def test_missing_metadata_fails_in_a_file_with_a_recipe(
    random_file: Path, tmp_path: Path, edit: Edit, gate: str
) -> None:
    """Removing one of the two attributes does not make it a third-party file."""
    path = edited_copy(random_file, tmp_path / "set.hdf5", edit)
    assert gate in failing(path)


def test_missing_hashes_fail_in_a_file_with_a_recipe(random_file: Path, tmp_path: Path) -> None:
    path = edited_copy(random_file, tmp_path / "set.hdf5", _nothing)
    with h5py.File(path, "r+") as file:
        del file.attrs["sha256"]
    assert "hashes" in failing(path)
