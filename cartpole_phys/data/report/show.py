"""Report of a data set in the terminal or as HTML: statistics, score and gates."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cartpole_phys.data.checks.run import FAILED, NOT_PROVEN, PASSED, GateResult, check_with
from cartpole_phys.data.declared_env import declared_backend
from cartpole_phys.data.loading import load_whole
from cartpole_phys.data.report.page import page
from cartpole_phys.data.report.statistics import (
    QUANTILES,
    Histogram,
    Statistics,
    has_cart_pole_state,
    statistics_of,
)
from cartpole_phys.data.score import references_of, score
from cartpole_phys.episodes import Episodes
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError, printable
from cartpole_phys.utils.files import atomic_file, reporting_write_errors
from cartpole_phys.utils.progress import Progress


@dataclass(frozen=True)
class Report:
    """Report of a data set."""

    name: str
    data: Episodes
    statistics: Statistics
    score: float | None
    gates: Sequence[GateResult]

    def renderable(self) -> RenderableType:
        """The report for the terminal, as a rich renderable."""
        return summary(self.name, self.data.metadata, self.statistics, self.score, self.gates)

    def html(self) -> str:
        """The report as an HTML page."""
        return page(self.name, self.data, self.statistics, self.score, self.gates, system_of(self.data))


def show(path: str | os.PathLike[str], progress: Progress) -> Report:
    """Compute the statistics of a data set, and run its gates.

    Raises:
        InputError: if it cannot be read.
    """
    data, gates = load_whole(path), check_with(path, progress)
    statistics = statistics_of(data)
    name = str(data.metadata.get("dataset_name", Path(path).name))
    return Report(name, data, statistics, score_of(data.metadata, statistics.mean_return), gates)


def write_page(report: Report, path: Path) -> None:
    """Write the HTML page atomically.

    Raises:
        InputError: if it cannot be written.
    """
    with reporting_write_errors(path), atomic_file(path) as partial:
        partial.write_text(report.html(), "utf-8")


def system_of(data: Episodes) -> CartPole | None:
    """System of a data set with all data that the player draws; None for other data sets."""
    if not has_cart_pole_state(data) or data.actions[0].size != 1:
        return None
    try:
        return declared_backend(data.metadata).system
    except InputError:
        return None


def score_of(metadata: Mapping[str, Any], mean_return: float | None) -> float | None:
    """Normalized score; None without a mean return or reference returns."""
    if mean_return is None:
        return None
    try:
        return float(
            score(references_of(str(metadata.get("env_id")), metadata.get("references")), mean_return)
        )
    except InputError:
        return None


BARS = "▁▂▃▄▅▆▇█"


def summary(
    name: str,
    metadata: Mapping[str, Any],
    statistics: Statistics,
    score: float | None,
    gates: Sequence[GateResult],
) -> RenderableType:
    """Statistics, normalized score and gates of a data set for the terminal."""
    provenance = ", ".join(str(metadata[key]) for key in ("env_id", "algorithm", "tier") if key in metadata)
    mean = "unknown" if statistics.mean_return is None else f"{statistics.mean_return:.1f}"
    lines = [
        Text(printable(f"{name}  {provenance}"), style="bold"),
        Text(
            f"{statistics.steps:,} transitions in {statistics.episodes:,} episodes, of which "
            f"{statistics.complete_episodes:,} are complete"
        ),
        Text(f"mean return {mean}, normalized score {'unknown' if score is None else f'{score:.1f}'}"),
    ]
    if "command" in metadata:
        lines.append(Text(printable(str(metadata["command"])), style="dim"))
    histograms = [statistics.returns, statistics.lengths, *statistics.actions]
    return Group(*lines, _histograms(histograms), _states(statistics), _coverage(statistics), *_gates(gates))


def _histograms(histograms: Sequence[Histogram]) -> Table:
    """Table with one histogram per row, between its smallest and largest value."""
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    for name, unit, counts, _, (least, greatest) in histograms:
        highest = max(int(counts.max()), 1)
        # Only empty bins are blank; every other count has at least the lowest bar.
        bars = "".join(BARS[(len(BARS) - 1) * int(count) // highest] if count else " " for count in counts)
        table.add_row(name, f"{least:.4g}", bars, f"{greatest:.4g} {unit}".rstrip())
    return table


def _states(statistics: Statistics) -> Table:
    """Table of the quantiles of each state variable."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("state")
    for quantile in QUANTILES:
        table.add_column(f"{quantile:.0%}", justify="right")
    for column in statistics.columns:
        label = f"{column.name} ({column.unit})" if column.unit else column.name
        table.add_row(label, *(f"{value:.4g}" for value in column.quantiles))
    return table


def _coverage(statistics: Statistics) -> Text:
    """Fraction of non-empty cells for each pair of state variables."""
    fractions = [
        f"{pair.horizontal.name}, {pair.vertical.name}: {pair.fraction:.0%} of {pair.counts.size:,} cells"
        for pair in statistics.coverage
    ]
    return Text("coverage  " + "; ".join(fractions))


def _gates(gates: Sequence[GateResult]) -> list[Text]:
    """The passed gates on one line, and one line for each other gate."""
    passed = " ".join(f"✓ {gate.gate}" for gate in gates if gate.status == PASSED)
    rest = [gate for gate in gates if gate.status != PASSED]
    return [Text(passed, style="green"), *(_gate_line(gate) for gate in rest)]


def _gate_line(gate: GateResult) -> Text:
    style = "bold red" if gate.status in (FAILED, NOT_PROVEN) else "dim"
    return Text(printable(f"{gate.mark} {gate.gate} {gate.status}: {gate.detail}"), style=style)
