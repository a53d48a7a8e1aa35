"""The stitching tier: low-return segments that concatenate to the expert's episodes."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from cartpole_phys.data.building.build import build_dataset
from cartpole_phys.data.building.rebuild import rebuild
from cartpole_phys.data.checks.run import FAILED, PASSED, check
from cartpole_phys.data.loading import load_file
from cartpole_phys.data.score import normalized_score
from cartpole_phys.data.tiers import stitching
from cartpole_phys.data.tiers.stitching import BALANCING_PIECES, pieces
from cartpole_phys.policies.controllers import swing_up
from cartpole_phys.rollouts.collect import play
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.progress import Silent

SWING_UP = "PhysCartPoleSwingUp-v0"


def _build(folder: Path, **changes: object) -> Path:
    given = {"env_id": SWING_UP, "policy": "heuristic", "tier": "stitching", "steps": 20_000, **changes}
    return build_dataset(**given, out=folder)  # type: ignore[arg-type]


def _results(path: Path) -> dict[str, tuple[str, str]]:
    return {result.gate: (result.status, result.detail) for result in check(path)}


def test_segments_have_low_returns_and_join_to_expert_episodes(stitching_file: Path) -> None:
    status, detail = _results(stitching_file)["stitching"]
    assert status == PASSED
    assert "stitched episodes at least 9" in detail
    assert normalized_score(SWING_UP, load_file(stitching_file).returns).max() < 50.0
    assert FAILED not in {status for status, _ in _results(stitching_file).values()}


def test_joined_segments_equal_the_expert_episode_bit_for_bit() -> None:
    system = CartPole.from_id(SWING_UP, {})
    expert = swing_up(system.params)
    parts, whole = pieces(system, expert, 10_000, seed=3), play(system, expert, 2, seed=3)
    for number, episode in enumerate(whole):
        own = [parts[(BALANCING_PIECES + 1) * number + piece] for piece in range(BALANCING_PIECES + 1)]
        starts = [
            np.flatnonzero((episode.infos["qpos"] == part.infos["qpos"][0]).all(axis=1))[0] for part in own
        ]
        lengths = np.diff([*starts, len(episode.rewards)])
        assert starts[0] == 0
        assert lengths.min() > 0
        for name in ("observations", "actions", "rewards"):
            together = [getattr(part, name)[:length] for part, length in zip(own, lengths, strict=True)]
            assert np.array_equal(np.concatenate(together), getattr(episode, name))


@pytest.mark.parametrize("odd", [np.zeros(3), np.zeros((3, 3)), np.array([b"?"] * 3), np.zeros((3, 2), bool)])
def test_invalid_states_fail_the_gates_without_an_error(
    stitching_file: Path, tmp_path: Path, odd: np.ndarray
) -> None:
    path = tmp_path / "odd.hdf5"
    shutil.copyfile(stitching_file, path)
    with h5py.File(path, "r+") as file:
        rows = len(file["rewards"])
        del file["infos/qpos"]
        file["infos/qpos"] = np.resize(odd, (rows, *odd.shape[1:]))
    assert _results(path)["stitching"][0] == FAILED


def test_stitching_builds_are_reproducible(stitching_file: Path) -> None:
    assert rebuild(stitching_file, 1, Silent()).different == []


def test_segments_of_high_return_are_discarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stitching, "BALANCING_PIECES", 1)
    with pytest.raises(InputError, match=r"gate stitching, expected every episode to score below 50, got "):
        _build(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_discontinuous_segments_are_discarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = stitching._bounds
    monkeypatch.setattr(stitching, "_bounds", lambda expert: [bounds[::2] for bounds in whole(expert)])
    with pytest.raises(InputError, match=r"gate stitching, expected stitched episodes .*, got 0, "):
        _build(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"env_id": "PhysCartPole-v0"},
        {"env_kwargs": {"push_rate": 1.0}},
        {"env_kwargs": {"observation_noise": 0.1}},
    ],
)
def test_stitching_is_rejected_in_stochastic_settings(changes: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tier 'stitching' requires .* choose from weak"):
        _build(tmp_path, **changes)


def test_stitching_rejects_shards(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--shard-steps is incompatible with stitching"):
        _build(tmp_path, shard_steps=1_000)
