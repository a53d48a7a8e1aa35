"""Builds against Minari's DataCollector, their time and memory: ``python -m benchmarks.speeds.building``.

A build is timed from the start of its process to the validated, compressed file. For Minari, which runs in
turns with it, process start and imports are not counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.speeds import side_by_side
from benchmarks.speeds.peers.minari_peer import TRANSITIONS
from benchmarks.speeds.side_by_side import Child, PeerUnavailableError, RoundsOption, compare, left_out
from cartpole_phys import commands
from cartpole_phys.data.hdf5.file import read_header

RESULT = Path(__file__).parent.parent / "results" / "building.json"
PEER = f"Minari DataCollector, {TRANSITIONS:,} transitions"
SIZES = (1_000_000, 10_000_000)
ROUNDS = 3
STREAMED = 100_000_000  # transitions, whose memory is measured once
HEURISTIC = ("--policy", "heuristic", "--tier", "medium")
BUILDER = "import sys; from cartpole_phys.cli import build_dataset_main; sys.exit(build_dataset_main())"


class Took(NamedTuple):
    """Time, peak memory and file of one build."""

    seconds: float
    peak_megabytes: float
    file: Path


def build(folder: Path, arguments: Sequence[str], cache: Path | None = None) -> Took:
    """Build a data set in a new process, with agents and kernels cached in ``cache``.

    Raises:
        SystemExit: if the build fails, with its output.
    """
    environment = {**os.environ, **({"XDG_CACHE_HOME": str(cache)} if cache else {})}
    command = [sys.executable, "-c", BUILDER, *arguments, "--out", str(folder), "--overwrite", "--json"]
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)  # its peak is this process's own, if that is larger
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        answer = said.read()
    if process.returncode != 0:
        raise SystemExit(f"error: {' '.join(arguments)}: {answer.strip()}")
    return Took(seconds, usage.ru_maxrss / 1024, Path(json.loads(answer)["path"]))


def beside_minari(steps: int, folder: Path, rounds: int) -> dict[str, Any]:
    """The comparison with Minari at one size, or the reason that it is missing."""
    work = f"build-dataset {' '.join(HEURISTIC)}, {steps:,} transitions"
    arguments = [*HEURISTIC, "--steps", str(steps)]
    gain = read_header(build(folder, arguments).file).metadata["parts"][0]["gain"]
    peer = [sys.executable, "-W", "ignore", "-m", "benchmarks.speeds.peers.minari_peer", str(gain)]
    try:
        with Child(peer) as child:
            version = child.ask()["version"]
            row = compare(
                work,
                PEER,
                lambda: steps / build(folder, arguments).seconds,
                lambda: float(child.ask()["rows_per_second"]),
                rounds,
            )
        return {**row, "peer_version": version}
    except PeerUnavailableError as error:
        return left_out(work, PEER, str(error))


def build_costs(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Seconds and memory of builds: with empty caches, with a cached agent, and of many rows."""
    million = ("--steps", "1000000")
    agent = ("--policy", "sac", "--tier", "medium", *million)
    with tempfile.TemporaryDirectory() as cache:
        first = build(folder, agent, Path(cache))
        again = [build(folder, agent, Path(cache)) for _ in range(rounds)]
    rows = [
        _row("from nothing: no agent, no compiled kernels", agent, [first]),
        _row("with the cached agent", agent, again),
    ]
    for policy in (("--policy", "random"), HEURISTIC):
        arguments = (*policy, *million)
        rows.append(_row("warm", arguments, [build(folder, arguments) for _ in range(rounds)]))
    arguments = (*HEURISTIC, "--steps", str(STREAMED))
    return [*rows, _row("warm", arguments, [build(folder, arguments)])]


def _row(state: str, arguments: Sequence[str], took: Sequence[Took]) -> dict[str, Any]:
    """Median time and largest peak memory of builds with the same arguments."""
    return {
        "command": f"build-dataset {' '.join(arguments)}",
        "state": state,
        "seconds": median(one.seconds for one in took),
        "peak_megabytes": max(one.peak_megabytes for one in took),
        "file_megabytes": took[-1].file.stat().st_size / 1e6,
        "rounds": len(took),
    }


def table(builds: Sequence[dict[str, Any]]) -> Table:
    """Time and memory of builds as a table for the terminal."""
    numbers = {"seconds": ".3g", "peak_megabytes": ".0f", "file_megabytes": ".0f"}
    return commands.table(
        "Whole builds: seconds, and megabytes of memory and of the file",
        ("command", "state", "seconds", "peak MB", "file MB"),
        [
            [row["command"], row["state"], *(format(row[name], digits) for name, digits in numbers.items())]
            for row in builds
        ],
        text_columns=2,
    )


def main(rounds: RoundsOption = ROUNDS) -> None:
    """Measure, print and write the result."""
    with tempfile.TemporaryDirectory() as name:
        rows = [beside_minari(steps, Path(name), rounds) for steps in SIZES]
        builds = build_costs(Path(name), rounds)
    side_by_side.write(RESULT, rows, builds=builds)
    console = Console()
    console.print(side_by_side.table(f"Whole builds beside Minari, medians of {rounds} rounds", rows))
    console.print(table(builds))


if __name__ == "__main__":
    commands.run_single(main)
