"""Writes the committed figures into README.md and the documentation: ``make readme``.

Each figure stands between two markers, ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import (
    attention,
    building,
    catalogue,
    energy_drift,
    environment,
    exporting,
    halfcheetah,
    models,
    pendulum,
    planning,
    rollout,
    sampling,
    scores,
    shoves,
    startup,
    storage,
    transitions,
)
from benchmarks.full_suite import OUTCOMES
from benchmarks.full_suite import RESULT as FULL_SUITE
from cartpole_phys.errors import InputError

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
ENVIRONMENT = ROOT / "docs" / "environment.md"
DATASETS = ROOT / "docs" / "datasets.md"
CATALOGUE = ROOT / "datasets" / "README.md"
MODELS = ROOT / "docs" / "models.md"
PENDULUM = ROOT / "docs" / "pendulum.md"
ATTENTION = ROOT / "docs" / "attention.md"
HALFCHEETAH = ROOT / "docs" / "halfcheetah.md"
DEMOS = ROOT / "benchmarks" / "results" / "demo"
OTHER_SEEDS = "seed-*.json"  # the same demo with another --seed, which decides the agent too


class Block(NamedTuple):
    """A piece of a page that a command writes."""

    page: Path
    marker: str
    content: Callable[[], str]


def _read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def demo_table(result: dict[str, Any]) -> str:
    """The demo's rows as a Markdown table, with the machine and the command that made them."""
    lines = ["| policy | target return | mean return | score | 95 % interval |", "|---|---:|---:|---:|---:|"]
    for row in result["rows"]:
        target = "" if row["target"] is None else f"{row['target']:.0f}"
        interval = f"{row['score_low']:.1f} – {row['score_high']:.1f}"
        lines.append(
            f"| {row['name']} | {target} | {row['mean_return']:.1f} | {row['score']:.1f} | {interval} |"
        )
    versions = result["versions"]
    lines += [
        "",
        f"{result['episodes']} episodes each, on the same start states; one training seed. "
        f"`{result['command']}` took {sum(result['seconds'].values()):.0f} s on {result['machine']} "
        f"({result['date']}, torch {versions['torch']}, NumPy {versions['numpy']}).",
        "",
        verdict(result["rows"]),
    ]
    return "\n".join(lines)


def other_seed(result: dict[str, Any]) -> str:
    """One sentence on a demo with another seed."""
    best, others = _best_and_others(result["rows"])
    scores = ", ".join(f"{row['name']} {row['score']:.1f}" for row in others[1:])
    return (
        f"`{result['command']}`: {scores}; Decision Transformer {best['score']:.1f} "
        f"({best['score_low']:.1f} – {best['score_high']:.1f}) at its best target, {best['target']:.0f}. "
        + verdict(result["rows"])
    )


