"""Resuming: checkpoints are not overwritten by default, and settings must match."""

from dataclasses import replace
from pathlib import Path

import pytest

from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.files import set_aside_path
from dt.data.source import describe
from dt.data.windows import Normalization
from dt.models.recipes import Recipe
from dt.models.trajectory import TrajectoryConfig
from dt.training import checkpoint as checkpoints
from dt.training.loop import train
from dt.training.optimizer import BFLOAT16
from tests.dt.test_training import assert_same
from tests.support.small_models import DISCRETE, make_episodes, small_recipe


def test_checkpoint_is_not_overwritten_by_default(tmp_path: Path) -> None:
    episodes, chosen, out = make_episodes(), small_recipe(steps=2), tmp_path / "run"
    train(episodes, chosen, out)
    with pytest.raises(InputError, match="pass --resume to continue training or --overwrite"):
        train(episodes, chosen, out)
    assert train(episodes, small_recipe(steps=3), out, overwrite=True).step == checkpoints.load(out).step == 3


def test_uncreatable_folder_is_rejected_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    reported: list[int] = []
    with pytest.raises(InputError, match=r"Cannot write .* choose another place"):
        train(
            make_episodes(),
            small_recipe(steps=2),
            tmp_path / "file" / "run",
            on_progress=lambda step, loss: reported.append(step),
        )
    assert reported == []


def test_locked_checkpoint_is_kept(tmp_path: Path) -> None:
    episodes, out = make_episodes(), tmp_path / "run"
    train(episodes, small_recipe(steps=2), out)
    (tmp_path / "link").symlink_to(out)

    def ask() -> bool:
        with pytest.raises(InputError, match="is being written by another process; wait until it has ended"):
            train(episodes, small_recipe(steps=2), tmp_path / "link", overwrite=True)
        return False

    assert train(episodes, small_recipe(steps=3), out, overwrite=True, should_stop=ask).step == 3
    assert checkpoints.load(out).step == 3
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["link", "run"]


def test_checkpoint_can_be_the_working_directory_or_a_symlink(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    episodes, run, link = make_episodes(), tmp_path / "run", tmp_path / "link"
    run.mkdir()
    link.symlink_to(run)
    monkeypatch.chdir(run)
    train(episodes, small_recipe(steps=3), Path(), overwrite=True, save_every=1)
    monkeypatch.chdir(tmp_path)
    assert train(episodes, small_recipe(steps=4), link, resume=True).step == checkpoints.load(run).step == 4
    assert link.is_symlink()
    run.rename(set_aside_path(run))  # the state after a crash between the two renames
    assert checkpoints.exists(link)
    assert checkpoints.load(link).step == 4


def test_resuming_requires_the_same_data_and_recipe(tmp_path: Path) -> None:
    episodes, chosen, out = make_episodes(), small_recipe(steps=2), tmp_path / "run"
    train(episodes, chosen, out)
    with pytest.raises(
        InputError,
        match="Expected env_id 'PhysCartPole-v0' as in the checkpoint",
    ):
        train(make_episodes(DISCRETE), chosen, out, resume=True)
    with pytest.raises(InputError, match="Expected sha256"):
        train(make_episodes(seed=1), chosen, out, resume=True)
    wrong: list[tuple[Recipe, str]] = [
        (small_recipe("bc"), "kind 'decision'"),
        (small_recipe(seed=1), "train.seed 0"),
        (small_recipe(dtype=BFLOAT16), "train.dtype 'float32'"),
    ]
    for other, message in wrong:
        with pytest.raises(InputError, match=message):
            train(episodes, other, out, resume=True)
    assert train(episodes, small_recipe(steps=3, dtype="auto"), out, resume=True).step == 3
    with pytest.raises(InputError, match="Expected a checkpoint in"):
        train(episodes, chosen, tmp_path / "none", resume=True)
    with pytest.raises(InputError, match="pass its folder"):
        train(episodes, chosen, resume=True)


def test_resuming_distinguishes_nested_settings(tmp_path: Path) -> None:
    """Planning and the model both have a ``context`` setting."""
    chosen, out = small_recipe("trajectory", steps=2), tmp_path / "run"
    assert isinstance(chosen.model, TrajectoryConfig)
    train(make_episodes(), chosen, out)
    longer = replace(chosen, model=replace(chosen.model, context=chosen.model.context + 1))
    with pytest.raises(InputError, match=r"Expected model\.context 5 .* got 6"):
        train(make_episodes(), longer, out, resume=True)
    assert checkpoints.load(out).step == 2


def test_resuming_keeps_the_normalization(tmp_path: Path) -> None:
    episodes, out = make_episodes(), tmp_path / "run"
    given = Normalization.between((0.0,) * 4, (2.0,) * 4, 10.0, describe(episodes).spaces)
    train(episodes, small_recipe(steps=4), out, normalization=given)
    with pytest.raises(InputError, match=r"Expected normalization\.return_scale 10\.0"):
        train(episodes, small_recipe(), out, resume=True, normalization=replace(given, return_scale=5.0))
    resumed = train(episodes, small_recipe(), out, resume=True)
    assert resumed.normalization == given
    assert_same(resumed, train(episodes, small_recipe(), normalization=given))
