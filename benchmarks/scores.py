"""Offline-RL benchmark, nine methods on eight data sets: ``python -m benchmarks.scores``.

Every finished cell is one file, so that an interrupted run resumes. The tables and figures in
docs/scores.md are generated from those files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from benchmarks.studies import score_tables
from benchmarks.studies.answer import Answer
from benchmarks.studies.cell import Cell
from benchmarks.studies.question import QUESTION, Question
from benchmarks.studies.running import DATA, JOBS, DataOption, JobsOption, RayOption, run
from benchmarks.studies.score_pictures import draw_profiles, draw_scores
from benchmarks.studies.smoke import shrunk
from cartpole_phys import commands
from cartpole_phys.utils.errors import InputError

ONLY = "Only cells whose name contains this, such as 'physcartpole-sac-medium-v0, IQL, seed 0'."
SCORES, PROFILES = "scores.png", "profiles.png"


@cache
def _answer() -> Answer:
    """The committed one, whose hundreds of files all tables are made of."""
    return Answer(QUESTION)


def block(table: Callable[[Answer], str]) -> str:
    """A part of docs/scores.md: a table of the committed answer."""
    return table(_answer())


def of_each_task(table: Callable[[Answer, str], str]) -> str:
    """The same for a table of one task, under the task's name."""
    answer = _answer()
    return "\n\n".join(f"**{task}**\n\n{table(answer, task)}" for task in answer.tiers)


def task_tables() -> str:
    """A table for each task, and what its figures are."""
    return f"{of_each_task(score_tables.scores)}\n\n{block(score_tables.note)}"


def _report(question: Question) -> None:
    """Tables on the screen, pictures beside the results."""
    answer = Answer(question)
    for task in answer.tiers:
        Console().print(Markdown(score_tables.scores(answer, task)))
    for table in (
        score_tables.beaten,
        score_tables.overall,
        score_tables.regimes,
        score_tables.stitching,
        score_tables.planners,
    ):
        Console().print(Markdown(table(answer)))
    draw_scores(answer, question.results / SCORES)
    draw_profiles(answer, question.results / PROFILES)


def scores(
    data: DataOption = DATA,
    jobs: JobsOption = JOBS,
    ray: RayOption = None,
    only: Annotated[str, typer.Option(metavar="TEXT", help=ONLY)] = "",
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Run a tiny version of the whole study and discard its results.")
    ] = False,
) -> None:
    """Train and evaluate every method on every data set with every seed; existing results are kept."""
    if not smoke:
        run(_named(QUESTION, only), QUESTION.protocol, QUESTION.results, data, jobs, ray)
        return _report(QUESTION)
    with tempfile.TemporaryDirectory() as folder:
        question = shrunk(QUESTION, Path(folder) / "results")
        run(_named(question, only), question.protocol, question.results, Path(folder) / "data", jobs, ray)
        return _report(question)


def _named(question: Question, text: str) -> list[Cell]:
    """The cells whose names have this in them."""
    cells = [cell for cell in question.cells if text in cell.name]
    if not cells:
        raise InputError(
            f"Expected a part of a cell's name, such as {question.cells[0].name!r}, got {text!r}."
        )
    return cells


if __name__ == "__main__":
    commands.run_single(scores)
