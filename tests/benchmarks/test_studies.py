"""Studies: resuming, one evaluation protocol for all methods, and the coverage of intervals."""

import multiprocessing
import os
import signal
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import trim_mean

from benchmarks import robustness
from benchmarks.machine import read
from benchmarks.studies import behaviors
from benchmarks.studies.cell import (
    EVALUATION_SEED,
    Cell,
    Method,
    Protocol,
    data_path,
    measure,
    plain,
    read_kept,
    write,
)
from benchmarks.studies.question import QUESTION
from benchmarks.studies.report import CELLS as REPORTED
from benchmarks.studies.report import PROTOCOL as REPORTED_PROTOCOL
from benchmarks.studies.report import RESULTS as PENDULUM
from benchmarks.studies.running import finished, run
from benchmarks.studies.statistics import ENOUGH, Estimate, difference, interquartile_mean, mean
from benchmarks.studies.summary import Summary
from benchmarks.studies.tables import listed, minus
from cartpole_phys.data.building.build import build_dataset
from cartpole_phys.data.loading import load_file
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.physics import Params
from cartpole_phys.policies.controllers import proportional, swing_up, uniform
from cartpole_phys.utils.errors import InputError
from dt.models.recipes import recipe
from tests.support.commands import FORKING

MIXED = Recipe(policy="heuristic", tier="mixed", steps=3_000)
WEAK = Recipe(policy="heuristic", tier="weak", steps=1_000)
PROTOCOL = Protocol(episodes=4, seeds=2, curve_points=2, curve_episodes=3, swept_scores=(50.0,))
UNTIMED = ("train_seconds", "date")


