"""Runs the whole test suite, with what takes minutes, and keeps what came of it: ``make test-full``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.machine import describe

RESULT = Path(__file__).parent / "results" / "full-suite.json"
OUTCOMES = ("passed", "failed", "error", "skipped")


class Counting:
    """A plugin that counts how tests ended."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Take pytest's own counts."""
        self.counts = {outcome: len(terminalreporter.stats.get(outcome, [])) for outcome in OUTCOMES}


def main(arguments: list[str]) -> int:
    """Run pytest, write how tests ended, and return its exit code."""
    counting, start = Counting(), time.perf_counter()
    code = pytest.main(["-m", "slow or not slow", *arguments], plugins=[counting])
    result = {**describe(), "seconds": time.perf_counter() - start, **counting.counts}
    RESULT.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
