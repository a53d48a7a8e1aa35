"""Closed-loop rollouts against the same rollouts in C: ``python -m benchmarks.speeds.rollout``.

The C program is compiled into a temporary folder and rolls out the same episodes, so both must take the same
number of steps. It runs in its own process, in turns with ours. Without a C compiler the rows are left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from benchmarks.speeds.side_by_side import (
    ROUNDS,
    Child,
    PeerUnavailableError,
    RoundsOption,
    append,
    compare,
    left_out,
    rate,
    table,
)
from cartpole_phys import commands
from cartpole_phys.kernels.control_laws import PROPORTIONAL
from cartpole_phys.numeric.philox import key_from_seed
from cartpole_phys.rollouts.collect import COMPILED_BATCH_SIZE, run_compiled
from cartpole_phys.rollouts.policy import CompiledPolicy
from cartpole_phys.system import CartPole

SOURCE = Path(__file__).parent / "peers" / "rollout_peer.c"
RESULT = Path(__file__).parent.parent / "results" / "rollout.json"
COMPILER = "cc"
FLAGS = ("-std=c11", "-O3", "-pthread")
EPISODES = 8_000  # of 190 steps on average
THREADS = (1, 2)
SEED = 0
PROPORTIONAL_GAIN, DERIVATIVE_GAIN, NOISE = 1.11, 0.3, 0.3  # a weak policy: with D = 0 noise fells it at once
TOLERANCE = 1e-3  # the C library's sine may differ in its last bit, and that may change a length

SYSTEM = CartPole()
POLICY = CompiledPolicy(PROPORTIONAL, (0.0, 0.0, PROPORTIONAL_GAIN, DERIVATIVE_GAIN), noise=NOISE)


def ours(episodes: int, key: np.uint64, threads: int) -> int:
    """Roll out the first episodes of a key on some threads and return the number of steps."""

    def play(first: int) -> int:
        return run_compiled(SYSTEM, POLICY, key, first, min(COMPILED_BATCH_SIZE, episodes - first)).steps

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(play, range(0, episodes, COMPILED_BATCH_SIZE)))


def build(folder: Path, flags: tuple[str, ...] = FLAGS) -> Path:
    """Compile the C program into a folder and return its path.

    Raises:
        PeerUnavailableError: if there is no C compiler, or it fails.
    """
    if shutil.which(COMPILER) is None:
        raise PeerUnavailableError(f"there is no C compiler: {COMPILER} is not on the path")
    program = folder / SOURCE.stem
    command = [COMPILER, *flags, str(SOURCE), "-o", str(program), "-lm"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        said = result.stderr.strip().splitlines() or ["it ended without output"]
        raise PeerUnavailableError(f"{COMPILER} failed: {said[0]}")
    return program


def arguments(episodes: int, threads: int, key: np.uint64) -> list[str]:
    """Arguments of the C program, which rolls out one round for each input line."""
    values = (episodes, threads, key, PROPORTIONAL_GAIN, DERIVATIVE_GAIN, NOISE, 0)
    return [str(value) for value in values]


def check_equal_work(mine: int, theirs: int) -> None:
    """Check that both rolled out the same episodes.

    Raises:
        SystemExit: if their numbers of steps differ by more than the tolerance.
    """
    if abs(mine - theirs) > TOLERANCE * theirs:
        raise SystemExit(f"error: ours played {mine:,} steps and C {theirs:,}; they should be the same.")


def _row(program: Path, threads: int, flags: tuple[str, ...], rounds: int) -> dict[str, Any]:
    """The comparison on a number of threads."""
    key = key_from_seed(SEED)
    with Child([str(program), *arguments(EPISODES, threads, key)]) as child:
        theirs = int(child.ask()["rows"])
        mine = ours(EPISODES, key, threads)
        check_equal_work(mine, theirs)

        def measure_theirs() -> float:
            answer = child.ask()
            return float(answer["rows"]) / float(answer["seconds"][0])

        row = compare(
            _work(threads),
            _peer(threads, flags),
            lambda: rate(lambda: ours(EPISODES, key, threads), each=mine),
            measure_theirs,
            rounds,
        )
    return {**row, "our_steps": mine, "peer_steps": theirs}


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _work(threads: int) -> str:
    return f"closed-loop rollout, {_threads(threads)}"


def _peer(threads: int, flags: tuple[str, ...]) -> str:
    shown = " ".join(flag for flag in flags if flag.startswith(("-O", "-march")))
    return f"C, {COMPILER} {shown}, {_threads(threads)}"


def measure(rounds: int, flags: tuple[str, ...] = FLAGS) -> list[dict[str, Any]]:
    """Measure both sides on one and on two threads."""
    counts = [count for count in THREADS if count <= (os.cpu_count() or 1)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            program = build(Path(folder), flags)
            return [_row(program, count, flags, rounds) for count in counts]
    except PeerUnavailableError as error:
        return [left_out(_work(count), _peer(count, flags), str(error)) for count in counts]


def main(
    rounds: RoundsOption = ROUNDS,
    native: Annotated[
        bool,
        typer.Option("--native", help="Let the C compiler use all of this processor; only print the result."),
    ] = False,
) -> None:
    """Measure, print and write the result."""
    rows = measure(rounds, (*FLAGS, "-march=native") if native else FLAGS)
    if not native:
        append(RESULT, rows)
    Console().print(table(f"Steps of rollouts beside C, medians of {rounds} rounds", rows))


if __name__ == "__main__":
    commands.run_single(main)
