"""Robustness to disturbances and compute cost of the methods, on tiny models."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import cost, robustness
from benchmarks.machine import read
from benchmarks.studies.cell import Cell, data_path, model_path, trained, write
from benchmarks.studies.disturbances import DISTURBANCES, EXPERT, UNDISTURBED, Disturbance, Disturbed
from benchmarks.studies.question import BALANCE, CLONING, QUESTION, Question
from benchmarks.studies.running import built
from benchmarks.studies.smoke import shrunk
from cartpole_phys.data.loading import load_file
from cartpole_phys.policies.controllers import proportional
from cartpole_phys.utils.errors import InputError
from dt.data.source import describe
from dt.policy import load
from dt.training.checkpoint import save


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Question, Path]:
    """A tiny study and the folder with the data of its first tier."""
    folder = tmp_path_factory.mktemp("data")
    question = shrunk(QUESTION, folder / "results")
    built(question.tiers[BALANCE][0], folder)
    return question, folder


@pytest.mark.parametrize("one", DISTURBANCES, ids=lambda one: one.name)
def test_only_non_nominal_strengths_have_an_effect(one: Disturbance) -> None:
    data, policy = QUESTION.tiers[BALANCE][0], proportional(1.0, continuous=True)
    plain, usual, *others = (
        backend.play(policy, 20, 0).returns
        for backend in (
            data.backend,
            one.backend(data, one.usual),
            *(one.backend(data, value) for value in one.strengths),
        )
    )
    assert np.array_equal(plain, usual)
    assert not any(np.array_equal(plain, other) for other in others)


def test_models_and_the_expert_are_evaluated_under_every_disturbance(small: tuple[Question, Path]) -> None:
    question, folder = small
    data = question.tiers[BALANCE][0]
    for method in (None, question.named(CLONING)):
        task = Disturbed(data, method, 1, question.protocol, folder)
        result = task.result()["returns"]
        assert set(result) == {UNDISTURBED, *(one.name for one in DISTURBANCES)}
        for one in DISTURBANCES:
            assert set(result[one.name]) == {f"{strength:g}" for strength in one.strengths}
            assert all(len(returns) == question.protocol.episodes for returns in result[one.name].values())


@pytest.mark.parametrize("changed", [{"disturbances": []}, {"data_sha256": "of other rows"}])
def test_results_of_other_disturbances_or_rows_are_rejected(
    changed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (expert, *_) = robustness._tasks(tmp_path)
    kept = read(expert.path(robustness.RESULTS))
    monkeypatch.setattr(robustness, "RESULTS", tmp_path)
    write(kept, expert.path(tmp_path))
    assert robustness._results()[EXPERT] == [kept["returns"]]
    write({**kept, **changed}, expert.path(tmp_path))
    with pytest.raises(InputError, match=r"expert-seed0\.json' to be of the disturbances and rows"):
        robustness._results()


def test_robustness_needs_no_scores_before_it(
    small: tuple[Question, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    question, folder = small
    alone = replace(question, methods=(question.named(CLONING),), results=tmp_path / "scores")
    changed = {"QUESTION": alone, "TIER": question.tiers[BALANCE][0], "RESULTS": tmp_path / "robustness"}
    for name, value in {**changed, "draw": lambda: None}.items():
        monkeypatch.setattr(robustness, name, value)
    robustness.robustness(folder, jobs=1)
    assert [len(runs) for runs in robustness._results().values()] == [1, 1]


def test_undisturbed_saved_models_reproduce_the_scores() -> None:
    cells = [cell for cell in QUESTION.cells if cell.data == robustness.TIER]
    both = [
        (read(cell.path(robustness.RESULTS)), read(cell.path(QUESTION.results)))
        for cell in cells
        if cell.path(robustness.RESULTS).exists() and cell.path(QUESTION.results).exists()
    ]
    assert both
    for disturbed, scored in both:
        assert disturbed["returns"][UNDISTURBED] == scored["played"][0]["returns"], scored["method"]


def test_saved_model_of_the_same_recipe_is_reused(small: tuple[Question, Path]) -> None:
    question, folder = small
    cell = Cell(question.tiers[BALANCE][0], question.named(CLONING), 2)
    first = trained(cell, folder)
    written = (model_path(cell, folder) / "config.json").stat().st_mtime_ns
    assert trained(cell, folder).recipe == first.recipe
    assert (model_path(cell, folder) / "config.json").stat().st_mtime_ns == written
    longer = replace(cell.method.recipe, train=replace(cell.method.recipe.train, steps=3))
    other = Cell(cell.data, replace(cell.method, recipe=longer), 2)
    assert trained(other, folder).step == 3
    scaled = Cell(cell.data, replace(other.method, scaling={"action_reach": (0.5,)}), 2)
    assert trained(scaled, folder).normalization.action_reach == (0.5,)


def test_saved_model_of_other_rows_is_not_reused(small: tuple[Question, Path], tmp_path: Path) -> None:
    question, folder = small
    cell = Cell(question.tiers[BALANCE][0], question.named(CLONING), 0)
    save(model_path(cell, tmp_path), trained(cell, folder))
    built(replace(cell.data, seed=7), tmp_path).rename(data_path(cell.data, tmp_path))
    rows = describe(load_file(data_path(cell.data, tmp_path))).sha256
    assert trained(cell, tmp_path).source.sha256 == rows
    assert trained(cell, folder).source.sha256 != rows


def test_real_time_control_depends_on_the_slowest_actions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The median is not sufficient: planners mostly execute an earlier plan."""
    own = {**_costs(), "median_action_seconds": 1e-5, "slow_action_seconds": 0.003}
    _write_costs({CLONING: own}, tmp_path / "cost.json", monkeypatch)
    assert "| yes | no | no |" in cost.cost_table()


