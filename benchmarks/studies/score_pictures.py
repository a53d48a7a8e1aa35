"""The answer as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import LineStyleType
from numpy.typing import ArrayLike

from benchmarks.studies.answer import BEHAVIORS, Answer, label
from benchmarks.studies.question import DECISION
from benchmarks.studies.statistics import (
    FEWEST,
    Estimate,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
)
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.utils.files import atomic_file

# Told apart by the color-blind (after Okabe and Ito), and by their marks and lines.
COLORS = ("#999999", "#000000", "#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#009e73", "#cc79a7", "#882255")
MARKS = "osD^vphX<"
LINES: tuple[LineStyleType, ...] = ("-", "--", "-.")  # in turns
TIER_LOOKS = {"#08306b": "o-", "#2171b5": "s--", "#4292c6": "D-.", "#6baed6": "^:"}  # shades of their method
BEHAVIOR_LINES: tuple[dict[str, Any], ...] = (  # which both show where they coincide
    {"colors": "#333333", "linestyles": ":"},
    {"colors": "#cccccc", "linewidths": 4, "zorder": 1},
)
SMALL = 9  # points, for text that has to be read at the width of a page
SCORES = (-5.0, 105.0)


def draw_scores(answer: Answer, path: Path) -> None:
    """Every method on every tier, and what a Decision Transformer does that is asked for less."""
    figure, panels = plt.subplots(
        len(answer.tiers), 2, figsize=(10, 4 * len(answer.tiers)), width_ratios=(3, 1.2), sharey=True,
        squeeze=False, layout="constrained",
    )  # fmt: skip
    for (task, tiers), (scored, asked) in zip(answer.tiers.items(), panels, strict=True):
        _draw_tiers(scored, answer, task, tiers)
        _draw_wishes(asked, answer, tiers)
    for panel, columns, title in zip(panels[0], (3, 1), (None, f"{DECISION} on"), strict=True):
        panel.legend(
            fontsize=SMALL, frameon=False, ncols=columns, loc="lower left", bbox_to_anchor=(0.0, 1.0),
            title=title, title_fontsize=SMALL, alignment="left",
        )  # fmt: skip
    save(figure, path)


def _draw_tiers(panel: Axes, answer: Answer, task: str, tiers: Sequence[Recipe]) -> None:
    """Points with intervals, the behaviors as lines across each tier."""
    for place, tier in enumerate(tiers):
        for name, look in zip(BEHAVIORS, BEHAVIOR_LINES, strict=True):
            score = interquartile_mean(answer.behavior(tier, name)).value
            panel.hlines(score, place - 0.4, place + 0.4, label="" if place else name, **look)
        if place:
            panel.axvline(place - 0.5, color="#dddddd", linewidth=0.8)
    methods = answer.question.methods
    offsets = np.linspace(-0.36, 0.36, len(methods))
    for method, color, mark, offset in zip(methods, COLORS, MARKS, offsets, strict=True):
        there = [place for place, tier in enumerate(tiers) if len(answer.method(tier, method))]
        told = [interquartile_mean(answer.method(tiers[place], method)) for place in there]
        draw_intervals(panel, np.array(there) + offset, told, mark, color, method.name)
    panel.set_xticks(range(len(tiers)), [label(tier).replace(" ", "\n", 1) for tier in tiers])
    panel.set(ylabel=f"{task}: normalized score", ylim=SCORES)


def _draw_wishes(panel: Axes, answer: Answer, tiers: Sequence[Recipe]) -> None:
    """The score that comes for each that is asked for."""
    method = answer.question.named(DECISION)
    panel.plot([0, 100], [0, 100], color="#333333", linestyle=":", label="score = target")
    for tier, (color, look) in zip(tiers, cycle(TIER_LOOKS.items()), strict=False):
        results = answer.summary.of(tier, method)
        played = results[0]["played"] if results else []
        numbers = {float(one["wish"].removeprefix("score ")): number for number, one in enumerate(played)
                   if one["wish"].startswith("score ")}  # fmt: skip
        wishes = sorted(numbers)
        told = [interquartile_mean(answer.method(tier, method, numbers[wish])) for wish in wishes]
        draw_intervals(panel, np.array(wishes), told, look, color, label(tier))
        panel.set_xticks(wishes or panel.get_xticks())
    panel.set(xlim=(15, 105), xlabel=f"target score, {DECISION}")


def draw_intervals(
    panel: Axes, places: ArrayLike, told: Sequence[Estimate], style: str, color: str, name: str
) -> None:
    """Estimates at their places, with a mark and perhaps a line."""
    values = [one.value for one in told]
    reach = [[one.value - one.low for one in told], [one.high - one.value for one in told]]
    panel.errorbar(
        places, values, yerr=reach, fmt=style, color=color, label=name, capsize=2, elinewidth=1.0,
        markersize=6, markeredgecolor="white", markeredgewidth=0.5,
    )  # fmt: skip


def draw_profiles(answer: Answer, path: Path) -> None:
    """How many runs score more than what, on each task, and who is better than whom."""
    tasks: list[Any] = list(answer.tiers)
    figure, panels = plt.subplot_mosaic(
        [[one] for one in (*tasks, "all")],
        figsize=(9, 4 * len(tasks) + 5.5),
        height_ratios=[1.0] * len(tasks) + [1.3],
        layout="constrained",
    )
    for task, tiers in answer.tiers.items():
        _draw_profile(panels[task], answer, task, tiers)
    named = {
        name: line
        for panel in panels.values()
        for line, name in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(named.values(), named, fontsize=SMALL, frameon=False, ncols=4, loc="outside lower left")
    _draw_improvement(panels["all"], answer)
    save(figure, path)


def _draw_profile(panel: Axes, answer: Answer, task: str, tiers: Sequence[Recipe]) -> None:
    thresholds = np.linspace(SCORES[0], 100.0, 106)
    for method, color, line in zip(answer.question.methods, COLORS, cycle(LINES), strict=False):
        scores = answer.together(tiers, method)
        if len(scores) >= FEWEST:
            shares, low, high = performance_profile(scores, thresholds)
            panel.step(thresholds, shares, where="post", color=color, linestyle=line, label=method.name)
            panel.fill_between(thresholds, low, high, step="post", color=color, alpha=0.08, linewidth=0.0)
    panel.set(title=task, xlabel="score τ", ylabel="share of runs above τ", ylim=(-0.02, 1.02))


def _draw_improvement(panel: Axes, answer: Answer) -> None:
    """The probability that a run of the row's method is better than one of the column's."""
    told = [(method.name, answer.together(answer.all_tiers, method)) for method in answer.question.methods]
    names = [name for name, runs in told if len(runs) >= FEWEST]
    scores = [runs for _, runs in told if len(runs) >= FEWEST]
    shares = np.array([[probability_of_improvement(own, other).value for other in scores] for own in scores])
    if names:
        panel.imshow(shares, cmap="RdBu", vmin=0.0, vmax=1.0)
    for (row, column), share in np.ndenumerate(shares):
        if row != column:
            ink = "white" if abs(share - 0.5) > 0.3 else "black"  # the ends of the map are dark
            panel.text(column, row, f"{share:.2f}", ha="center", va="center", fontsize=SMALL, color=ink)
    slanted: Any = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    panel.set_xticks(range(len(names)), names, fontsize=SMALL, **slanted)
    panel.set_yticks(range(len(names)), names, fontsize=SMALL)
    panel.set_title("row better than column, probability, all tiers", fontsize=10)


def save(figure: Figure, path: Path) -> None:
    """Keep a picture, whole or not at all."""
    with atomic_file(path) as partial:
        figure.savefig(partial, format="png", dpi=110)
    plt.close(figure)
