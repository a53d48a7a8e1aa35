"""What all commands share: how they end, and how they show that they are working."""

from __future__ import annotations

import gc
import io
import os
import re
import signal
import sys
import time
import warnings
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Annotated, Any

import typer
from gymnasium.error import DependencyNotInstalled
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cartpole_phys.utils.errors import InputError, printable

BAD_INPUT, INTERRUPTED = 2, 130  # exit codes
SOON = 0.01  # s
HOME_PATH = re.compile(r"(--[\w-]+=|)(~(?:/.*)?)", re.DOTALL)

QuietOption = Annotated[
    bool, typer.Option(help="Show no progress; what the command prints at its end stays.")
]


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP: unwinds everything, so that partial files are removed."""


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    raise Interrupted


def _interrupt_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Raise an interrupt again soon that came where Python only reports it, as in a weakref's callback."""
    if isinstance(unraisable.exc_value, Interrupted):
        signal.setitimer(signal.ITIMER_REAL, SOON)
    else:
        sys.__unraisablehook__(unraisable)


def _expanded(argument: str) -> str:
    """An argument as a shell expands it where it stands alone: ``~`` also after ``--option=``."""
    found = HOME_PATH.fullmatch(argument)
    return found[1] + os.path.expanduser(found[2]) if found else argument


def say(*lines: str) -> None:
    """Print lines on stdout, in which no text from a file commands the terminal or begins another line."""
    print("\n".join(map(printable, lines)))


def run(app: Callable[..., Any]) -> None:
    """Run a command; what a user can mend ends as one line on stderr and exit code 2, without a traceback.

    Signals raise an exception of our own because the command-line library answers Ctrl-C itself.
    """
    warnings.simplefilter("ignore", RuntimeWarning)  # gates, not NumPy, say that numbers are not finite
    warnings.formatwarning = lambda message, *_, **__: f"warning: {printable(str(message))}\n"
    gc.freeze()  # what was imported stays, so no search for cycles needs to go through it
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
        print("Interrupted; nothing half-written was left.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    finally:
        gc.freeze()  # Python searches once more when it ends, which takes 0.2 s


class ProgressBar:
    """A command's progress on stderr: one bar a stage, with the latest figures beside it."""

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
        """Begin a new bar."""
        self._finish_stage(completed=True)
        self._bar.start()
        self._begun = time.monotonic()
        self._task = self._bar.add_task(text, total=None, figures="")

    def training(self, steps: int, mean_return: float) -> None:
        """Show an agent's latest checkpoint."""
        speed = steps / max(time.monotonic() - self._begun, 1e-9)
        self._update(figures=f"{steps:,} steps, {speed:,.0f}/s, mean return {mean_return:.0f}")

    def rows(self, done: int, total: int) -> None:
        """Show how many transitions there are."""
        self._update(completed=done, total=total, figures=f"{done:,} of {total:,} transitions")

    def episodes(self, done: int, total: int) -> None:
        """Show how many episodes the score has been measured on."""
        self._update(completed=done, total=total, figures=f"{done:,} of {total:,} episodes")

    def shards(self, done: int, total: int) -> None:
        """Show how many files are finished."""
        self._update(completed=done, total=total, figures=f"{done:,} of {total:,} files")

    def fetched(self, done: int, total: int) -> None:
        """Show how much of a file has come."""
        figures = f"{done / 1e6:.1f} of {total / 1e6:.1f} MB"
        self._update(completed=done, total=total, figures=figures)

    def optimizing(self, step: int, steps: int, loss: float) -> None:
        """Show how far a model is trained, in a stage of its own if none has begun."""
        if self._task is None:  # only now: an input that is refused before the first step is one line
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