def _best_and_others(rows: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The best Decision Transformer, and the rows that take no target, the random policy first."""
    best = max((row for row in rows if row["target"] is not None), key=lambda row: row["score"])
    return best, [row for row in rows if row["target"] is None]


def verdict(rows: list[dict[str, Any]]) -> str:
    """Which of the other policies the best Decision Transformer beats, interval against interval."""
    best, others = _best_and_others(rows)
    beaten = [row["name"] for row in others if best["score_low"] > row["score_high"]]
    rest = [row["name"] for row in others if row["name"] not in beaten]
    asked = f"Asked for {best['target']:.0f}, the best of its targets as seen afterwards"
    text = f"{asked}, the Decision Transformer beats: {'; '.join(beaten) or 'none'}."
    return text + (f" It does not clearly beat: {'; '.join(rest)}." if rest else "")


def demo_block() -> str:
    """The demo's table, and a sentence for each other seed."""
    block = demo_table(_read(DEMOS / "demo.json"))
    others = [_read(path) for path in sorted(DEMOS.glob(OTHER_SEEDS))]
    if others:
        block += "\n\nThe seed decides the agent, the data and the models alike; with others:\n\n"
        block += "\n".join(f"- {other_seed(result)}" for result in others)
    return block


def energy_drift_block() -> str:
    """Energy errors as a table: a row for each integrator, a column for each start."""
    result = _read(energy_drift.RESULT)
    starts = list(dict.fromkeys(row["start"] for row in result["rows"]))
    lines = [f"| integrator | {' | '.join(starts)} |", "|---|" + "---:|" * len(starts)]
    for name in dict.fromkeys(row["integrator"] for row in result["rows"]):
        errors = {
            row["start"]: " / ".join(
                energy_drift.percent(row[key]) for key in ("short_percent", "long_percent")
            )
            for row in result["rows"]
            if row["integrator"] == name
        }
        lines.append(f"| `{name}` | {' | '.join(errors[start] for start in starts)} |")
    lines += [
        "",
        f"Largest |ΔE| in % of 2 m g l during the first {result['short_steps']:,} / {result['long_steps']:,} "
        f"steps of {result['time_step_s']:g} s, let go at rest, without force and friction "
        f"(`{result['command']}`, {result['date']}).",
    ]
    return "\n".join(lines)


def shoves_block() -> str:
    """The four answers about random pushes, as a list."""
    result = _read(shoves.RESULT)
    lines = [f"- {answer}" for answer in shoves.answers(result)]
    setting = (
        f"{result['episodes']} episodes each of {len(result['seeds'])} seeds, push_rate "
        f"{result['push_rate_per_s']:g}, push_size {result['push_size_n']:g}, action "
        f"{result['gain_per_rad']:g} θ (`{result['command']}`, {result['date']}):"
    )
    return "\n".join([setting, "", *lines])


def speed_block() -> str:
    """Steps a second beside others', and what a start and an environment cost."""
    stepped, rolled, started = (_read(module.RESULT) for module in (environment, rollout, startup))
    lines = ["| work | beside | ours, million steps/s | ratio | spread |", "|---|---|---:|---:|---:|"]
    for row in [*stepped["rows"], *rolled["rows"]]:
        lines.append(
            f"| {row['work']} | {row['peer']} | {row['ours_per_second'] / 1e6:.3g} | {row['ratio']:.3g} | "
            f"{row['lowest_ratio']:.3g} – {row['highest_ratio']:.3g} |"
        )
    made = {f"{result['machine']}, {result['date']}" for result in (stepped, rolled, started)}
    first = "; ".join(
        f"{row['environment']} {row['cold_seconds']:.1f} s cold, {row['warm_seconds']:.1f} s warm"
        for row in started["rows"]
    )
    lines += [
        "",
        "Random actions, checks, resets and fresh arrays included; medians of rounds in turns (`make bench`: "
        f"{', '.join(sorted(made))}). From import to the end of the first step: "
        f"{first}. {started['bytes_an_environment']:.0f} bytes an environment.",
    ]
    return "\n".join(lines)


def speed_summary() -> str:
    """The ratios to others in a short table."""
    rows = [*_read(environment.RESULT)["rows"], *_read(rollout.RESULT)["rows"]]
    lines = ["| steps a second | beside | ratio |", "|---|---|---:|"]
    for row in rows:
        if not row["peer"].startswith("ours"):
            lines.append(
                f"| {row['work'].removesuffix(', beside EnvPool')} | {row['peer']} | {row['ratio']:.3g} |"
            )
    return "\n".join(lines)


def data_speed_block() -> str:
    """Transitions a second beside others', and what whole builds take."""
    results = [_read(module.RESULT) for module in (building, storage, sampling, transitions, exporting)]
    lines = ["| work | beside | ratio | spread |", "|---|---|---:|---:|"]
    lines += [
        f"| {row['work']} | {row['peer']} | {_times(row['ratio'])} | "
        f"{_times(row['lowest_ratio'])} – {_times(row['highest_ratio'])} |"
        for result in results
        for row in result["rows"]
    ]
    made = {f"{result['machine']}, {result['date']}" for result in results}
    size = max(row.get("size_ratio", 0.0) for row in results[1]["rows"])
    lines += [
        "",
        "Transitions a second, medians of rounds in turns. A build is the whole process, from its start to a "
        "checked file; of Minari's, start and imports do not count. Our files are at most "
        f"{size:.2f} times as large as h5py's.",
        "",
        "| whole build | | s | peak memory, MB | file, MB |",
        "|---|---|---:|---:|---:|",
    ]
    lines += [
        f"| `{row['command']}` | {row['state']} | {row['seconds']:.3g} | {row['peak_megabytes']:.0f} | "
        f"{row['file_megabytes']:.0f} |"
        for row in results[0]["builds"]
    ]
    return "\n".join([*lines, "", f"`make bench`: {', '.join(sorted(made))}."])


def model_speed_block() -> str:
    """Training and acting beside others'."""
    return _speeds(
        _read(models.RESULT),
        "Transitions, batches or actions a second, medians of rounds in turns. Both have 3 layers, 1 head "
        "and width 128, with 20 steps of context",
    )


def planning_speed_block() -> str:
    """Planning and training of planners beside their authors' way."""
    return _speeds(
        _read(planning.RESULT),
        "Plans or optimisation steps a second, medians of rounds in turns. Both have the authors' shapes: 4 "
        "layers, 4 heads and width 128 for plans, 3 layers for masked actions",
    )


def _speeds(result: dict[str, Any], note: str) -> str:
    """A table of comparisons, and what was compared."""
    lines = ["| work | beside | ours, 1/s | ratio | spread |", "|---|---|---:|---:|---:|"]
    lines += [
        f"| {row['work']} | {row['peer']} | {_rate(row['ours_per_second'])} | {_times(row['ratio'])} | "
        f"{_times(row['lowest_ratio'])} – {_times(row['highest_ratio'])} |"
        for row in result["rows"]
    ]
    return "\n".join([*lines, "", f"{note} (`make bench`: {result['machine']}, {result['date']})."])


def _rate(per_second: float) -> str:
    """A rate with three digits, or all before the point."""
    return f"{per_second:.3g}" if per_second < 100 else f"{per_second:,.0f}"


def _times(ratio: float) -> str:
    """A ratio with three digits."""
    return f"{ratio:.3g}" if ratio < 1_000 else f"{ratio:,.0f}"


def data_speed_summary() -> str:
    """What a build takes, in a sentence or two."""
    built = _read(building.RESULT)
    small, large = (_times(row["ratio"]) for row in built["rows"])
    nothing, cached, _, heuristic, streamed = built["builds"]
    return (
        f"A million transitions of the heuristic take {heuristic['seconds']:.1f} s from the start of the "
        f"process to a checked file, a transition {small} times as fast as Minari's DataCollector; ten "
        f"million, {large} times. With sac it is {nothing['seconds']:.0f} s from nothing, training included, "
        f"and {cached['seconds']:.1f} s afterwards. A hundred million take {streamed['seconds']:.0f} s and "
        f"{streamed['peak_megabytes']:.0f} MB of memory (`make bench`: {built['machine']}, {built['date']}; "
        "[more](docs/datasets.md#speed))."
    )


def full_suite() -> str:
    """When everything was last tested, and how it ended."""
    result = _read(FULL_SUITE)
    counts = ", ".join(f"{result[outcome]:,} {outcome}" for outcome in OUTCOMES if result[outcome])
    return (
        f"`make test-full` adds 100 builds that are killed at random moments, every recipe of a trained "
        "agent built, checked in both ways and rebuilt, and 10,000 damaged or hostile files. It was last run "
        f"on {result['date']}, in {result['seconds'] / 60:.0f} minutes on {result['machine']}: {counts}."
    )


BLOCKS = (
    Block(README, "full-suite", full_suite),
    Block(README, "speed", speed_summary),
    Block(README, "data-speed", data_speed_summary),
    Block(README, "demo", demo_block),
    Block(README, "scores", scores.scores_table),
    Block(ENVIRONMENT, "speed", speed_block),
    Block(ENVIRONMENT, "energy-drift", energy_drift_block),
    Block(ENVIRONMENT, "shoves", shoves_block),
    Block(DATASETS, "speed", data_speed_block),
    Block(MODELS, "speed", model_speed_block),
    Block(MODELS, "planning", planning_speed_block),
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
    """A page's text with what stands between a marker's two lines replaced.

    Raises:
        InputError: if one of the two lines is missing.
    """
    begin, end = f"<!-- {marker}:begin -->", f"<!-- {marker}:end -->"
    if begin not in text or end not in text:
        raise InputError(f"Expected the lines {begin} and {end}; put them where the figures go.")
    before, rest = text.split(begin, 1)
    return before + begin + "\n" + content + "\n" + end + rest.split(end, 1)[1]


def render() -> dict[Path, str]:
    """The pages as they should be, from the committed results."""
    pages = {block.page: block.page.read_text("utf-8") for block in BLOCKS}
    for page, marker, content in BLOCKS:
        pages[page] = updated(pages[page], marker, content())
    return pages


if __name__ == "__main__":
    for path, text in render().items():
        path.write_text(text, "utf-8")
        print(f"Wrote the committed figures into {path.relative_to(ROOT)}.")
