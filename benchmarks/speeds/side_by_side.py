"""Paired speed measurements: two programs in turns, so that noise affects both; ratio of medians."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe, read, write_json
from cartpole_phys import commands

ROUNDS = 9
RoundsOption = Annotated[int, typer.Option(min=1, help="Number of measurements of each side.")]
PATIENCE = 10  # seconds for a child process to end by itself


class PeerUnavailableError(Exception):
    """A baseline cannot be measured here, for the reason in the message."""


class Child:
    """A baseline in a child process, which measures one round for each line sent and waits in between.

    It answers each line with one line of JSON. Use it as a context manager.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._messages = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  (__exit__ closes it)
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._messages, text=True
            )
        except OSError as error:
            self._messages.close()
            raise PeerUnavailableError(
                f"{Path(command[0]).name} cannot be started: {error.strerror}"
            ) from error

    def ask(self) -> dict[str, Any]:
        """Measure one round in the child process.

        Raises:
            PeerUnavailableError: if the process ended, with the last line of its output.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: its answer is empty
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            self._messages.seek(0)
            said = self._messages.read().strip().splitlines()
            raise PeerUnavailableError(said[-1] if said else "it ended without output")
        return json.loads(answer)

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._messages.close()


def compare(
    work: str, peer_name: str, ours: Callable[[], float], peer: Callable[[], float], rounds: int
) -> dict[str, Any]:
    """Medians of both in steps per second, and their ratio with its range over rounds.

    Args:
        work: name of the operation.
        peer_name: name of the baseline.
        ours: does one round of the work and returns steps per second.
        peer: the same for the baseline; the two never run at the same time.
        rounds: how often each is measured, after one round to compile and to warm caches.
    """
    ours(), peer()
    measured = [(ours(), peer()) for _ in range(rounds)]
    ratios = [a / b for a, b in measured]
    mine, theirs = median(a for a, _ in measured), median(b for _, b in measured)
    return {
        "work": work,
        "peer": peer_name,
        "ours_per_second": mine,
        "peer_per_second": theirs,
        "ratio": mine / theirs,
        "lowest_ratio": min(ratios),
        "highest_ratio": max(ratios),
        "rounds": rounds,
    }


def left_out(work: str, peer_name: str, reason: str) -> dict[str, Any]:
    """The entry in the result for a row that could not be measured."""
    return {"work": work, "peer": peer_name, "left_out": reason}


def write(path: Path, rows: Sequence[dict[str, Any]], **more: Any) -> None:
    """Write a result file: machine, rows, rows left out with their reasons, and ``more``."""
    write_json(path, {**_run(rows), **more})


def append(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Add a run to a result file that keeps all runs, each with its machine, versions and date."""
    runs = read(path)["runs"] if path.exists() else []
    write_json(path, {"runs": [*runs, _run(rows)]})


def _run(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    measured = [row for row in rows if "left_out" not in row]
    rest = [row for row in rows if "left_out" in row]
    return {**describe(), "rows": measured, "left_out": rest}


def table(title: str, rows: Sequence[dict[str, Any]], millions: bool = True) -> Table:
    """The comparisons as a table for the terminal, in steps or millions of steps per second."""
    unit, scale = ("M/s", 1e6) if millions else ("1/s", 1.0)
    missing = [
        f"Left out: {row['work']} ({row['peer']}): {row['left_out']}" for row in rows if "left_out" in row
    ]
    cells = [
        [
            row["work"],
            row["peer"],
            f"{row['ours_per_second'] / scale:.3g}",
            f"{row['peer_per_second'] / scale:.3g}",
            f"{row['ratio']:.3g}×",
            f"{row['lowest_ratio']:.3g} to {row['highest_ratio']:.3g}",
        ]
        for row in rows
        if "left_out" not in row
    ]
    headings = ("work", "peer", f"ours, {unit}", f"peer, {unit}", "ratio", "spread")
    return commands.table(title, headings, cells, text_columns=2, caption="\n".join(missing) or None)


def rate(work: Callable[[], Any], count: int = 1, each: int = 1) -> float:
    """Items per second of a function that processes ``each`` items per call."""
    start = time.perf_counter()
    for _ in range(count):
        work()
    return count * each / (time.perf_counter() - start)


def run(
    measure: Callable[[int], Sequence[dict[str, Any]]],
    path: Path,
    title: str,
    millions: bool = True,
    keep: Callable[[Path, Sequence[dict[str, Any]]], None] = write,
) -> None:
    """Run a benchmark as a program with the option ``--rounds``.

    Args:
        measure: makes the comparisons with a number of rounds.
        path: the result file.
        title: of the table that is printed.
        millions: whether it has millions of steps per second.
        keep: ``write`` or ``append``.
    """

    def main(rounds: RoundsOption = ROUNDS) -> None:
        """Measure, write the result and print it."""
        rows = measure(rounds)
        keep(path, rows)
        Console().print(table(f"{title}, medians of {rounds} rounds", rows, millions))

    commands.run_single(main)
