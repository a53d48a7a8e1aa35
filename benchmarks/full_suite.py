"""Run the whole test suite, slow tests included, and record the outcome: ``make test-full``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from benchmarks.machine import describe, write_json
from cartpole_phys.utils.parallel import processors

RESULT = Path(__file__).parent / "results" / "full-suite.json"
OUTCOMES = ("passed", "failed", "error", "skipped")


class Counting:
    """A pytest plugin that counts outcomes."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Record pytest's counts."""
        self.counts = {outcome: len(terminalreporter.stats.get(outcome, [])) for outcome in OUTCOMES}


def full_suite(
    jobs: Annotated[int, typer.Option(min=1, help="Number of test processes.")] = processors(),
) -> None:
    """Run every test, and write the outcome unless the run was interrupted."""
    counting, start = Counting(), time.perf_counter()
    arguments = ["-m", "slow or not slow", "--numprocesses", str(jobs), "--dist", "worksteal"]
    code = pytest.main(arguments, plugins=[counting])
    if code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        write_json(RESULT, {**describe(), "seconds": time.perf_counter() - start, **counting.counts})
    raise typer.Exit(int(code))


if __name__ == "__main__":
    typer.run(full_suite)  # pytest itself answers Ctrl-C
