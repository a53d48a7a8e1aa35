"""Do models do better than who made their data? ``python -m benchmarks.scores``.

Every finished cell is a file of its own, so that a run that was stopped goes on where it was. README's table
and picture come from those files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import typer
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.typing import LineStyleType

from benchmarks.studies.behaviours import MEAN_ACTION, SAMPLED
from benchmarks.studies.cell import WANTED_SCORE, Method
from benchmarks.studies.question import CELLS, CLONING, DECISION, METHODS, PROTOCOL, RESULTS, TIERS
from benchmarks.studies.running import DATA, JOBS, DataOption, JobsOption, run
from benchmarks.studies.statistics import Estimate, difference, interquartile_mean
from benchmarks.studies.summary import Summary
from benchmarks.studies.tables import interval, listed, table
from cartpole_phys import commands
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.data.score import normalized_score
from cartpole_phys.files import unfinished
from cartpole_phys.memory import FloatArray

matplotlib.use("Agg")

PLOT = RESULTS / "scores.png"
METHOD_COLOURS = ("#999999", "#e69f00", "#cc79a7", "#0072b2")  # told apart by the colour-blind
TIER_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
BEHAVIOURS: Mapping[str, LineStyleType] = {SAMPLED: ":", MEAN_ACTION: "--"}


class Answer:
    """The scores of all that played, run by run."""

    def __init__(self) -> None:
        self.summary = Summary(CELLS, RESULTS)

    def behaviour(self, tier: Recipe, name: str) -> FloatArray:
        """The score of each of a behaviour's runs, (runs, 1)."""
        return normalized_score(tier.env_id, self.summary.behaviour_returns(tier, name))[:, None]

    def method(self, tier: Recipe, method: Method, wish: int = 0) -> FloatArray:
        """The score of each training seed, (runs, 1), asked for the wish of this number."""
        return normalized_score(tier.env_id, self.summary.run_returns(tier, method, wish))[:, None]

    def beaten(self, tier: Recipe, method: Method) -> dict[str, Estimate]:
        """By how much a method is better than both behaviours and cloning."""
        others = {name: self.behaviour(tier, name) for name in BEHAVIOURS}
        if method != CLONING:
            others[CLONING.name] = self.method(tier, CLONING)
        return {name: difference(self.method(tier, method), scores) for name, scores in others.items()}

    def beats_all(self, tier: Recipe, method: Method) -> bool:
        """Whether the interval of each difference is above zero."""
        return all(estimate.low > 0 for estimate in self.beaten(tier, method).values())


def label(tier: Recipe) -> str:
    """A tier in words."""
    return f"{tier.policy} {tier.tier}"


def scores_table() -> str:
    """Every method beside the behaviours, tier by tier; bold is better than both behaviours and cloning."""
    answer = Answer()
    headings = ["data", "its episodes", *BEHAVIOURS, *(method.name for method in METHODS)]
    rows = [_row(answer, tier) for tier in TIERS]
    machines, dates = answer.summary.made()
    return "\n".join([table(headings, rows), "", _note(answer.summary, machines, dates), "", verdict(answer)])


def _row(answer: Answer, tier: Recipe) -> list[str]:
    made = normalized_score(tier.env_id, answer.summary.made_by(tier)["mean_return"])
    row = [label(tier), f"{made:.1f}"]
    row += [interval(interquartile_mean(answer.behaviour(tier, name))) for name in BEHAVIOURS]
    for method in METHODS:
        told = interval(interquartile_mean(answer.method(tier, method)))
        row.append(f"**{told}**" if answer.beats_all(tier, method) else told)
    return row


def _note(summary: Summary, machines: str, dates: str) -> str:
    missing = f" {len(summary.missing)} cells are missing." if summary.missing else ""
    return (
        f"Interquartile mean of {PROTOCOL.seeds} training seeds with its 95 % interval; each seed is the "
        f"mean of {PROTOCOL.episodes} episodes, played by the last checkpoint. The Decision Transformer is "
        f"asked for a score of {WANTED_SCORE:.0f}. "
        f"Bold: the interval of the difference to both behaviours and to {CLONING.name} is above zero. "
        f"`python -m benchmarks.scores`: {machines}, {dates}.{missing}"
    )


def verdict(answer: Answer) -> str:
    """What each method is better than, as sentences."""
    lines = []
    for method in METHODS:
        beaten: dict[str, list[str]] = {}
        for tier in TIERS:
            for name, estimate in answer.beaten(tier, method).items():
                beaten.setdefault(name, [])
                if estimate.low > 0:
                    beaten[name].append(label(tier))
        told = [
            f"{name} on {listed(tiers)}" if tiers else f"{name} on none" for name, tiers in beaten.items()
        ]
        lines.append(f"- {method.name} is better than {'; '.join(told)}.")
    return "\n".join(lines)


def draw() -> None:
    """The table as a picture, and what the Decision Transformer does when it is asked for less."""
    answer = Answer()
    figure, (scored, asked) = plt.subplots(
        1, 2, figsize=(11, 4), width_ratios=(2, 1), sharey=True, layout="constrained"
    )
    _draw_scores(scored, answer)
    _draw_wishes(asked, answer)
    with unfinished(PLOT) as partial:
        figure.savefig(partial, format="png", dpi=110)
    plt.close(figure)


def _draw_scores(panel: Axes, answer: Answer) -> None:
    """Points with intervals, the behaviours as lines across each tier."""
    for place, tier in enumerate(TIERS):
        for name, style in BEHAVIOURS.items():
            score = interquartile_mean(answer.behaviour(tier, name)).value
            panel.hlines(score, place - 0.4, place + 0.4, colors="#333333", linestyles=style,
                         label=name if place == 0 else "")  # fmt: skip
    offsets = np.linspace(-0.3, 0.3, len(METHODS))
    for method, colour, offset in zip(METHODS, METHOD_COLOURS, offsets, strict=True):
        told = [interquartile_mean(answer.method(tier, method)) for tier in TIERS]
        _draw_intervals(panel, np.arange(len(TIERS)) + offset, told, "o", colour, method.name)
    panel.set_xticks(range(len(TIERS)), [label(tier).replace(" ", "\n", 1) for tier in TIERS])
    panel.set(ylabel="normalized score", ylim=(-5, 105))
    panel.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(0.62, 0.2))


def _draw_wishes(panel: Axes, answer: Answer) -> None:
    """The score that comes for each that is asked for."""
    panel.plot([0, 100], [0, 100], color="#333333", linestyle=":", label="what was asked for")
    for tier, colour in zip(TIERS, TIER_COLOURS, strict=True):
        first = answer.summary.of(tier, DECISION)[0]["played"]
        numbers = {float(one["wish"].removeprefix("score ")): number for number, one in enumerate(first)
                   if one["wish"].startswith("score ")}  # fmt: skip
        wishes = sorted(numbers)
        told = [interquartile_mean(answer.method(tier, DECISION, numbers[wish])) for wish in wishes]
        _draw_intervals(panel, np.array(wishes), told, "o-", colour, label(tier))
    panel.set(xlabel=f"score that a {DECISION.name} is asked for")
    panel.legend(fontsize=7, frameon=False)


def _draw_intervals(
    panel: Axes, places: FloatArray, told: Sequence[Estimate], style: str, colour: str, name: str
) -> None:
    reach = [[one.value - one.low for one in told], [one.high - one.value for one in told]]
    values = [one.value for one in told]
    panel.errorbar(places, values, yerr=reach, fmt=style, color=colour, capsize=3, label=name)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def scores(data: DataOption = DATA, jobs: JobsOption = JOBS) -> None:
    """Train every method on every tier with every seed, and play them; what is done already stays."""
    run(CELLS, PROTOCOL, RESULTS, data, jobs)
    draw()


if __name__ == "__main__":
    commands.run(app)
