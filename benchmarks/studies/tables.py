"""How studies are told in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.studies.statistics import Estimate

REMEASURED = "being remeasured"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    lines = ["| " + " | ".join(headings) + " |", "|---" + "|---:" * (len(headings) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def interval(estimate: Estimate | tuple[float, float, float], digits: int = 1) -> str:
    """A figure with its 95 % interval; alone where all runs agree, of which a bootstrap tells no interval."""
    value, low, high = (minus(f"{one:.{digits}f}") for one in estimate)
    return value if low == high else f"{value} ({low} – {high})"


def marked(heading: str, old: bool) -> str:
    """A heading that says, where results are old, that its figures will change."""
    return f"{heading} ({REMEASURED})" if old else heading


def minus(number: str) -> str:
    """A number with a proper minus sign, and none before zero."""
    sign, digits = ("−", number[1:]) if number.startswith("-") else ("", number)
    return digits if not digits.strip("0.") else sign + digits


def listed(words: Sequence[str]) -> str:
    """Words as a sentence has them: "one, two and three"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def made(results: Iterable[Mapping[str, Any]]) -> tuple[str, str]:
    """On which machines results came about, and in which days."""
    pairs = {(result["machine"], result["date"]) for result in results}
    machines, dates = (sorted(set(part)) for part in zip(*pairs, strict=True))
    return "; ".join(machines), dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
