"""How studies are told in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.studies.statistics import Estimate


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    lines = ["| " + " | ".join(headings) + " |", "|---" + "|---:" * (len(headings) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def interval(estimate: Estimate | tuple[float, float, float], digits: int = 1) -> str:
    """A figure with its 95 % interval."""
    value, low, high = (minus(f"{one:.{digits}f}") for one in estimate)
    return f"{value} ({low} – {high})"


def minus(number: str) -> str:
    """A number with a proper minus sign, and none before zero."""
    sign, digits = ("−", number[1:]) if number.startswith("-") else ("", number)
    return digits if not digits.strip("0.") else sign + digits


def listed(words: Sequence[str]) -> str:
    """Words as a sentence has them: "one, two and three"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
