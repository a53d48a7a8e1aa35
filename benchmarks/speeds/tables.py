"""Committed speed benchmarks as Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.machine import read
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
    """Environment steps per second against the baselines; start-up time and memory per environment."""
    started = read(startup.RESULT)
    lines = ["| operation | baseline | million per second | speedup | range |", "|---|---|---:|---:|---:|"]
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
        "Random actions; includes action checks, resets and the allocation of the returned arrays. "
        f"{_runs_note()} The range is that of single rounds. From import to the end of the first step: "
        f"{first} ({started['machine']}, {started['date']}). "
        f"{started['bytes_an_environment']:.0f} bytes per environment.",
    ]
    return "\n".join(lines)


def _rows_of_runs() -> list[tuple[tuple[str, str], list[dict[str, Any]]]]:
    """The rows of all runs, grouped by operation and baseline, in the order of the last run."""
    return [pair for module in (environment, rollout) for pair in rows_by_work(read(module.RESULT)["runs"])]


def rows_by_work(runs: list[dict[str, Any]]) -> list[tuple[tuple[str, str], list[dict[str, Any]]]]:
    """The rows of several runs, grouped by operation and baseline, in the order of the last run."""
    together: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in reversed(runs):
        for row in run["rows"]:
            together.setdefault((row["work"], row["peer"]), []).append(row)
    return list(together.items())


def _runs_note() -> str:
    """Number, dates and machines of the runs."""
    runs = read(environment.RESULT)["runs"]
    days = list(dict.fromkeys(f"{run['machine']}, {run['date']}" for run in runs))
    ranges = f"lowest and highest of {len(runs)} runs" if len(runs) > 1 else "one run"
    return f"Medians of interleaved rounds, {ranges} of `make bench` ({'; '.join(days)})."


def span(values: Sequence[float]) -> str:
    """The lowest and the highest value with three digits, or one number if they are equal."""
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} – {high}"


def data_table() -> str:
    """Transitions per second against the baselines; time and memory of whole builds."""
    results = [read(module.RESULT) for module in (building, storage, sampling, transitions, exporting)]
    lines = ["| operation | baseline | speedup | range |", "|---|---|---:|---:|"]
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
        "Transitions per second, medians of interleaved rounds. A build is measured from the start of the "
        "process to the validated file; for Minari, start and imports are not counted. Files are at most "
        f"{size:.2f} times as large as those of h5py.",
        "",
        "| build | state | s | peak memory, MB | file, MB |",
        "|---|---|---:|---:|---:|",
    ]
    lines += [
        f"| `{row['command']}` | {row['state']} | {row['seconds']:.3g} | {row['peak_megabytes']:.0f} | "
        f"{row['file_megabytes']:.0f} |"
        for row in results[0]["builds"]
    ]
    return "\n".join([*lines, "", f"`make bench`: {', '.join(sorted(made))}."])


def models_table() -> str:
    """Training and inference against the baselines."""
    return _speeds(
        read(models.RESULT),
        "Transitions, batches or actions per second, medians of interleaved rounds. Both models have 3 "
        "layers, 1 head and width 128, with 20 steps of context",
    )


def planning_table() -> str:
    """Planning, and training of planners, against the authors' implementations."""
    return _speeds(
        read(planning.RESULT),
        "Plans or gradient steps per second, medians of interleaved rounds. Both models have the authors' "
        "sizes: 4 layers, 4 heads and width 128 for plans, 3 layers for masked actions",
    )


def _speeds(result: dict[str, Any], note: str) -> str:
    """A table of comparisons with a note."""
    lines = ["| operation | baseline | per second | speedup | range |", "|---|---|---:|---:|---:|"]
    lines += [
        f"| {row['work']} | {row['peer']} | {_rate(row['ours_per_second'])} | {_times(row['ratio'])} | "
        f"{_times(row['lowest_ratio'])} – {_times(row['highest_ratio'])} |"
        for row in result["rows"]
    ]
    return "\n".join([*lines, "", f"{note} (`make bench`: {result['machine']}, {result['date']})."])


def _rate(per_second: float) -> str:
    """A rate with three digits, or all digits before the point."""
    return f"{per_second:.3g}" if per_second < 100 else f"{per_second:,.0f}"


def _times(ratio: float) -> str:
    """A ratio with three digits."""
    return f"{ratio:.3g}" if ratio < 1_000 else f"{ratio:,.0f}"


def data_summary() -> str:
    """Build times in three sentences."""
    built = read(building.RESULT)
    small, large = (_times(row["ratio"]) for row in built["rows"])
    nothing, cached, _, heuristic, streamed = built["builds"]
    return (
        f"A data set of one million transitions of the heuristic takes {heuristic['seconds']:.1f} s, from "
        f"the start of the process to the validated file. Per transition, that is {small} times as fast as "
        f"Minari's DataCollector with 20,000 transitions, and {large} times as fast for ten million. "
        f"With `sac`, one million transitions take {nothing['seconds']:.0f} s including training, and "
        f"{cached['seconds']:.1f} s with a cached agent. A hundred million transitions of the heuristic take "
        f"{streamed['seconds']:.0f} s and {streamed['peak_megabytes']:.0f} MB of memory (`make bench`: "
        f"{built['machine']}, {built['date']})."
    )
