"""Runs what a study still lacks, on all processors or a cluster; each finished cell is a file at once."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import typer
from rich.console import Console

from benchmarks.machine import read
from benchmarks.studies import behaviors
from benchmarks.studies.cell import Cell, Protocol, data_path, measure, write
from benchmarks.studies.summary import Summary
from cartpole_phys import commands
from cartpole_phys.data.building.build import Options, build
from cartpole_phys.data.loading import load_file
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.parallel import processors, spread
from dt.data.source import describe as describe_data

DATA = Path("benchmark-data")  # where data sets are built, beside the clone's own folders
JOBS = processors()
DataOption = Annotated[Path, typer.Option(file_okay=False, help="Folder for the data sets.")]
JobsOption = Annotated[int, typer.Option(min=1, help="Models trained in parallel, each on one thread.")]
RayOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Train on the Ray cluster at this address, whose machines share this folder and --data.",
    ),
]

Task = TypeVar("Task")  # has a method ``result``

console = Console(stderr=True)


class _Task(NamedTuple):
    """All that a worker needs."""

    cell: Cell
    protocol: Protocol
    folder: Path

    def result(self) -> dict[str, Any]:
        """What the cell is worth."""
        return measure(self.cell, self.protocol, self.folder)


def run(
    cells: Sequence[Cell],
    protocol: Protocol,
    results: Path,
    folder: Path,
    jobs: int,
    ray: str | None = None,
) -> None:
    """Build the data that are not there, then measure what has no result yet.

    Args:
        cells: in the order in which they are begun.
        protocol: how they are measured.
        results: where their results go, and may be already.
        folder: where data sets and trained models go.
        jobs: how many cells are trained at once, each on one thread.
        ray: address of a cluster that trains instead.

    Raises:
        InputError: if a result that is there is of another recipe or protocol, or of other rows than the data
            have, or does not record its eligible episodes; or as of ``finished``.
    """
    summary = Summary(cells, results)
    summary.check_protocol(protocol)
    summary.check_eligible()
    missing = summary.missing
    for data in {cell.data.name: cell.data for cell in cells}.values():
        prepare(data, protocol, results, folder, needed=any(cell.data == data for cell in missing))
    console.print(f"{len(cells) - len(missing):,} of {len(cells):,} cells are there")
    tasks = [_Task(cell, protocol, folder.resolve()) for cell in missing]
    for done, (task, result) in enumerate(finished(tasks, jobs, ray), start=1):
        write(result, task.cell.path(results))
        returns = result["played"][0]["returns"]
        console.print(
            f"{done:,} of {len(missing):,}: {task.cell.name}, mean return {sum(returns) / len(returns):.1f}, "
            f"trained in {result['train_seconds']:.0f} s"
        )


def finished(
    tasks: Sequence[Task], jobs: int, ray: str | None = None
) -> Iterator[tuple[Task, dict[str, Any]]]:
    """Every task with its result, as they come from so many processes, or from a cluster.

    Raises:
        InputError: if a process is killed, or there is no such cluster.
    """
    if ray is not None:
        yield from spread(_result, tasks, ray)
        return
    with _pool(jobs) as pool:
        running = {pool.submit(_result, task): task for task in tasks}
        for future in as_completed(running):
            try:
                yield running[future], future.result()
            except BrokenProcessPool as error:
                raise InputError(
                    "A process was killed (possibly out of memory); finished results are "
                    "kept; run the study again with fewer --jobs."
                ) from error


def _result(task: Any) -> dict[str, Any]:
    result: dict[str, Any] = task.result()
    return result


def prepare(data: Recipe, protocol: Protocol, results: Path, folder: Path, needed: bool = True) -> None:
    """The data set of some cells, if it is needed or not known yet, and its behaviors' result.

    Raises:
        InputError: as of ``ready``.
    """
    kept = behaviors.path(data, results)
    if needed or not kept.exists():
        ready(data, results, folder)
    if not kept.exists():
        write(behaviors.measure(data, protocol, folder), kept)


def built(data: Recipe, folder: Path) -> Path:
    """A data set's file in ``folder``, made if it is not there."""
    path = data_path(data, folder)
    if not path.exists():
        console.print(f"Building {data.name}")
        with commands.ProgressBar() as progress:
            build(data, Options(folder), progress)
    return path


def ready(data: Recipe, results: Path, folder: Path) -> Path:
    """The same, with the rows of the results that there are.

    Raises:
        InputError: if a file has other rows, as an agent's has that was trained on another processor.
    """
    path, known = built(data, folder), behaviors.path(data, results)
    kept = [known, *known.parent.glob("*-seed*.json")]
    hashes = (read(one).get("data_sha256") for one in kept if one.exists())  # early behaviors have none
    expected = next(filter(None, hashes), None)
    if expected and (rows := describe_data(load_file(path)).sha256) != expected:
        raise InputError(
            f"Expected {str(path)!r} to have the rows that the results in {str(known.parent)!r} are of, with "
            f"hash {expected}, got {rows}; delete those results to make all of them anew."
        )
    return path


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that leave Ctrl-C to this one, which ends them, whatever they are at."""
    with ProcessPoolExecutor(
        jobs,
        multiprocessing.get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    ) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise
