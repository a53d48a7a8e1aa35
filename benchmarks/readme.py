"""Generate the tables of the documentation from the committed results: ``make readme``.

Each table is between two markers, ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import (
    attention,
    catalogue,
    cost,
    energy_drift,
    halfcheetah,
    pendulum,
    robustness,
    scores,
    shoves,
)
from benchmarks.full_suite import OUTCOMES
from benchmarks.full_suite import RESULT as FULL_SUITE
from benchmarks.machine import read
from benchmarks.speeds import tables as speed_tables
from benchmarks.studies import score_tables
from benchmarks.studies.cell import ELIGIBLE
from benchmarks.studies.tables import interval, marked, minus, table
from cartpole_phys.data.score import REFERENCES, all_references
from cartpole_phys.utils.errors import InputError

ROOT = Path(__file__).parent.parent
ENVIRONMENT = ROOT / "docs" / "environment.md"
DATASETS = ROOT / "docs" / "datasets.md"
CATALOGUE = ROOT / "datasets" / "README.md"
MODELS = ROOT / "docs" / "models.md"
PENDULUM = ROOT / "docs" / "pendulum.md"
ATTENTION = ROOT / "docs" / "attention.md"
HALFCHEETAH = ROOT / "docs" / "halfcheetah.md"
SCORES = ROOT / "docs" / "scores.md"
DEMO = ROOT / "docs" / "demo.md"
TESTING = ROOT / "docs" / "testing.md"
DEMOS = ROOT / "benchmarks" / "results" / "demo"
OTHER_SEEDS = "seed-*.json"  # the demo with other random seeds


class Block(NamedTuple):
    """A generated part of a page."""

    page: Path
    marker: str
    content: Callable[[], str]


def demo_table(result: dict[str, Any]) -> str:
    """Results of the demo as a Markdown table, with machine and command."""
    rows = []
    for row in result["rows"]:
        target = "" if row["target"] is None else f"{row['target']:.0f}"
        score = interval((row["score"], row["score_low"], row["score_high"]))
        rows.append([row["name"], target, f"{row['mean_return']:.1f}", score])
    versions, old = result["versions"], _before_record(result)
    measured = [marked(heading, old) for heading in ("mean return", "score (95 % interval)")]
    lines = [
        table(["policy", "target return", *measured], rows),
        "",
        f"{result['episodes']} episodes each, on the same start states; one training seed, so the intervals "
        f"cover the variation between episodes only. "
        f"`{result['command']}` took {sum(result['seconds'].values()):.0f} s on {result['machine']} "
        f"({result['date']}, torch {versions['torch']}, NumPy {versions['numpy']}).",
        "",
        verdict(result["rows"]),
    ]
    return "\n".join(lines)


def other_seed(result: dict[str, Any]) -> str:
    """Results of the demo with another seed, in one sentence."""
    best, others = _best_and_others(result["rows"])
    scores = ", ".join(f"{row['name']} {row['score']:.1f}" for row in others[1:])
    command = f"`{result['command']}`"
    return (
        f"{marked(command, _before_record(result))}: {scores}; Decision Transformer {best['score']:.1f} "
        f"({best['score_low']:.1f} – {best['score_high']:.1f}) at its best target return, "
        f"{best['target']:.0f}. " + verdict(result["rows"])
    )


def _before_record(result: dict[str, Any]) -> bool:
    """Whether a result predates the record of eligible episodes, so that its figures will change."""
    return ELIGIBLE not in result["data"]


def _best_and_others(rows: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The best Decision Transformer, and the rows without a target return, the random policy first."""
    best = max((row for row in rows if row["target"] is not None), key=lambda row: row["score"])
    return best, [row for row in rows if row["target"] is None]


def verdict(rows: list[dict[str, Any]]) -> str:
    """Which other policies the best Decision Transformer outperforms: intervals that do not overlap."""
    best, others = _best_and_others(rows)
    beaten = [row["name"] for row in others if best["score_low"] > row["score_high"]]
    rest = [row["name"] for row in others if row["name"] not in beaten]
    text = (
        f"Conditioned on {best['target']:.0f}, its best target return in hindsight, the Decision Transformer "
        f"outperforms: {'; '.join(beaten) or 'none'}."
    )
    return text + (f" The intervals overlap for: {'; '.join(rest)}." if rest else "")


def demo_block() -> str:
    """The table of the demo, and a sentence for each other seed."""
    block = demo_table(read(DEMOS / "demo.json"))
    others = [read(path) for path in sorted(DEMOS.glob(OTHER_SEEDS))]
    if others:
        block += "\n\nThe random seed determines the agent, the data and the models. With other seeds:\n\n"
        block += "\n".join(f"- {other_seed(result)}" for result in others)
    return block


def energy_drift_block() -> str:
    """Energy errors by integrator (rows) and start state (columns)."""
    result = read(energy_drift.RESULT)
    starts = list(dict.fromkeys(row["start"] for row in result["rows"]))
    rows = []
    for name in dict.fromkeys(row["integrator"] for row in result["rows"]):
        errors = {
            row["start"]: " / ".join(
                energy_drift.percent(row[key]) for key in ("short_percent", "long_percent")
            )
            for row in result["rows"]
            if row["integrator"] == name
        }
        rows.append([f"`{name}`", *(errors[start] for start in starts)])
    lines = [
        table(["integrator", *starts], rows),
        "",
        f"Largest |ΔE| in % of 2 m g l during the first {result['short_steps']:,} / {result['long_steps']:,} "
        f"steps of {result['time_step_s']:g} s, released at rest, without force and friction "
        f"(`{result['command']}`, {result['date']}).",
    ]
    return "\n".join(lines)


def shoves_block() -> str:
    """Four checks of episodes with random pushes, as a list."""
    result = read(shoves.RESULT)
    lines = [f"- {answer}" for answer in shoves.answers(result)]
    setting = (
        f"{result['episodes']} episodes each of {len(result['seeds'])} seeds, push_rate "
        f"{result['push_rate_per_s']:g}, push_size {result['push_size_n']:g}, action "
        f"{result['gain_per_rad']:g} θ (`{result['command']}`, {result['date']}):"
    )
    return "\n".join([setting, "", *lines])


def full_suite() -> str:
    """Date, duration and outcome of the last run of all tests."""
    result = read(FULL_SUITE)
    counts = ", ".join(f"{result[outcome]:,} {outcome}" for outcome in OUTCOMES if result[outcome])
    return (
        "`make test-full` adds 100 builds that are killed at random moments, a build, two checks and a "
        "rebuild of every recipe with a trained agent, and 10,000 damaged or hostile files. Last run: "
        f"{result['date']}, {result['seconds'] / 60:.0f} minutes on {result['machine']}: {counts}."
    )


def references_table() -> str:
    """Reference returns of the normalized score, by environment."""
    rows = [
        [
            f"`{env_id}`",
            *(minus(f"{ends[end]['mean']:.3f}") for end in REFERENCES),
            ends["ref_max"]["policy"],
        ]
        for env_id, ends in all_references().items()
    ]
    return table(["environment", *REFERENCES, "best known policy"], rows)


BLOCKS = (
    Block(DEMO, "demo", demo_block),
    Block(TESTING, "full-suite", full_suite),
    Block(ENVIRONMENT, "speed", speed_tables.steps_table),
    Block(ENVIRONMENT, "energy-drift", energy_drift_block),
    Block(ENVIRONMENT, "shoves", shoves_block),
    Block(DATASETS, "references", references_table),
    Block(DATASETS, "build-times", speed_tables.data_summary),
    Block(DATASETS, "speed", speed_tables.data_table),
    Block(MODELS, "speed", speed_tables.models_table),
    Block(MODELS, "planning", speed_tables.planning_table),
    Block(SCORES, "scores", scores.task_tables),
    Block(SCORES, "differences", partial(scores.of_each_task, score_tables.differences)),
    Block(SCORES, "beaten", partial(scores.block, score_tables.beaten)),
    Block(SCORES, "winners", partial(scores.block, score_tables.winners)),
    Block(SCORES, "disturbances", robustness.disturbance_tables),
    Block(SCORES, "cost", cost.cost_table),
    Block(SCORES, "overall", partial(scores.block, score_tables.overall)),
    Block(SCORES, "regimes", partial(scores.block, score_tables.regimes)),
    Block(SCORES, "stitching", partial(scores.block, score_tables.stitching)),
    Block(SCORES, "planners", partial(scores.block, score_tables.planners)),
    Block(PENDULUM, "results", pendulum.results_table),
    Block(PENDULUM, "changes", pendulum.changes_table),
    Block(PENDULUM, "random", pendulum.value_table),
    Block(PENDULUM, "parameters", pendulum.parameters_table),
    Block(ATTENTION, "claims", attention.claims_table),
    Block(ATTENTION, "measures", attention.measures_table),
    Block(HALFCHEETAH, "horizon", halfcheetah.horizon_table),
    Block(HALFCHEETAH, "widths", halfcheetah.width_table),
    Block(CATALOGUE, "catalogue", catalogue.table),
)


def updated(text: str, marker: str, content: str) -> str:
    """The text of a page with the content between the two lines of a marker replaced.

    Raises:
        InputError: if one of the two lines is missing.
    """
    begin, end = f"<!-- {marker}:begin -->", f"<!-- {marker}:end -->"
    if begin not in text or end not in text:
        raise InputError(
            f"Expected the lines {begin} and {end}, got a page without them; add them where the table goes."
        )
    before, rest = text.split(begin, 1)
    return before + begin + "\n" + content + "\n" + end + rest.split(end, 1)[1]


def render() -> dict[Path, str]:
    """The pages with all tables generated from the committed results."""
    pages = {block.page: block.page.read_text("utf-8") for block in BLOCKS}
    for page, marker, content in BLOCKS:
        pages[page] = updated(pages[page], marker, content())
    return pages


if __name__ == "__main__":
    for path, text in render().items():
        path.write_text(text, "utf-8")
        print(f"Updated {path.relative_to(ROOT)}.")
