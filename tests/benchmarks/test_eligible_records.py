"""Results record the eligible episodes; studies reject cells whose methods differ in them."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import robustness
from benchmarks.machine import read
from benchmarks.studies import behaviors, score_tables
from benchmarks.studies.answer import Answer
from benchmarks.studies.cell import Cell, Method, Protocol, data_path, measure, write
from benchmarks.studies.question import BALANCE, CLONING, QUESTION
from benchmarks.studies.running import built, run
from benchmarks.studies.smoke import shrunk
from benchmarks.studies.summary import Summary
from cartpole_phys.data.loading import load_file
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.utils.errors import InputError
from dt.data.source import describe
from dt.models.recipes import recipe

WEAK = Recipe(policy="heuristic", tier="weak", steps=1_000)
PROTOCOL = Protocol(episodes=4, seeds=2, curve_points=2, curve_episodes=3, swept_scores=(50.0,))
SOME = {"rule": "ended by termination or time limit", "episodes": 7, "rows": 900, "sha256": "x"}
OTHERS = {**SOME, "episodes": 8, "rows": 1_000, "sha256": "y"}


def _cells() -> list[Cell]:
    given = recipe("bc", "tiny")
    short = replace(given, train=replace(given.train, steps=20, warmup_steps=2))
    return [Cell(WEAK, Method(name, short), 0) for name in ("one", "another")]


def _write(cells: Sequence[Cell], records: Sequence[Any], results: Path) -> None:
    """Write results of cells, each with its record, or without one where it is None."""
    played = [{"wish": None, "returns": [1.0] * PROTOCOL.episodes}]
    for cell, record in zip(cells, records, strict=True):
        kept: dict[str, Any] = {"data_sha256": "a", "recipe": asdict(cell.recipe), "played": played}
        kept["evaluation_seed"] = PROTOCOL.evaluation_seed(cell.seed)
        write(kept | ({} if record is None else {"eligible": record}), cell.path(results))


def test_results_record_the_eligible_episodes(tmp_path: Path) -> None:
    built(WEAK, tmp_path)
    data = load_file(data_path(WEAK, tmp_path))
    assert not data.complete.all()
    result = measure(_cells()[0], PROTOCOL, tmp_path)
    assert result["eligible"] == asdict(describe(data).eligible)
    assert result["eligible"]["episodes"] == data.complete.sum()
    measured = behaviors.measure(WEAK, PROTOCOL, tmp_path)
    assert measured["eligible"] == result["eligible"]
    assert measured["mean_return"] == pytest.approx(data.returns[data.complete].mean())


@pytest.mark.parametrize("records", [(SOME, OTHERS), (SOME, None), (None, SOME)])
def test_cells_with_different_eligible_episodes_are_rejected(records: Sequence[Any], tmp_path: Path) -> None:
    cells = _cells()
    _write(cells, records, tmp_path)
    with pytest.raises(InputError, match=r"same eligible episodes.*another, seed 0.*delete"):
        Summary(cells, tmp_path)


@pytest.mark.parametrize("record", [SOME, None])
def test_equal_records_are_accepted(record: Any, tmp_path: Path) -> None:
    """Older results without a record are consistent with each other."""
    cells = _cells()
    _write(cells, [record, record], tmp_path)
    assert Summary(cells, tmp_path).missing == []


def test_old_results_are_rejected_before_training(tmp_path: Path) -> None:
    cells = _cells()
    _write(cells[:1], [None], tmp_path)
    with pytest.raises(InputError, match=r"same eligible episodes.*none are recorded.*delete"):
        run(cells, PROTOCOL, tmp_path, tmp_path, jobs=1)
    assert not data_path(WEAK, tmp_path).exists()


@pytest.mark.parametrize("record", [SOME, None])
def test_figures_mark_results_without_a_record(record: Any, tmp_path: Path) -> None:
    question = replace(shrunk(QUESTION, tmp_path), regimes=(), planned=())
    tier, cloning = question.tiers[BALANCE][0], question.named(CLONING)
    _write([Cell(tier, cloning, 0)], [record], tmp_path)
    parts = [
        {"name": name, "rows": 1, "mean_length": 1.0, "returns": [[1.0]]}
        for name in (behaviors.RANDOM, behaviors.SAMPLED, behaviors.MEAN_ACTION)
    ]
    acted = {"data_sha256": "a", "mean_return": 1.0, "rows": 10, "parts": parts}
    write(acted, behaviors.path(tier, tmp_path))
    answer = Answer(question)
    tables = [score_tables.scores(answer, BALANCE), score_tables.differences(answer, BALANCE)]
    tables += [one(answer) for one in (score_tables.beaten, score_tables.overall)]
    for table in tables:
        heading = next(line for line in table.splitlines() if line.startswith("|"))
        assert ("being remeasured" in heading) == (record is None), heading


@pytest.mark.parametrize("records", [(SOME, OTHERS), (SOME, None)])
def test_robustness_rejects_models_that_differ(
    records: Sequence[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [task for task in robustness._tasks(tmp_path) if task.path(robustness.RESULTS).exists()][:2]
    kept = [read(task.path(robustness.RESULTS)) for task in tasks]
    monkeypatch.setattr(robustness, "RESULTS", tmp_path)
    for task, result, record in zip(tasks, kept, records, strict=True):
        write(result | ({} if record is None else {"eligible": record}), task.path(tmp_path))
    with pytest.raises(InputError, match=r"same eligible episodes"):
        robustness._results()
