"""The whole score matrix runs, locally or on a cluster; its tables match its cells."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.machine import read
from benchmarks.scores import _named
from benchmarks.studies import behaviors, score_pictures, score_tables
from benchmarks.studies.answer import Answer
from benchmarks.studies.cell import Cell, measure, model_path, write
from benchmarks.studies.question import BALANCE, CLONING, DECISION, QUESTION, Question
from benchmarks.studies.running import built, run
from benchmarks.studies.score_pictures import draw_profiles, draw_scores
from benchmarks.studies.smoke import shrunk
from benchmarks.studies.statistics import performance_profile, probability_of_improvement
from cartpole_phys.data.score import return_of_score
from cartpole_phys.utils.errors import InputError
from dt.training.checkpoint import load

BETTER, EQUAL, WORSE = 90.0, 50.0, 10.0


def test_tiny_run_of_one_method_leaves_no_files(tmp_path: Path) -> None:
    (data,) = shrunk(QUESTION, tmp_path).planned
    run = _smoke(f"{data.name}, {CLONING}")
    assert "1 of 1: " in run.stderr
    assert score_tables.MISSING in run.stdout


@pytest.mark.slow
def test_tiny_run_of_the_full_matrix_leaves_no_files(tmp_path: Path) -> None:
    run = _smoke("")
    small = shrunk(QUESTION, tmp_path)
    assert f"{len(small.cells):,} of {len(small.cells):,}: " in run.stderr
    assert score_tables.MISSING not in run.stdout
    assert "heuristic weak" in run.stdout  # in place of an agent's data


def test_tiny_study_has_the_same_cells(tmp_path: Path) -> None:
    small = shrunk(QUESTION, tmp_path)
    assert len(small.cells) == len(QUESTION.cells) // QUESTION.protocol.seeds
    assert len({cell.path(tmp_path) for cell in small.cells}) == len(small.cells)


def _smoke(only: str) -> subprocess.CompletedProcess[str]:
    """Run the smoke test command, which must not change the committed results."""
    command = [sys.executable, "-m", "benchmarks.scores", "--smoke", "--jobs", "1", "--only", only]
    before = _state(QUESTION.results)
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=600, check=False, cwd=Path(__file__).parents[2]
    )
    assert run.returncode == 0, run.stderr
    assert _state(QUESTION.results) == before
    return run


def _state(folder: Path) -> dict[Path, int]:
    """Modification times of the files in a folder."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_cells_are_selected_by_a_part_of_their_name() -> None:
    chosen = _named(QUESTION, "physcartpole-sac-medium-v0, IQL")
    assert [cell.seed for cell in chosen] == list(range(QUESTION.protocol.seeds))
    with pytest.raises(InputError, match="such as 'physcartpole-sac-medium-v0, BC, seed 0', got 'nothing'"):
        _named(QUESTION, "nothing")


@pytest.mark.slow
def test_cluster_trains_equal_models(tmp_path: Path) -> None:
    import ray

    small = shrunk(QUESTION, tmp_path / "away")
    tier, method = small.tiers[BALANCE][0], small.named(CLONING)
    cells = [Cell(tier, method, seed) for seed in range(2)]
    ray.init("local", num_cpus=2, include_dashboard=False)  # not a cluster of another process
    try:
        run(cells, small.protocol, small.results, tmp_path, jobs=1, ray="auto")
    finally:
        ray.shutdown()
    for cell in cells:
        away, here = read(cell.path(small.results)), measure(cell, small.protocol, tmp_path)
        assert {**away, "train_seconds": 0.0} == json.loads(json.dumps({**here, "train_seconds": 0.0}))


def test_trained_models_are_saved_beside_the_data(tmp_path: Path) -> None:
    small = shrunk(QUESTION, tmp_path / "results")
    cell = Cell(small.tiers[BALANCE][0], small.named(CLONING), 3)
    built(cell.data, tmp_path)
    result = measure(cell, small.protocol, tmp_path)
    kept = load(model_path(cell, tmp_path))
    assert kept.recipe.train.seed == 3
    assert kept.source.sha256 == result["data_sha256"]


def test_slow_methods_are_evaluated_on_fewer_episodes(tmp_path: Path) -> None:
    small = shrunk(QUESTION, tmp_path)
    cell = Cell(small.tiers[BALANCE][0], small.named("Trajectory Transformer"), 0)
    built(cell.data, tmp_path)
    result = measure(cell, replace(small.protocol, episodes=3, slow_episodes=2), tmp_path)
    assert len(result["played"][0]["returns"]) == 2
    assert result["curve"] == []


