"""The committed speeds as tables and sentences."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
    """Steps per second beside others', and what a start and an environment cost."""
    started = read(startup.RESULT)
    lines = ["| work | beside | ours, million/s | ratio | spread |", "|---|---|---:|---:|---:|"]
    for (work, peer), rows in _rows_of_runs():
        speeds = span([row["ours_per_second"] / 1e6 for row in rows])
        ratios = span([row["ratio"] for row in rows])
        spread = span([row[end] for row in rows for end in ("lowest_ratio", "highest_ratio")])
        lines.append(f"| {work} | {peer} | {speeds} | {ratios} | {spread} |")
    first = "; ".join(
        f"{row['environment']} {row['cold_seconds']:.1f} s cold, {row['warm_seconds']:.1f} s warm"
        for row in started["rows"]
    )
    lines += [
        "",
        f"Random actions, checks, resets and fresh arrays included. {_runs_note()} The spread is that of "
        f"single rounds. From import to the end of the first step: {first} ({started['machine']}, "
        f"{started['date']}). {started['bytes_an_environment']:.0f} bytes per environment.",
    ]
    return "\n".join(lines)


def steps_summary() -> str:
    """The ratios to others in a short table."""
    lines = ["| steps per second | beside | ratio |", "|---|---|---:|"]
    for (work, peer), rows in _rows_of_runs():
        if not peer.startswith("ours"):
            ratios = span([row["ratio"] for row in rows])
            lines.append(f"| {work.removesuffix(', beside EnvPool')} | {peer} | {ratios} |")
    return "\n".join([*lines, "", _runs_note()])


def _rows_of_runs() -> list[tuple[tuple[str, str], list[dict[str, Any]]]]:
    """The rows of all runs, together by work and peer, in the order of the last run."""
    return [pair for module in (environment, rollout) for pair in rows_by_work(read(module.RESULT)["runs"])]


def rows_by_work(runs: list[dict[str, Any]]) -> list[tuple[tuple[str, str], list[dict[str, Any]]]]:
    """The rows of several runs, together by work and peer, in the order of the last run."""
    together: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in reversed(runs):
        for row in run["rows"]:
            together.setdefault((row["work"], row["peer"]), []).append(row)
    return list(together.items())


def _runs_note() -> str:
    """How many runs there are, of which days and machines."""
    runs = read(environment.RESULT)["runs"]
    days = list(dict.fromkeys(f"{run['machine']}, {run['date']}" for run in runs))
    ranges = f"the lowest and highest of {len(runs)} runs" if len(runs) > 1 else "one run"
    return f"Medians of rounds in turns, {ranges} of `make bench` ({'; '.join(days)})."


def span(values: Sequence[float]) -> str:
    """The lowest and the highest value with three digits, or one number where they are the same."""
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} – {high}"


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
