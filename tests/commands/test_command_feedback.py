"""Command feedback: unique targets, scoring progress and --quiet."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from cartpole_phys import cli, commands
from cartpole_phys.data.building.build import Options, build, build_dataset
from cartpole_phys.data.checks.base import GateFailure
from cartpole_phys.data.checks.tier import TierGate
from cartpole_phys.data.hdf5.file import read_header
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.data.score import return_of_score
from cartpole_phys.utils.errors import InputError
from dt import evaluate as evaluating
from dt import train as training
from dt.training.loop import train
from tests.support.small_models import make_episodes, small_recipe

QUIET = "Hide progress bars; the result is still printed."


def test_repeated_targets_are_evaluated_once(tmp_path: Path) -> None:
    train(make_episodes(), small_recipe(steps=1), tmp_path / "run")
    words = [
        "--target",
        "500",
        "--target-score",
        "100",
        "--target",
        "300",
        "--target",
        "300.0",
        "--episodes",
        "1",
    ]
    result = CliRunner().invoke(evaluating.app, [str(tmp_path / "run"), *words, "--json", "--quiet"])
    assert result.exit_code == 0, result.output
    assert [entry["target"] for entry in json.loads(result.stdout)["results"]] == [500.0, 300.0]


def _quiet_options() -> dict[str, str]:
    """Return the help texts of --quiet by command."""
    groups = {"cartpole-phys": cli.app, "dt.train": training.app, "dt.evaluate": evaluating.app}
    found: dict[str, str] = {}
    for name, app in groups.items():
        command = typer.main.get_command(app)
        for part, own in getattr(command, "commands", {"": command}).items():
            found |= {f"{name} {part}": one.help for one in own.params if one.name == "quiet"}
    return found


def test_quiet_help_mentions_the_printed_result() -> None:
    help_texts = _quiet_options()
    assert len(help_texts) >= 8
    assert set(help_texts.values()) == {QUIET}


class RecordedProgress:
    """A progress display that records its calls."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.episodes_done: list[tuple[str, int, int]] = []

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def episodes(self, done: int, total: int) -> None:
        self.episodes_done.append((self.stages[-1], done, total))

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


@pytest.mark.parametrize("env_id", ["PhysCartPole-v0", "Pendulum-v1"])
def test_scoring_progress_reaches_the_total(env_id: str, tmp_path: Path) -> None:
    noted: Any = RecordedProgress()
    recipe = Recipe(env_id, "random", steps=200, score_episodes=70)
    build(recipe, Options(tmp_path), noted)
    scoring = [one for one in noted.episodes_done if one[0] == "scoring"]
    assert len(scoring) > 1
    assert scoring == sorted(scoring)
    assert scoring[-1] == ("scoring", 70, 70)


def test_progress_bar_shows_count_and_remaining_time() -> None:
    with commands.ProgressBar() as bar:
        live: Any = bar._bar.live
        live.console = live._live_render.console = Console(file=io.StringIO(), width=120)
        bar.stage("scoring")
        bar.episodes(250, 1_000)
        shown = io.StringIO()
        Console(file=shown, width=120).print(bar._bar.get_renderable())
    assert "250 of 1,000 episodes" in shown.getvalue()
    assert shown.getvalue().count(":") >= 4  # elapsed and remaining time


def test_number_of_score_episodes_is_configurable(tmp_path: Path) -> None:
    few = build_dataset(policy="random", steps=500, score_episodes=20, out=tmp_path)
    default = build_dataset(policy="random", steps=500, out=tmp_path)
    assert few.name != default.name  # released names are reserved for the released evaluation
    first, second = read_header(few).metadata, read_header(default).metadata
    assert (first["evaluation"]["episodes"], second["evaluation"]["episodes"]) == (20, 1_000)
    assert first["sha256"] == second["sha256"]  # rows are the same
    assert "--score-episodes 20" in first["command"]
    wrong: Any
    for wrong in (0, 9, 2.5, True):
        with pytest.raises(InputError, match="Expected --score-episodes of at least 10"):
            Recipe(policy="random", score_episodes=wrong)


@pytest.mark.parametrize(
    ("episodes", "spread", "passes"), [(10, 30.0, False), (1_000, 30.0, True), (10, 3.0, False)]
)
def test_wide_interval_does_not_establish_a_tier(
    episodes: int, spread: float, passes: bool, medium_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A medium policy scores 40 to 60; the mean of these episodes is 61."""
    scores = 61.0 + np.resize([-spread, spread], episodes)
    returns = np.array([return_of_score("PhysCartPole-v0", score) for score in scores])
    gate = TierGate(read_header(medium_file))
    monkeypatch.setattr(gate, "_returns", lambda *_: returns)
    monkeypatch.setattr(gate, "_require_stated", lambda *_: None)  # the file stores scores of other returns
    if passes:
        assert gate.finish().startswith("scores medium 61.0")
        return
    with pytest.raises(GateFailure, match="a score of 40 to 60 for the tier medium, got 61"):
        gate.finish()
