"""Replication of Bahri's Pendulum results, with ablations: ``python -m benchmarks.pendulum``.

Every finished cell is one file, so that an interrupted run resumes. The tables and the figure in
docs/pendulum.md are generated from those files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.studies import behaviors
from benchmarks.studies.cell import Method, data_path
from benchmarks.studies.report import (
    CELLS,
    CHANGED,
    CLONING,
    DECISION,
    FULL_REPLAY,
    PROTOCOL,
    RANDOM,
    REPLAY,
    REPORTED,
    REPORTED_RANDOM_AGENT,
    REPORTED_SAC,
    REPORTS,
    RESULTS,
    TRAINED,
    VALUE_BASED,
)
from benchmarks.studies.running import DATA, JOBS, DataOption, JobsOption, run
from benchmarks.studies.score_tables import estimated
from benchmarks.studies.statistics import interquartile_mean, paired_difference
from benchmarks.studies.summary import Summary
from benchmarks.studies.tables import interval, minus, table
from cartpole_phys import commands
from cartpole_phys.data.loading import load_file
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.files import atomic_file

PLOT = RESULTS / "learning-curves.png"
LABELS = {RANDOM.name: "random", REPLAY.name: "replay", TRAINED.name: "trained SAC"}
COLORS = {"ours": "#0072b2", "report": "#d55e00", "reference": "#555555"}


def results_table() -> str:
    """Table II of the report next to our results."""
    summary = Summary(CELLS, RESULTS)
    headings = [
        "data",
        "transitions",
        "mean return of the data",
        "report",
        "report's hyperparameters",
        "ours",
        "BC",
    ]
    headings.append("ours minus BC")
    sac, random = (interquartile_mean(summary.behavior_returns(TRAINED, name)[:, None])
                   for name in (behaviors.SAMPLED, behaviors.RANDOM))  # fmt: skip
    agents = [
        ["random agent", "", "", minus(f"{REPORTED_RANDOM_AGENT}"), "", interval(random), "", ""],
        ["SAC agent", "", "", minus(f"{REPORTED_SAC}"), "", interval(sac), "", ""],
    ]
    rows = [_row(summary, data) for data in summary.data]
    return "\n".join([table(headings, [*agents, *rows]), "", _note(summary)])


def _row(summary: Summary, data: Recipe) -> list[str]:
    methods = [REPORTS.get(data.name), DECISION, CLONING]
    cells = ["" if method is None else _told(summary, data, method) for method in methods]
    reported = minus(f"{REPORTED[data.name]}") if data.name in REPORTED else ""
    made = summary.made_by(data)
    cells.append(_difference(summary, data, DECISION, CLONING))
    return [label(data), f"{made['rows']:,}", minus(f"{made['mean_return']:.1f}"), reported, *cells]


def label(data: Recipe) -> str:
    """The label of a data set."""
    return LABELS.get(data.name, data.tier.replace("-", " "))


def _told(summary: Summary, data: Recipe, method: Method, wish: int = 0) -> str:
    seeds = sum(cell.data == data and cell.method == method for cell in CELLS)
    return estimated(summary.run_returns(data, method, wish)[:, None], seeds) if seeds else ""


def _difference(summary: Summary, data: Recipe, method: Method, other: Method, wish: int = 0) -> str:
    """The paired difference in return of two methods over their common training seeds."""
    own, others = summary.run_returns(data, method, wish), summary.run_returns(data, other)
    runs = min(len(own), len(others))
    return interval(paired_difference(own[:runs, None], others[:runs, None])) if runs else ""


def remeasured(summary: Summary) -> str:
    """A note on results of an earlier protocol; empty if there are none."""
    try:
        summary.check_protocol(PROTOCOL)
    except InputError:
        return (
            " **Being remeasured**: in these results each training seed had its own start states, so the "
            "intervals of single columns measure start states; differences are paired by start states."
        )
    return ""


def _note(summary: Summary) -> str:
    machines, dates = summary.made()
    missing = f" {len(summary.missing)} cells are missing." if summary.missing else ""
    return (
        f"Mean return of {PROTOCOL.episodes} episodes on the same start states for all; interquartile mean "
        f"of {PROTOCOL.seeds} training seeds with its 95 % interval, last checkpoint. Decision Transformers "
        f"are conditioned on the best known policy's return. `python -m benchmarks.pendulum`: {machines}, "
        f"{dates}.{missing}{remeasured(summary)}"
    )


def value_table() -> str:
    """Table of value-based methods and the Decision Transformer on random data."""
    summary = Summary(CELLS, RESULTS)
    rows = [
        [one.name, _told(summary, RANDOM, one), _difference(summary, RANDOM, one, CLONING)]
        for one in (CLONING, DECISION, *VALUE_BASED)
    ]
    rows[0][-1] = ""
    return table(["on random data", "mean return", "minus BC"], rows)


def changes_table() -> str:
    """Table of the ablations on the trained agent's data."""
    summary = Summary(CELLS, RESULTS)
    methods = (DECISION, *CHANGED[:3], REPORTS[TRAINED.name], *CHANGED[3:])
    rows = [
        [one.name, _told(summary, TRAINED, one), _difference(summary, TRAINED, one, DECISION)]
        for one in methods
    ]
    rows[0][-1] = ""
    rows += [
        [
            f"ours, conditioned on {_wish(one)}",
            _told(summary, TRAINED, DECISION, number),
            _difference(summary, TRAINED, DECISION, DECISION, number),
        ]
        for first in summary.of(TRAINED, DECISION)[:1]
        for number, one in enumerate(first["played"])
        if number
    ]
    return table(["on the trained agent's data", "mean return", "minus Decision Transformer"], rows)


