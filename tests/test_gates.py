"""For every gate a file with only that defect, its hashes recomputed: exactly that gate fails."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cartpole_phys.data.build import build_dataset
from cartpole_phys.data.check import FAILED, PASSED, check
from cartpole_phys.data.d4rl import Contents, read, sealed, write
from cartpole_phys.data.gates import GATES
from cartpole_phys.system import PARAM_NAMES

Arrays = dict[str, np.ndarray]
Edit = Callable[[Arrays, dict[str, Any]], None]

GATE_NAMES = [gate.__name__ for gate in GATES]


def _failing(path: Path) -> list[str]:
    return [result.gate for result in check(path) if result.status == FAILED]


def _edited(source: Path, target: Path, edit: Edit, seal: bool = True) -> Path:
    """A copy of a file with an edit, and hashes that fit it."""
    contents = read(source)
    arrays, metadata = (
        {name: array.copy() for name, array in contents.arrays.items()},
        dict(contents.metadata),
    )
    edit(arrays, metadata)
    changed = Contents(arrays, metadata, contents.weights)
    write(target, sealed(changed) if seal else changed)
    return target


def _middle(arrays: Arrays) -> int:
    """A row inside an episode, away from its ends."""
    ends = arrays["terminals"] | arrays["timeouts"]
    return int(np.flatnonzero(~ends[:-2] & ~ends[1:-1] & ~ends[2:])[50])


def _wrong_type(arrays: Arrays, metadata: dict[str, Any]) -> None:
    arrays["rewards"] = arrays["rewards"].astype(np.float64)


def _no_recipe(arrays: Arrays, metadata: dict[str, Any]) -> None:
    del metadata["recipe"]


def _unknown_array(arrays: Arrays, metadata: dict[str, Any]) -> None:
    arrays["observation"] = arrays["observations"]


def _both_flags(arrays: Arrays, metadata: dict[str, Any]) -> None:
    arrays["timeouts"][np.flatnonzero(arrays["terminals"])[3]] = True


def _no_last_flag(arrays: Arrays, metadata: dict[str, Any]) -> None:
    arrays["timeouts"][-1] = arrays["infos/collection_cut"][-1] = False


def _early_timeout(arrays: Arrays, metadata: dict[str, Any]) -> None:
    arrays["timeouts"][_middle(arrays)] = True


def _wrong_observation(arrays: Arrays, metadata: dict[str, Any]) -> None:
    arrays["observations"][_middle(arrays), 1] += 1e-6


def _float32_state(arrays: Arrays, metadata: dict[str, Any]) -> None:
    row = _middle(arrays)
    arrays["infos/qpos"][row] = np.nextafter(arrays["infos/qpos"][row], 1)


def _other_action(arrays: Arrays, metadata: dict[str, Any]) -> None:
    arrays["actions"][_middle(arrays)] *= -1


def _wrong_reward(arrays: Arrays, metadata: dict[str, Any]) -> None:
    arrays["rewards"][_middle(arrays)] = 0.5


def _unfelt_push(arrays: Arrays, metadata: dict[str, Any]) -> None:
    arrays["infos/push"][_middle(arrays)] = 1e-6


def _other_tier(arrays: Arrays, metadata: dict[str, Any]) -> None:
    metadata["parts"] = [{**part, "tier": "expert"} for part in metadata["parts"]]


def _other_gain(arrays: Arrays, metadata: dict[str, Any]) -> None:
    metadata["parts"] = [{**part, "gain": 2.0} for part in metadata["parts"]]


DEFECTS = [
    ("schema", _wrong_type),
    ("schema", _no_recipe),
    ("schema", _unknown_array),
    ("flags", _both_flags),
    ("flags", _no_last_flag),
    ("flags", _early_timeout),
    ("continuity", _wrong_observation),
    ("replay", _float32_state),
    ("replay", _other_action),
    ("replay", _wrong_reward),
    ("replay", _unfelt_push),
    ("tier", _other_tier),
    ("tier", _other_gain),
]


def test_built_files_pass_every_gate(medium_file: Path, random_file: Path, varied_file: Path) -> None:
    for path in (medium_file, random_file, varied_file):
        assert [(result.gate, result.status) for result in check(path)] == [
            (name, PASSED) for name in GATE_NAMES
        ]


def test_an_edit_that_changes_nothing_still_passes(medium_file: Path, tmp_path: Path) -> None:
    assert _failing(_edited(medium_file, tmp_path / "same.hdf5", lambda arrays, metadata: None)) == []


@pytest.mark.parametrize(("gate", "edit"), DEFECTS)
def test_exactly_that_gate_fails(medium_file: Path, tmp_path: Path, gate: str, edit: Edit) -> None:
    assert _failing(_edited(medium_file, tmp_path / "defect.hdf5", edit)) == [gate]


@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("bit", [0, 31, 63])
def test_a_bit_of_the_key_of_the_noise(varied_file: Path, tmp_path: Path, column: int, bit: int) -> None:
    def flip(arrays: Arrays, metadata: dict[str, Any]) -> None:
        arrays["infos/noise_key"][_middle(arrays), column] ^= np.uint64(1 << bit)

    assert _failing(_edited(varied_file, tmp_path / "defect.hdf5", flip)) == ["replay"]


@pytest.mark.parametrize("name", PARAM_NAMES)
def test_a_bit_of_a_parameter(varied_file: Path, tmp_path: Path, name: str) -> None:
    """In one row of an episode, and in all of them where the parameter is not drawn."""

    def flip(rows: slice) -> Edit:
        def edit(arrays: Arrays, metadata: dict[str, Any]) -> None:
            arrays["infos/params"].view(np.uint64)[rows, PARAM_NAMES.index(name)] ^= np.uint64(1)

        return edit

    edits = [flip(slice(70, 71))] + ([] if name in ("pole_mass", "cart_friction") else [flip(slice(None))])
    for edit in edits:
        assert _failing(_edited(varied_file, tmp_path / "defect.hdf5", edit)) == ["replay"]


@pytest.mark.parametrize("episode", [0, 5])
def test_the_first_observation_of_an_episode(
    medium_file: Path, varied_file: Path, tmp_path: Path, episode: int
) -> None:
    def misread(arrays: Arrays, metadata: dict[str, Any]) -> None:
        starts = np.flatnonzero(np.append(True, arrays["terminals"] | arrays["timeouts"]))
        arrays["observations"].view(np.uint32)[starts[episode], 1] ^= np.uint32(1)

    for path in (medium_file, varied_file):
        assert _failing(_edited(path, tmp_path / "defect.hdf5", misread)) == ["replay"]


@pytest.mark.parametrize("name", ["infos/params", "infos/noise_key"])
def test_variation_without_its_record(varied_file: Path, tmp_path: Path, name: str) -> None:
    def forget(arrays: Arrays, metadata: dict[str, Any]) -> None:
        del arrays[name]

    assert "schema" in _failing(_edited(varied_file, tmp_path / "defect.hdf5", forget))


def test_actions_outside_the_space(tmp_path: Path) -> None:
    path = build_dataset("PhysCartPoleDiscrete-v0", "heuristic", "weak", steps=2_000, out=tmp_path)

    def third_action(arrays: Arrays, metadata: dict[str, Any]) -> None:
        arrays["actions"][7] = 2

    assert _failing(_edited(path, tmp_path / "defect.hdf5", third_action)) == ["actions"]


def test_a_number_that_is_not_finite(random_file: Path, tmp_path: Path) -> None:
    def not_a_number(arrays: Arrays, metadata: dict[str, Any]) -> None:
        arrays["infos/action_log_probs"][7] = np.nan

    assert _failing(_edited(random_file, tmp_path / "defect.hdf5", not_a_number)) == ["finite"]


@pytest.mark.parametrize("where", ["array", "metadata"])
def test_hashes_notice_what_no_other_gate_sees(random_file: Path, tmp_path: Path, where: str) -> None:
    def quietly(arrays: Arrays, metadata: dict[str, Any]) -> None:
        if where == "array":
            arrays["infos/action_log_probs"][7] += 1e-3
        else:
            metadata["command"] = "build-dataset --policy expert"

    assert _failing(_edited(random_file, tmp_path / "defect.hdf5", quietly, seal=False)) == ["hashes"]


def test_every_gate_has_a_defect() -> None:
    assert {gate for gate, _ in DEFECTS} | {"actions", "finite", "hashes"} == set(GATE_NAMES)


def test_foreign_d4rl_file_gets_verdicts_not_errors(tmp_path: Path) -> None:
    path = tmp_path / "hopper.hdf5"
    with h5py.File(path, "w") as file:
        for name, shape in {
            "observations": (10, 11),
            "next_observations": (10, 11),
            "actions": (10, 3),
        }.items():
            file[name] = np.zeros(shape, np.float32)
        file["rewards"] = np.zeros(10, np.float32)
        file["terminals"], file["timeouts"] = np.zeros(10, bool), np.eye(10, dtype=bool)[9]
    verdicts = {result.gate: result.status for result in check(path)}
    assert verdicts["schema"] == FAILED
    assert verdicts["flags"] == verdicts["continuity"] == verdicts["finite"] == PASSED
    assert verdicts["replay"] == verdicts["tier"] == verdicts["hashes"] == "not applicable"