def _costs() -> dict[str, Any]:
    """Example costs of behavior cloning."""
    seconds = dict.fromkeys(("mean_action_seconds", "median_action_seconds", "slow_action_seconds"), 0.0001)
    kept = {"recipe": asdict(QUESTION.named(CLONING).recipe), "parameters": 1, "actions": 10_000}
    return {**kept, "step_seconds": 1.0, **seconds}


def _write_costs(methods: dict[str, Any], path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write({"methods": methods, "machine": "a machine", "date": "2026-01-02"}, path)
    monkeypatch.setattr(cost, "RESULT", path)


def test_costs_of_another_recipe_or_method_are_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = _costs()
    _write_costs({CLONING: own}, tmp_path / "cost.json", monkeypatch)
    assert f"| {own['recipe']['train']['steps']:,} |" in cost.cost_table()  # of a second each
    longer = {**own["recipe"], "train": {**own["recipe"]["train"], "steps": 7}}
    for other in ({CLONING: {**own, "recipe": longer}}, {"no such method": own}):
        _write_costs(other, tmp_path / "cost.json", monkeypatch)
        with pytest.raises(InputError, match=f"got another {next(iter(other))}; measure anew"):
            cost.cost_table()


def test_every_action_of_complete_episodes_is_timed(small: tuple[Question, Path]) -> None:
    question, folder = small
    data = question.tiers[BALANCE][0]
    policy = load(trained(Cell(data, question.named(CLONING), 0), folder))
    seconds = cost.action_seconds(policy, 30)
    assert len(seconds) == 30
    assert min(seconds) > 0.0


def test_methods_alternate_and_report_their_costs(
    small: tuple[Question, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    question, folder = small
    data = question.tiers[BALANCE][0]
    for name, value in (("TIER", data), ("ACTIONS", 12), ("STEPS", 2)):
        monkeypatch.setattr(cost, name, value)
    method = question.named(CLONING)
    contender = cost._Contender(method, load_file(data_path(data, folder)), folder)
    for _ in range(2):
        contender.take_turn()
    result = contender.result()
    assert result["actions"] == 2 * 12
    assert 0.0 < result["median_action_seconds"] <= result["slow_action_seconds"]
    assert result["step_seconds"] == pytest.approx(np.median(contender.steps))
    assert len(contender.steps) == 2 * 2