@pytest.fixture
def synthetic(tmp_path: Path) -> Question:
    """Synthetic results: 10 % BC is best, CQL equals BC, and the others have few seeds."""
    question = replace(QUESTION, results=tmp_path)
    scores = {CLONING: (5, EQUAL), "10 % BC": (5, BETTER), "CQL": (5, EQUAL)}
    scores |= {"IQL": (2, BETTER), "TD3+BC": (4, BETTER), DECISION: (3, EQUAL)}
    tier = question.tiers[BALANCE][0]
    for cell in question.cells:
        seeds, score = scores.get(cell.method.name, (0, 0.0))
        if cell.data == tier and cell.seed < seeds:
            value, most = (return_of_score(tier.env_id, score + cell.seed + more) for more in (0.0, 10.0))
            played = [{"wish": "score 100", "returns": [value, value]}]
            played += [{"wish": "best return of the data", "returns": [most, most]}]
            made = {"machine": "a machine", "date": "2026-01-02"}
            kept = {"data_sha256": "a", "recipe": asdict(cell.recipe), "played": played}
            write({**kept, **made}, cell.path(tmp_path))
    beaten = [[return_of_score(tier.env_id, WORSE + run)] for run in range(5)]
    parts = [
        {"name": name, "rows": 1, "mean_length": 1.0, "returns": beaten}
        for name in (behaviors.RANDOM, behaviors.SAMPLED, behaviors.MEAN_ACTION)
    ]
    acted = {"data_sha256": "a", "mean_return": beaten[0][0], "rows": 1_000, "parts": parts}
    write(acted, behaviors.path(tier, tmp_path))
    return question


def _row(table: str, name: str) -> list[str]:
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_tables_mark_better_methods_and_missing_cells(synthetic: Question) -> None:
    answer = Answer(synthetic)
    table = score_tables.scores(answer, BALANCE)
    assert _row(table, "BC")[0].startswith("**52.0 (")  # than both behaviors
    assert _row(table, "10 % BC")[0].startswith("**92.0 (")
    assert _row(table, "IQL") == ["90.5, seeds: 2"]
    assert _row(table, "CQL")[0].startswith("52.0 (")
    assert _row(table, "TD3+BC")[0].startswith("91.5 (")  # not bold because of few seeds
    assert _row(table, "TD3+BC")[0].endswith("), seeds: 4")
    assert _row(table, "Reinformer") == [score_tables.MISSING]
    assert _row(table, DECISION) == ["51.0 (50.0 – 52.0), seeds: 3"]
    assert _row(table, f"{DECISION}, conditioned on the best return of the data") == [
        "61.0 (60.0 – 62.0), seeds: 3"
    ]
    assert _row(score_tables.overall(answer), DECISION)[-1].endswith("), seeds: 3")
    assert _row(table, "transitions") == ["1,000"]
    beaten = score_tables.beaten(answer)
    assert [_row(beaten, name)[0] for name in ("BC", "10 % BC", "CQL")] == ["+ +", "+ + +", "+ + ·"]
    assert _row(beaten, "IQL") == _row(beaten, "TD3+BC") == [score_tables.FEW]
    assert _row(beaten, "Reinformer") == [score_tables.MISSING]
    differences = score_tables.differences(answer, BALANCE)
    assert _row(differences, "sac medium: 10 % BC")[0].startswith("80.0 (7")
    assert score_tables.winners(answer).splitlines()[0].endswith("BC: 10 % BC so far on sac medium.")
    missing = len(synthetic.cells) - (5 + 5 + 2 + 5 + 4 + 3)
    assert f"{missing:,} of {len(synthetic.cells):,} cells are not finished yet" in score_tables.note(answer)


def test_figures_show_the_available_results(synthetic: Question) -> None:
    for number, draw in enumerate((draw_scores, draw_profiles)):
        path = synthetic.results / f"{number}.png"
        draw(Answer(synthetic), path)
        assert path.read_bytes().startswith(b"\x89PNG")


def test_figures_show_user_defined_methods_and_data(
    synthetic: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Added as in docs/scores.md; also with more methods than line styles."""
    own = replace(synthetic.methods[0], name="my method")
    monkeypatch.setattr(score_pictures, "COLORS", (*score_pictures.COLORS, "#000000"))
    monkeypatch.setattr(score_pictures, "MARKS", score_pictures.MARKS + "*")
    task = synthetic.tiers[BALANCE]
    tiers = {BALANCE: (*task, replace(task[0], tier="full-replay"))}
    question = replace(synthetic, methods=(*synthetic.methods, own), tiers=tiers)
    small = shrunk(question, synthetic.results)
    assert len({cell.path(synthetic.results) for cell in small.cells}) == len(small.cells)
    for draw in (draw_scores, draw_profiles):
        draw(Answer(question), synthetic.results / "own.png")


def test_probability_of_improvement_counts_pairs_within_tasks() -> None:
    scores, others = np.array([[1.0, 100.0], [3.0, 100.0]]), np.array([[2.0, 100.0], [2.0, 200.0]])
    assert probability_of_improvement(scores, others).value == pytest.approx((0.5 + 0.25) / 2)
    assert probability_of_improvement(others, scores).value == pytest.approx(1 - (0.5 + 0.25) / 2)
    sure = probability_of_improvement(np.full((5, 2), 1.0), np.zeros((5, 2)))
    assert tuple(sure) == (1.0, 1.0, 1.0)


def test_performance_profile_decreases_from_one_to_zero() -> None:
    scores = np.random.default_rng(0).uniform(10.0, 90.0, (5, 4))
    value, low, high = performance_profile(scores, np.linspace(0.0, 100.0, 21))
    assert value[0] == 1.0
    assert value[-1] == 0.0
    assert np.all(np.diff(value) <= 0.0)
    assert np.all((low <= value) & (value <= high))
    np.testing.assert_allclose(value, np.mean(scores[..., None] > np.linspace(0.0, 100.0, 21), axis=(0, 1)))
