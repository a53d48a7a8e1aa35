"""Shared parts of all commands: errors, signals, exit codes, output and progress bars."""

from __future__ import annotations

import gc
import io
import os
import re
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from types import FrameType, TracebackType
from typing import Annotated, Any

import typer
from gymnasium.error import DependencyNotInstalled
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from cartpole_phys.utils import progress
from cartpole_phys.utils.errors import InputError, printable

BAD_INPUT, INTERRUPTED = 2, 130  # exit codes
SOON = 0.01  # s
HOME_PATH = re.compile(r"(--[\w-]+=|)(~(?:/.*)?)", re.DOTALL)

QuietOption = Annotated[bool, typer.Option(help="Hide progress bars; the result is still printed.")]


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP: unwinds everything, so that partial files are removed."""


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    raise Interrupted


def _interrupt_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Raise an interrupt again shortly if Python could only report it, as in a weakref's callback."""
    if isinstance(unraisable.exc_value, Interrupted):
        signal.setitimer(signal.ITIMER_REAL, SOON)
    else:
        sys.__unraisablehook__(unraisable)


def _expanded(argument: str) -> str:
    """Expand ``~`` in an argument, also after ``--option=``, where shells do not."""
    found = HOME_PATH.fullmatch(argument)
    return found[1] + os.path.expanduser(found[2]) if found else argument


def say(*lines: str) -> None:
    """Print lines on stdout, with control characters from untrusted files replaced."""
    print("\n".join(map(printable, lines)))


def run(app: Callable[..., Any]) -> None:
    """Run a command; user errors end with one line on stderr and exit code 2, without a traceback.

    Signals raise this module's ``Interrupted``, because the command-line library handles Ctrl-C itself.
    """
    warnings.simplefilter("ignore", RuntimeWarning)  # gates report numbers that are not finite
    warnings.formatwarning = lambda message, *_, **__: f"warning: {printable(str(message))}\n"
    gc.freeze()  # imported objects stay alive: exclude them from garbage collection
    sys.argv[1:] = [_expanded(argument) for argument in sys.argv[1:]]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    if sys.platform != "win32":
        signal.signal(signal.SIGALRM, _interrupt)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup sets it
            signal.signal(signal.SIGHUP, _interrupt)
        sys.unraisablehook = _interrupt_again
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # not every terminal has ✓
    try:
        app()
    except (InputError, OSError, DependencyNotInstalled) as error:
        print("error: " + printable(" ".join(str(error).split())), file=sys.stderr)
        sys.exit(BAD_INPUT)
    except Interrupted:
        print("Interrupted; partial files were removed.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    finally:
        gc.freeze()  # spares the collection at interpreter exit, which takes 0.2 s


def run_single(command: Callable[..., None]) -> None:
    """Run a program that has one command, with the options of its parameters, as ``run`` does."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    run(app)


def table(
    title: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    text_columns: int = 1,
    caption: str | None = None,
) -> Table:
    """A table for the terminal.

    Args:
        title: shown as it is, not read as Rich markup: it may have an untrusted name in it.
        headings: of the columns.
        rows: cells, with Rich markup.
        text_columns: number of columns, from the left, that are text; the others are numbers, to the right.
        caption: below the table.
    """
    drawn = Table(title=Text(title), caption=caption, caption_justify="left")
    for number, heading in enumerate(headings):
        is_text = number < text_columns
        drawn.add_column(heading, justify="left" if is_text else "right", no_wrap=not is_text)
    for row in rows:
        drawn.add_row(*row)
    return drawn


class ProgressBar(progress.Progress):
    """Progress of a command on stderr: one bar per stage, with the latest figures."""

    def __init__(self, quiet: bool = False) -> None:
        """Show nothing if ``quiet``."""
        self._bar = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True, quiet=quiet),  # rich before 15 ends a disabled bar with a line
            disable=quiet,
        )
        self._task: TaskID | None = None
        self._begun = time.monotonic()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._finish_stage(completed=kind is None)
            self._bar.stop()

    def stage(self, text: str) -> None:
        """Start the bar of a new stage."""
        self._finish_stage(completed=True)
        self._bar.start()
        self._begun = time.monotonic()
        self._task = self._bar.add_task(text, total=None, figures="")

    def training(self, steps: int, mean_return: float) -> None:
        """Show training steps, speed and the mean return of the latest checkpoint."""
        speed = steps / max(time.monotonic() - self._begun, 1e-9)
        self._update(figures=f"{steps:,} steps, {speed:,.0f}/s, mean return {mean_return:.0f}")

    def rows(self, done: int, total: int) -> None:
        """Show the number of transitions collected or checked."""
        self._update(completed=done, total=total, figures=f"{done:,} of {total:,} transitions")

    def episodes(self, done: int, total: int) -> None:
        """Show the number of evaluation episodes played."""
        self._update(completed=done, total=total, figures=f"{done:,} of {total:,} episodes")

    def shards(self, done: int, total: int) -> None:
        """Show the number of finished files."""
        self._update(completed=done, total=total, figures=f"{done:,} of {total:,} files")

    def fetched(self, done: int, total: int) -> None:
        """Show the number of downloaded bytes."""
        figures = f"{done / 1e6:.1f} of {total / 1e6:.1f} MB"
        self._update(completed=done, total=total, figures=figures)

    def optimizing(self, step: int, steps: int, loss: float) -> None:
        """Show the gradient step, loss and speed of a model in training; start a stage if needed."""
        if self._task is None:  # not earlier, so that an input error before the first step is a single line
            self.stage("training")
        self._update(completed=step, total=steps)
        speed = self._bar.tasks[-1].speed
        self._update(figures=f"loss {loss:.4g}" + (f", {speed:,.0f} steps/s" if speed else ""))

    def _update(self, **fields: Any) -> None:
        if self._task is not None:
            self._bar.update(self._task, **fields)

    def _finish_stage(self, completed: bool) -> None:
        if self._task is not None and completed and self._bar.tasks[-1].total is None:
            self._bar.update(self._task, total=1, completed=1)