def _wish(played: dict[str, Any]) -> str:
    return f"{minus(format(played['target'], '.0f'))} ({played['wish']})"


def parameters_table() -> str:
    """Table of the report's hyperparameters and ours, as recorded in the results."""
    summary = Summary(CELLS, RESULTS)
    told = {f"report, {label(data)}": summary.of(data, REPORTS[data.name])
            for data in (RANDOM, REPLAY, TRAINED)}  # fmt: skip
    told["ours, on all"] = summary.of(TRAINED, DECISION)
    recipes = {name: results[0]["recipe"] for name, results in told.items() if results}
    settings = (
        ("batch size", lambda one: one["train"]["batch_size"]),
        ("width", lambda one: one["model"]["transformer"]["width"]),
        ("layers", lambda one: one["model"]["transformer"]["layers"]),
        ("steps of context", lambda one: one["model"]["context"]),
        ("dropout", lambda one: one["model"]["transformer"]["dropout"]),
        ("learning rate", lambda one: one["train"]["learning_rate"]),
        ("schedule", lambda one: one["train"]["schedule"]),
        ("weight decay", lambda one: one["train"]["weight_decay"]),
        ("warm-up, steps", lambda one: one["train"]["warmup_steps"]),
        ("steps", lambda one: f"{one['train']['steps']:,}"),
    )
    rows = [[name, *(str(value(one)) for one in recipes.values())] for name, value in settings]
    return table(["", *recipes], rows)


def draw(folder: Path) -> None:
    """Draw learning curves as in the report's figures 5 to 8; the agent's is its replay in ``folder``."""
    summary = Summary(CELLS, RESULTS)
    figure, axes = plt.subplots(2, 2, figsize=(8, 6), sharey=True, layout="constrained")
    _draw_agent(axes[0, 1], folder)
    for panel, data in zip((axes[0, 0], axes[1, 0], axes[1, 1]), (RANDOM, REPLAY, TRAINED), strict=True):
        _draw_curves(panel, summary, data)
    figure.supylabel("mean return")
    with atomic_file(PLOT) as partial:
        figure.savefig(partial, format="png", dpi=110)
    plt.close(figure)


def _draw_agent(panel: Axes, folder: Path) -> None:
    training = load_file(data_path(FULL_REPLAY, folder))
    panel.plot(training.offsets[1:], training.returns, color=COLORS["reference"], label="each episode")
    panel.axhline(REPORTED_SAC, color=COLORS["report"], linestyle="--", label="report, trained")
    panel.set(title="SAC while it learns", xlabel="environment steps")
    panel.legend(fontsize=8)


def _draw_curves(panel: Axes, summary: Summary, data: Recipe) -> None:
    told = {"ours": DECISION, "report": REPORTS[data.name]}
    names = {"ours": "ours", "report": "its parameters"}
    for key, method in told.items():
        _draw_band(panel, [one["curve"] for one in summary.of(data, method)], COLORS[key], names[key])
    panel.axhline(REPORTED[data.name], color=COLORS["report"], linestyle="--", label="report, at its end")
    sac = summary.behavior_returns(TRAINED, behaviors.SAMPLED).mean()
    panel.axhline(sac, color=COLORS["reference"], linestyle=":", label="SAC")
    panel.set(title=f"on {label(data)} data", xlabel="gradient steps")
    panel.legend(fontsize=8)


def _draw_band(panel: Axes, curves: Sequence[Sequence[dict[str, float]]], color: str, name: str) -> None:
    """Draw the mean over seeds in a band from the worst to the best seed."""
    if not curves:
        return
    steps = [point["step"] for point in curves[0]]
    returns = np.array([[point["mean_return"] for point in curve] for curve in curves])  # (seeds, points)
    panel.plot(steps, returns.mean(axis=0), color=color, label=name)
    panel.fill_between(steps, returns.min(axis=0), returns.max(axis=0), color=color, alpha=0.2, linewidth=0)


def pendulum(data: DataOption = DATA, jobs: JobsOption = JOBS) -> None:
    """Train and evaluate the report's models and ours; existing results are kept."""
    run(CELLS, PROTOCOL, RESULTS, data, jobs)
    draw(data)


if __name__ == "__main__":
    commands.run_single(pendulum)