def _method(kind: str, **changes: Any) -> Method:
    given = recipe(kind, "tiny")
    return Method(kind, replace(given, train=replace(given.train, steps=20, warmup_steps=2)), **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("data")
    for data in (MIXED, WEAK):
        build_dataset(policy=data.policy, tier=data.tier, steps=data.steps, out=made)
    return made


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork training processes from one that has imported PyTorch, which saves seconds in each."""
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: FORKING)


def _timeless(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name not in UNTIMED}


@pytest.mark.usefixtures("forked")
def test_resumed_study_gives_the_same_result(folder: Path, tmp_path: Path) -> None:
    cells = [Cell(MIXED, _method("bc"), seed) for seed in range(2)]
    run(cells, PROTOCOL, tmp_path, folder, jobs=2)
    first, second = (read(cell.path(tmp_path)) for cell in cells)
    assert first["played"] != second["played"]
    with pytest.raises(InputError, match=r"seed 0 to be played for 5 episodes .* got 4 with None; delete"):
        run(cells, replace(PROTOCOL, episodes=5), tmp_path, folder, jobs=1)
    cells[1].path(tmp_path).unlink()
    kept = cells[0].path(tmp_path).stat().st_mtime_ns
    run(cells, PROTOCOL, tmp_path, folder, jobs=1)
    assert cells[0].path(tmp_path).stat().st_mtime_ns == kept
    assert _timeless(read(cells[1].path(tmp_path))) == _timeless(second)


@pytest.mark.parametrize(
    "study",
    [(QUESTION.cells, QUESTION.results), (QUESTION.cells, robustness.RESULTS), (REPORTED, PENDULUM)],
    ids=["scores", "robustness", "pendulum"],
)
def test_committed_results_match_the_current_recipes(study: tuple[Sequence[Cell], Path]) -> None:
    cells, results = study
    assert any(cell.path(results).exists() for cell in cells)
    assert all(read_kept(cell, results) for cell in cells if cell.path(results).exists())


@pytest.mark.parametrize(
    ("study", "protocol"),
    [
        pytest.param((QUESTION.cells, QUESTION.results), QUESTION.protocol, id="scores"),
        pytest.param(
            (REPORTED, PENDULUM),
            REPORTED_PROTOCOL,
            id="pendulum",
            marks=pytest.mark.xfail(
                strict=True, raises=AssertionError, reason="being remeasured on one set of start states"
            ),
        ),
    ],
)
def test_committed_results_match_the_current_protocol(
    study: tuple[Sequence[Cell], Path], protocol: Protocol
) -> None:
    for cell, result in _kept(*study):
        episodes = protocol.slow_episodes if cell.method.slow else protocol.episodes
        assert {len(one["returns"]) for one in result["played"]} == {episodes}, cell.name
        assert result["evaluation_seed"] == protocol.evaluation_seed(cell.seed), cell.name


def _kept(cells: Sequence[Cell], results: Path) -> list[tuple[Cell, dict[str, Any]]]:
    """Return finished cells (at least one) with their results."""
    kept = [(cell, read(cell.path(results))) for cell in cells if cell.path(results).exists()]
    assert kept
    return kept


def test_cell_results_contain_curve_targets_and_recipe(folder: Path) -> None:
    result = measure(Cell(WEAK, _method("decision"), 1), PROTOCOL, folder)
    assert [point["step"] for point in result["curve"]] == [10, 20]
    asked, half, best = result["played"]
    assert result["curve"][-1]["mean_return"] == pytest.approx(np.mean(asked["returns"][:3]))
    assert (asked["wish"], half["wish"], best["wish"]) == ("score 100", "score 50", "best return of the data")
    assert asked["target"] > half["target"] > 0
    assert best["target"] == load_file(data_path(WEAK, folder)).returns.max() < asked["target"]
    assert result["recipe"]["train"]["seed"] == 1


def test_method_scaling_and_evaluation_seed(folder: Path) -> None:
    """With outputs scaled to almost zero force, a model does not move the cart."""
    idle = measure(Cell(MIXED, _method("bc", scaling={"action_reach": (1e-9,)}), 1), PROTOCOL, folder)
    alone = MIXED.backend.play(proportional(0.0, continuous=True), PROTOCOL.episodes, 1_001)
    assert idle["played"][0]["returns"] == alone.returns.tolist()


def test_behavior_policies_share_the_protocol_of_models(folder: Path) -> None:
    many = replace(PROTOCOL, episodes=200)
    result = behaviors.measure(MIXED, many, folder)
    backend, by_name = MIXED.backend, {(part["name"], part["tier"]): part for part in result["parts"]}
    weak = by_name[behaviors.SAMPLED, "weak"]
    assert weak["rows"] == 1_000
    assert by_name[behaviors.RANDOM, "random"]["returns"][1] == pytest.approx(
        backend.play(uniform(), 200, 1_001).returns, abs=1e-3
    )
    weighed = behaviors.run_returns(result, behaviors.SAMPLED)
    assert weighed.shape == (2,)
    data = load_file(data_path(MIXED, folder))
    assert result["rows"] == data.steps
    assert result["mean_return"] == pytest.approx(data.returns[data.complete].mean())
    lengths = [by_name[behaviors.SAMPLED, tier]["mean_length"] for tier in ("weak", "medium", "expert")]
    assert weighed.mean() == pytest.approx(3 / sum(1 / length for length in lengths), rel=0.02)
    noiseless = behaviors.run_returns(result, behaviors.MEAN_ACTION)  # of control laws without noise
    assert noiseless.tolist() == weighed.tolist()
    expert = np.mean(by_name[behaviors.MEAN_ACTION, "expert"]["returns"], axis=1)
    assert behaviors.run_returns(result, behaviors.BEST).tolist() == expert.tolist()


def test_mean_action_of_a_noisy_control_law_has_no_noise(tmp_path: Path) -> None:
    data = Recipe("PhysCartPoleSwingUp-v0", "heuristic", "mixed", 3_000)
    build_dataset(data.env_id, policy=data.policy, tier=data.tier, steps=data.steps, out=tmp_path)
    result = behaviors.measure(data, PROTOCOL, tmp_path)
    acted, noiseless = (
        [part for part in result["parts"] if part["name"] == name]
        for name in (behaviors.SAMPLED, behaviors.MEAN_ACTION)
    )
    law = data.backend.play(swing_up(Params()), PROTOCOL.episodes, EVALUATION_SEED)
    assert [part["returns"][0] for part in noiseless] == 3 * [law.returns.round(3).tolist()]
    assert np.mean(acted[0]["returns"]) < np.mean(acted[2]["returns"]) < law.returns.mean()


def test_parts_are_weighted_by_number_of_episodes() -> None:
    """Including mean actions with longer episodes."""
    played = {"rows": 100, "returns": [[1.0]]}, {"rows": 100, "returns": [[5.0]]}
    parts = [
        {**part, "name": name, "mean_length": length}
        for name, lengths in ((behaviors.SAMPLED, (10, 50)), (behaviors.MEAN_ACTION, (50, 50)))
        for part, length in zip(played, lengths, strict=True)
    ]
    expected = [(10 * 1.0 + 2 * 5.0) / 12]
    assert behaviors.run_returns({"parts": parts}, behaviors.SAMPLED).tolist() == expected
    assert behaviors.run_returns({"parts": parts}, behaviors.MEAN_ACTION).tolist() == expected
    assert behaviors.run_returns({"parts": parts}, behaviors.BEST).tolist() == [5.0]


def test_cells_of_different_data_are_not_combined_in_a_table(tmp_path: Path) -> None:
    cells = [Cell(MIXED, _method("bc"), seed) for seed in range(2)]
    for cell, rows in zip(cells, ("a", "b"), strict=True):
        write({"data_sha256": rows, "recipe": asdict(cell.recipe)}, cell.path(tmp_path))
    with pytest.raises(InputError, match="seed 1; delete its file"):
        Summary(cells, tmp_path)
    write({"data_sha256": "b"}, behaviors.path(MIXED, tmp_path))
    with pytest.raises(InputError, match=r"hash b, got a for .* seed 0; delete its file"):
        Summary(cells, tmp_path)


def test_data_different_from_earlier_results_are_rejected_before_training(
    folder: Path, tmp_path: Path
) -> None:
    cell = Cell(MIXED, _method("bc"), 0)
    write({"data_sha256": "a", "parts": []}, behaviors.path(MIXED, tmp_path))
    with pytest.raises(InputError, match=r"mixed-steps3000-v0\.hdf5' to have the rows .* with hash a, got"):
        run([cell], PROTOCOL, tmp_path, folder, jobs=1)
    assert not cell.path(tmp_path).exists()


def test_data_check_uses_cells_if_behaviors_have_no_checksum(folder: Path, tmp_path: Path) -> None:
    cells = [Cell(MIXED, _method("bc"), seed) for seed in range(2)]
    played = [{"wish": None, "returns": [1.0] * PROTOCOL.episodes}]
    eligible = {"rule": "", "episodes": 1, "rows": 1, "sha256": "a"}
    kept: dict[str, Any] = {
        "data_sha256": "a",
        "eligible": eligible,
        "recipe": asdict(cells[0].recipe),
        "played": played,
    }
    kept["evaluation_seed"] = PROTOCOL.evaluation_seed(0)
    write(kept, cells[0].path(tmp_path))
    with pytest.raises(InputError, match=r"to have the rows .* with hash a, got"):
        run(cells, PROTOCOL, tmp_path, folder, jobs=1)
    assert not cells[1].path(tmp_path).exists()


class _Killed:
    """A task that kills its worker process."""

    def result(self) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


@pytest.mark.usefixtures("forked")
def test_killed_processes_are_reported() -> None:
    with pytest.raises(InputError, match=r"killed \(possibly out of memory\); finished results are kept"):
        list(finished([_Killed()], jobs=1))


@pytest.mark.usefixtures("forked")
def test_target_returns_belong_to_the_protocol(folder: Path, tmp_path: Path) -> None:
    cell = Cell(WEAK, _method("decision"), 0)
    run([cell], PROTOCOL, tmp_path, folder, jobs=1)
    run([cell], PROTOCOL, tmp_path, folder, jobs=1)
    with pytest.raises(InputError, match="score 100, score 20 and best return of the data, if it takes any"):
        run([cell], replace(PROTOCOL, swept_scores=(20.0,)), tmp_path, folder, jobs=1)


@pytest.mark.parametrize("changed", [{"scaling": {"action_reach": (0.5,)}}, {"hidden": (8,)}, {"steps": 3}])
def test_results_of_another_recipe_are_rejected(changed: dict[str, Any], tmp_path: Path) -> None:
    cell = Cell(MIXED, _method("bc"), 0)
    write({"data_sha256": "a", "recipe": asdict(cell.recipe)}, cell.path(tmp_path))
    assert Summary([cell], tmp_path).missing == []
    given = cell.method.recipe
    if "hidden" in changed:
        given = replace(given, model=replace(given.model, **changed))
    if "steps" in changed:
        given = replace(given, train=replace(given.train, **changed))
    other = replace(cell.method, recipe=given, scaling=changed.get("scaling", {}))
    with pytest.raises(InputError, match=r"bc-seed0\.json' to be of the recipe that the study has now"):
        Summary([Cell(MIXED, other, 0)], tmp_path)


def test_summary_lists_missing_cells(tmp_path: Path) -> None:
    cells = [Cell(MIXED, _method("bc"), seed) for seed in range(2)]
    played = [{"returns": [1.0, 2.0]}]
    write({"data_sha256": "a", "recipe": asdict(cells[1].recipe), "played": played}, cells[1].path(tmp_path))
    summary = Summary(cells, tmp_path)
    assert summary.missing == [cells[0]]
    assert summary.run_returns(MIXED, cells[0].method).tolist() == [1.5]


def test_interquartile_mean_drops_a_quarter_on_each_side() -> None:
    scores = np.array([[0.0], [10.0], [20.0], [30.0], [1000.0]])
    assert interquartile_mean(scores).value == trim_mean(scores.ravel(), 0.25) == 20.0


def test_two_runs_have_no_interval_and_three_have() -> None:
    assert interquartile_mean(np.array([[0.0], [10.0]])) == (5.0, 5.0, 5.0)
    value, low, high = interquartile_mean(np.array([[0.0], [5.0], [10.0]]))
    assert low < value < high


def test_bootstrap_resamples_runs_within_their_task() -> None:
    """Tasks of different difficulty whose runs all agree give an interval of zero width."""
    estimate = interquartile_mean(np.tile([0.0, 50.0, 60.0, 100.0], (5, 1)))
    assert estimate == (55.0, 55.0, 55.0)


@pytest.mark.parametrize(("runs", "share"), [(3, 0.73), (ENOUGH, 0.89), (20, 0.94)])
def test_intervals_of_few_runs_undercover(runs: int, share: float) -> None:
    """See ``ENOUGH``: the percentile bootstrap underestimates the spread of few runs."""
    generator = np.random.default_rng(0)
    estimates = [interquartile_mean(generator.normal(50, 5, (runs, 1))) for _ in range(400)]
    held = [estimate.low <= 50.0 <= estimate.high for estimate in estimates]
    assert np.mean(held) == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize(("spread", "share"), [(5.0, 0.93), (1.0, 0.90)])
def test_intervals_of_differences_cover_more_often(spread: float, share: float) -> None:
    """Less so for a difference from a baseline of low variance, such as a behavior policy."""
    generator, shape = np.random.default_rng(0), (ENOUGH, 1)
    drawn = [(generator.normal(50, 5, shape), generator.normal(50, spread, shape)) for _ in range(400)]
    estimates = [difference(scores, others) for scores, others in drawn]
    held = [estimate.low <= 0.0 <= estimate.high for estimate in estimates]
    assert np.mean(held) == pytest.approx(share, abs=0.03)


def test_signs_use_rounded_values_as_in_tables() -> None:
    assert Estimate(3.5, 0.06, 6.2).above
    assert Estimate(-3.5, -6.2, -0.06).below
    assert not Estimate(3.5, 0.04, 6.2).above
    assert not Estimate(-3.5, -6.2, -0.04).below


def test_mean_includes_tasks_outside_the_interquartile_range() -> None:
    scores = np.tile([0.0, 80.0, 80.0, 80.0], (5, 1))
    assert interquartile_mean(scores).value == 80.0
    assert mean(scores) == (60.0, 60.0, 60.0)


def test_difference_intervals_exclude_zero_only_for_real_differences() -> None:
    generator = np.random.default_rng(0)
    low, high = generator.normal(50, 2, (5, 1)), generator.normal(60, 2, (5, 1))
    assert difference(high, low).low > 0 > difference(low, high).high
    same = difference(low, low)
    assert same.low < 0 < same.high
    assert same.value == 0.0


def test_text_helpers() -> None:
    assert plain("10 % BC") == "10-percent-bc"
    assert [minus("-1.0"), minus("-0.0"), minus("2.5")] == ["−1.0", "0.0", "2.5"]
    assert listed(["one"]) == "one"
    assert listed(["one", "two", "three"]) == "one, two and three"
