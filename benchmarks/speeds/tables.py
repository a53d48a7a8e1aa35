"""The committed speeds as tables and sentences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.speeds import (
    building,
    environment,
    exporting,
    models,
    planning,
    rollout,
    sampling,
    startup,
    storage,
    transitions,
)


def steps_table() -> str:
    """Steps a second beside others', and what a start and an environment cost."""
    stepped, rolled, started = (read(module.RESULT) for module in (environment, rollout, startup))
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


def steps_summary() -> str:
    """The ratios to others in a short table."""
    rows = [*read(environment.RESULT)["rows"], *read(rollout.RESULT)["rows"]]
    lines = ["| steps a second | beside | ratio |", "|---|---|---:|"]
    for row in rows:
        if not row["peer"].startswith("ours"):
            lines.append(
                f"| {row['work'].removesuffix(', beside EnvPool')} | {row['peer']} | {row['ratio']:.3g} |"
            )
    return "\n".join(lines)


def data_table() -> str:
    """Transitions a second beside others', and what whole builds take."""
    results = [read(module.RESULT) for module in (building, storage, sampling, transitions, exporting)]
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


def models_table() -> str:
    """Training and acting beside others'."""
    return _speeds(
        read(models.RESULT),
        "Transitions, batches or actions a second, medians of rounds in turns. Both have 3 layers, 1 head "
        "and width 128, with 20 steps of context",
    )


def planning_table() -> str:
    """Planning and training of planners beside their authors' way."""
    return _speeds(
        read(planning.RESULT),
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


def data_summary() -> str:
    """What a build takes, in a sentence or two."""
    built = read(building.RESULT)
    small, large = (_times(row["ratio"]) for row in built["rows"])
    nothing, cached, _, heuristic, streamed = built["builds"]
    return (
        f"A million transitions of the heuristic take {heuristic['seconds']:.1f} s from the start of the "
        f"process to a checked file, a transition {small} times as fast as Minari's DataCollector takes one "
        f"of 20,000; a transition of ten million is {large} times as fast. With sac it is "
        f"{nothing['seconds']:.0f} s from nothing, training included, and {cached['seconds']:.1f} s "
        f"afterwards. A hundred million take {streamed['seconds']:.0f} s and "
        f"{streamed['peak_megabytes']:.0f} MB of memory (`make bench`: {built['machine']}, {built['date']}; "
        "[more](docs/datasets.md#speed))."
    )


def read(path: Path) -> Any:
    """A committed result."""
    return json.loads(path.read_text("utf-8"))
