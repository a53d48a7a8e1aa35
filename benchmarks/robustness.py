"""Robustness of trained models to disturbances absent from the data: ``python -m benchmarks.robustness``.

Every finished model is one file, so that an interrupted run resumes; models that the benchmark study stored
are not trained again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.machine import read
from benchmarks.studies import behaviors
from benchmarks.studies.cell import ELIGIBLE, read_kept, require_same_eligible, write
from benchmarks.studies.disturbances import AS_KEPT, DISTURBANCES, EXPERT, UNDISTURBED, Disturbance, Disturbed
from benchmarks.studies.question import BALANCE, QUESTION
from benchmarks.studies.running import (
    DATA,
    JOBS,
    DataOption,
    JobsOption,
    RayOption,
    console,
    finished,
    prepare,
)
from benchmarks.studies.score_pictures import COLORS, MARKS, SCORES, SMALL, draw_intervals, save
from benchmarks.studies.score_tables import estimated
from benchmarks.studies.statistics import interquartile_mean
from benchmarks.studies.tables import marked, table
from cartpole_phys import commands
from cartpole_phys.data.score import normalized_score
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import FloatArray

RESULTS = Path(__file__).parent / "results" / "robustness"
PLOT = RESULTS / "robustness.png"
TIER = QUESTION.tier(BALANCE, "medium-expert")  # with the best scores


def _tasks(folder: Path) -> list[Disturbed]:
    """All evaluations, seed by seed."""
    protocol = QUESTION.protocol
    return [
        Disturbed(TIER, method, seed, protocol, folder)
        for seed in range(protocol.seeds)
        for method in (None, *QUESTION.methods)
    ]


def _results() -> dict[str, list[dict[str, Any]]]:
    """Returns of finished evaluations, by name and seed."""
    found: dict[str, list[dict[str, Any]]] = {task.name: [] for task in _tasks(Path())}
    for task, result in _finished().items():
        found[task.name].append(result["returns"])
    return found


def _finished(more: bool = False) -> dict[Disturbed, dict[str, Any]]:
    """The existing results; ``more``: whether some are missing.

    Raises:
        InputError: if one is not comparable with the others.
    """
    rows = read(behaviors.path(TIER, QUESTION.results))["data_sha256"]
    kept = {task: _kept(task, rows) for task in _tasks(Path()) if task.path(RESULTS).exists()}
    named = {f"{task.name}, seed {task.seed}": result for task, result in kept.items()}
    require_same_eligible(named, more)
    return kept


def _kept(task: Disturbed, rows: str) -> dict[str, Any]:
    """The existing result for the rows with this hash.

    Raises:
        InputError: if its recipe, disturbances or rows differ from the current ones.
    """
    result = read_kept(task.cell, RESULTS) if task.cell else read(task.path(RESULTS))
    if result["disturbances"] != AS_KEPT or result["data_sha256"] != rows:
        raise InputError(
            f"Expected {str(task.path(RESULTS))!r} to be of the disturbances and rows that the study has "
            "now, got others; delete the file and run the study again."
        )
    return result


def _scores(runs: list[dict[str, Any]], disturbance: Disturbance) -> dict[float, FloatArray]:
    """The score of each run (runs, 1), by disturbance strength."""
    returns = {disturbance.usual: [run[UNDISTURBED] for run in runs]} | {
        strength: [run[disturbance.name][f"{strength:g}"] for run in runs]
        for strength in disturbance.strengths
    }
    means = {strength: np.array([np.mean(one) for one in own]) for strength, own in returns.items()}
    return {at: normalized_score(TIER.env_id, means[at])[:, None] for at in disturbance.scale}


def disturbance_tables() -> str:
    """One table for each disturbance."""
    results, tables, seeds = _results(), [], QUESTION.protocol.seeds
    old = any(ELIGIBLE not in result for result in _finished().values())
    for one in DISTURBANCES:
        headings = [f"{at:g}" + (", as in the data" if at == one.usual else "") for at in one.scale]
        rows = [
            [name, *(estimated(scores, seeds) for scores in _scores(runs, one).values())]
            for name, runs in results.items()
        ]
        tables.append(table([marked(f"`{one.name}`, {one.unit}", old), *headings], rows))
    return "\n\n".join(tables)


def draw() -> None:
    """Draw the score against the strength of each disturbance."""
    results = _results()
    figure, panels = plt.subplots(2, 2, figsize=(9, 7.5), sharey=True, layout="constrained")
    for panel, one in zip(panels.flat, DISTURBANCES, strict=True):
        _draw_disturbance(panel, one, results)
    for panel in panels[:, 0]:
        panel.set(ylabel="normalized score", ylim=SCORES)
    named = panels[0, 0].get_legend_handles_labels()
    figure.legend(*named, fontsize=SMALL, ncols=4, loc="outside lower left", frameon=False)
    save(figure, PLOT)


def _draw_disturbance(panel: Axes, one: Disturbance, results: Mapping[str, list[dict[str, Any]]]) -> None:
    """Draw the methods over a band of the expert, and a line at zero disturbance."""
    told = {
        name: {at: interquartile_mean(scores) for at, scores in _scores(runs, one).items()}
        for name, runs in results.items()
        if runs
    }
    for method, color, mark in zip(QUESTION.methods, COLORS, MARKS, strict=True):
        if own := told.get(method.name):
            draw_intervals(panel, list(own), list(own.values()), f"{mark}-", color, method.name)
    if own := told.get(EXPERT):
        panel.plot(list(own), [score.value for score in own.values()], color="#dddddd", linewidth=7,
                   solid_capstyle="round", zorder=1, label=EXPERT)  # fmt: skip
    panel.axvline(one.usual, color="#bbbbbb", linewidth=0.8, linestyle=":")
    if one.usual:  # strengths are multiples of it
        panel.set_xscale("log")
    else:
        panel.set_xscale("symlog", linthresh=one.strengths[0], linscale=0.4)
    panel.minorticks_off()
    panel.set_xticks(one.scale, [f"{at:g}" for at in one.scale])
    panel.set_xlabel(f"{one.name}: {one.unit}", fontsize=SMALL)


def robustness(data: DataOption = DATA, jobs: JobsOption = JOBS, ray: RayOption = None) -> None:
    """Evaluate models trained without disturbances under them; existing results are kept."""
    prepare(TIER, QUESTION.protocol, QUESTION.results, data)
    missing = [task for task in _tasks(data.resolve()) if not task.path(RESULTS).exists()]
    _finished(more=bool(missing))  # refuses results of an earlier study before hours are spent
    for done, (task, result) in enumerate(finished(missing, jobs, ray), start=1):
        write(result, task.path(RESULTS))
        console.print(f"{done:,} of {len(missing):,}: {task.name}, seed {task.seed}")
    draw()


if __name__ == "__main__":
    commands.run_single(robustness)
