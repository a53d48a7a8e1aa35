"""Each gate alone fails on a file with its defect and recomputed hashes."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cartpole_phys import build_dataset
from cartpole_phys.data.checks.run import NOT_APPLICABLE, PASSED, check, gates
from cartpole_phys.system import PARAM_NAMES
from tests.support.rehashed import Arrays, Edit, edited_copy, failing, refuting

GATE_NAMES = [gate.name for gate in gates()]


def _failing(path: Path) -> list[str]:
    """Failed gates without the metadata gate, which replays the first episodes."""
    return [gate for gate in failing(path) if gate != "metadata"]


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
    metadata["parts"][0]["tier"] = "expert"


def _other_gain(arrays: Arrays, metadata: dict[str, Any]) -> None:
    metadata["parts"][0]["gain"] = 2.0


def _not_a_number(arrays: Arrays, metadata: dict[str, Any]) -> None:
    arrays["infos/comment"] = np.zeros(len(arrays["rewards"]))
    arrays["infos/comment"][7] = np.nan


def _other_log_prob(arrays: Arrays, metadata: dict[str, Any]) -> None:
    log_probs = arrays["infos/action_log_probs"]
    log_probs[7] = np.nextafter(log_probs[7], np.float32(0))


def _third_action(arrays: Arrays, metadata: dict[str, Any]) -> None:
    arrays["actions"][7] = 2


def _raw_actions(arrays: Arrays, metadata: dict[str, Any]) -> None:
    raw = arrays["infos/raw_actions"]
    raw[7] = np.nextafter(raw[7], np.float32(9))


def _other_seed(arrays: Arrays, metadata: dict[str, Any]) -> None:
    metadata["parts"][0]["collection_seed"] += 1


def _unequal_parts(arrays: Arrays, metadata: dict[str, Any]) -> None:
    metadata["parts"][0]["rows"] += 1


def _part_of_another_set(arrays: Arrays, metadata: dict[str, Any]) -> None:
    metadata["parts"][1]["sha256"]["actions"] = metadata["parts"][0]["sha256"]["actions"]


def _exchanged_episodes(arrays: Arrays, metadata: dict[str, Any]) -> None:
    """Swap the first two episodes."""
    first, second = np.flatnonzero(arrays["terminals"] | arrays["timeouts"])[:2] + 1
    for name, array in arrays.items():
        arrays[name] = np.concatenate([array[first:second], array[:first], array[second:]])


DEFECTS = [
    ("schema", "medium_file", _wrong_type),
    ("schema", "medium_file", _no_recipe),
    ("schema", "medium_file", _unknown_array),
    ("flags", "medium_file", _both_flags),
    ("flags", "medium_file", _no_last_flag),
    ("flags", "medium_file", _early_timeout),
    ("continuity", "medium_file", _wrong_observation),
    ("replay", "medium_file", _float32_state),
    ("replay", "medium_file", _other_action),
    ("replay", "medium_file", _wrong_reward),
    ("replay", "medium_file", _unfelt_push),
    ("actions", "discrete_file", _third_action),
    ("finite", "medium_file", _not_a_number),
    ("log_probs", "random_file", _other_log_prob),
    ("log_probs", "sac_file", _other_log_prob),
    ("log_probs", "discrete_file", _other_log_prob),
    ("log_probs", "sac_file", _raw_actions),
    ("parts", "mixed_file", _unequal_parts),
    ("parts", "mixed_file", _part_of_another_set),
    ("parts", "mixed_file", _exchanged_episodes),
    ("tier", "medium_file", _other_tier),
    ("tier", "medium_file", _other_gain),
    ("stitching", "stitching_file", _exchanged_episodes),
    ("metadata", "medium_file", _other_seed),
]
# Details of gates that do not apply to a file.
NOTHING_TO_SEE = {
    "medium_file": {"log_probs", "parts", "stitching"},
    "random_file": {"parts", "stitching"},
    "varied_file": {"parts", "stitching"},
    "discrete_file": {"parts", "stitching"},
    "mixed_file": {"log_probs", "stitching"},
    "sac_file": {"parts", "stitching"},
    "stitching_file": {"log_probs", "parts"},
}


@pytest.mark.parametrize("name", NOTHING_TO_SEE)
def test_built_files_pass_every_gate(request: pytest.FixtureRequest, name: str) -> None:
    statuses = {result.gate: result.status for result in check(request.getfixturevalue(name))}
    assert list(statuses) == GATE_NAMES
    silent = {gate for gate, status in statuses.items() if status == NOT_APPLICABLE}
    assert silent == NOTHING_TO_SEE[name]
    assert all(statuses[gate] == PASSED for gate in set(GATE_NAMES) - silent)


def test_an_edit_that_changes_nothing_still_passes(medium_file: Path, tmp_path: Path) -> None:
    assert _failing(edited_copy(medium_file, tmp_path / "same.hdf5", lambda arrays, metadata: None)) == []


@pytest.mark.parametrize(("gate", "name", "edit"), DEFECTS)
def test_exactly_that_gate_fails(
    request: pytest.FixtureRequest, tmp_path: Path, gate: str, name: str, edit: Edit
) -> None:
    source = request.getfixturevalue(name)
    found = refuting(edited_copy(source, tmp_path / "defect.hdf5", edit))
    assert [name for name in found if name == gate or name != "metadata"] == [gate]


@pytest.mark.parametrize("rows", [[], [0], [499], [50_000], [0, 0]])
def test_parts_must_cover_all_rows(random_file: Path, tmp_path: Path, rows: list[int]) -> None:
    def edit(arrays: Arrays, metadata: dict[str, Any]) -> None:
        arrays["infos/action_log_probs"][:] = 7.0
        metadata["parts"] = [{**metadata["parts"][0], "rows": count} for count in rows]

    assert {"log_probs", "parts", "tier"} <= set(
        _failing(edited_copy(random_file, tmp_path / "a.hdf5", edit))
    )


@pytest.mark.parametrize("high", [0.0, -1.0, 5e-324])
def test_degenerate_references_prove_no_expert(tmp_path: Path, high: float) -> None:
    def edit(arrays: Arrays, metadata: dict[str, Any]) -> None:
        metadata["parts"][0]["tier"] = "expert"
        metadata["evaluation"]["episodes"] = 2
        metadata["references"] = {"ref_min": {"mean": 0.0}, "ref_max": {"mean": high}}

    built = build_dataset("CartPole-v1", policy="random", steps=100, out=tmp_path)
    assert "tier" in _failing(edited_copy(built, tmp_path / "edited.hdf5", edit))


@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("bit", [0, 31, 63])
def test_a_flipped_bit_of_the_noise_key_fails(
    varied_file: Path, tmp_path: Path, column: int, bit: int
) -> None:
    def flip(arrays: Arrays, metadata: dict[str, Any]) -> None:
        arrays["infos/noise_key"][_middle(arrays), column] ^= np.uint64(1 << bit)

    assert _failing(edited_copy(varied_file, tmp_path / "defect.hdf5", flip)) == ["replay"]


@pytest.mark.parametrize("name", PARAM_NAMES)
def test_a_flipped_bit_of_a_parameter_fails(varied_file: Path, tmp_path: Path, name: str) -> None:
    """In one row of an episode, and in all of them where the parameter is not drawn."""

    def flip(rows: slice) -> Edit:
        def edit(arrays: Arrays, metadata: dict[str, Any]) -> None:
            arrays["infos/params"].view(np.uint64)[rows, PARAM_NAMES.index(name)] ^= np.uint64(1)

        return edit

    edits = [flip(slice(70, 71))] + ([] if name in ("pole_mass", "cart_friction") else [flip(slice(None))])
    for edit in edits:
        assert _failing(edited_copy(varied_file, tmp_path / "defect.hdf5", edit)) == ["replay"]


@pytest.mark.parametrize("episode", [0, 5])
def test_a_changed_first_observation_fails(
    medium_file: Path, varied_file: Path, tmp_path: Path, episode: int
) -> None:
    def misread(arrays: Arrays, metadata: dict[str, Any]) -> None:
        starts = np.flatnonzero(np.append(True, arrays["terminals"] | arrays["timeouts"]))
        arrays["observations"].view(np.uint32)[starts[episode], 1] ^= np.uint32(1)

    for path in (medium_file, varied_file):
        assert _failing(edited_copy(path, tmp_path / "defect.hdf5", misread)) == ["replay"]


@pytest.mark.parametrize("name", ["infos/params", "infos/noise_key"])
def test_variation_without_its_record(varied_file: Path, tmp_path: Path, name: str) -> None:
    def forget(arrays: Arrays, metadata: dict[str, Any]) -> None:
        del arrays[name]

    assert "schema" in _failing(edited_copy(varied_file, tmp_path / "defect.hdf5", forget))


@pytest.mark.parametrize("where", ["array", "metadata"])
def test_hashes_detect_changes_that_no_other_gate_detects(
    medium_file: Path, tmp_path: Path, where: str
) -> None:
    def comment(arrays: Arrays, metadata: dict[str, Any]) -> None:
        arrays["infos/comment"] = np.zeros(len(arrays["rewards"]))

    path = edited_copy(medium_file, tmp_path / "defect.hdf5", comment)
    assert _failing(path) == []
    with h5py.File(path, "r+") as file:
        if where == "array":
            file["infos/comment"][7] = 1.0
        else:
            file.attrs["command"] = "build-dataset --policy expert"
    assert _failing(path) == ["hashes"]


def test_every_gate_has_a_defect() -> None:
    assert {gate for gate, _, _ in DEFECTS} | {"hashes"} == set(GATE_NAMES)


def test_third_party_d4rl_files_get_results_not_errors(tmp_path: Path) -> None:
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
    statuses = {result.gate: result.status for result in check(path)}
    assert statuses["flags"] == statuses["continuity"] == statuses["finite"] == PASSED
    assert (
        statuses["schema"] == statuses["replay"] == statuses["tier"] == statuses["hashes"] == "not applicable"
    )
