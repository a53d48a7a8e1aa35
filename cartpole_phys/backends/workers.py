"""Processes that play batches of episodes for policies and environments in Python.

They are spawned, so that they inherit neither threads nor locks; they leave Ctrl-C to their parent, which
ends them, and end by themselves where it is gone.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Protocol

from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.errors import InputError, is_integer


class Player(Protocol):
    """Plays episodes of one backend under one policy."""

    def play(self, first: int, count: int) -> Episodes:
        """The episodes ``first`` to ``first + count`` of its seed; ``first`` begins a batch."""
        ...

    def close(self) -> None:
        """Give back what playing took."""
        ...


class Workers:
    """A number of processes, each with a player of its own; batches go to them in turn."""

    def __init__(self, player: Player, jobs: int) -> None:
        """Start the processes.

        Raises:
            InputError: if the player cannot be sent to another process.
        """
        self._processes: list[Any] = []
        self._connections: list[Any] = []
        self._begun = self._taken = 0
        try:
            for _ in range(jobs):
                self._start(player)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            self.close()
            raise InputError(
                f"Expected a policy and an environment that can be sent to other processes ({error}); define "
                "their functions and classes at the top of a module, or use one job."
            ) from error
        except BaseException:
            self.close()
            raise

    def _start(self, player: Player) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._connections.append(ours)
        process = context.Process(target=_work, args=(player, theirs), daemon=True)
        with _interrupts_blocked():
            process.start()
            self._processes.append(process)
        theirs.close()

    def begin(self, first: int, count: int) -> None:
        """Let the next process in turn play a batch."""
        turn = self._begun % len(self._connections)
        self._begun += 1
        try:
            self._connections[turn].send((first, count))
        except OSError:
            raise self._ended(turn) from None

    def result(self) -> Episodes:
        """The episodes of the earliest batch that was begun and not taken yet.

        Raises:
            InputError: if its process has ended.
            Exception: whatever the policy or the environment raised there.
        """
        turn = self._taken % len(self._connections)
        self._taken += 1
        try:
            answer = self._connections[turn].recv()
        except (EOFError, OSError):
            raise self._ended(turn) from None
        if isinstance(answer, Exception):
            raise answer
        episodes: Episodes = answer
        return episodes

    def _ended(self, turn: int) -> InputError:
        process = self._processes[turn]
        process.join()
        return InputError(
            f"A process that was to play episodes has ended with exit code {process.exitcode}; a script that "
            'uses more than one job needs the line: if __name__ == "__main__":'
        )

    def close(self) -> None:
        """End all processes, whatever they are at."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
        for connection in self._connections:
            connection.close()

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Hold Ctrl-C back; a process that is started meanwhile never sees it, not even while it imports."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(player: Player, connection: Connection) -> None:
    """Play what is asked for until the parent ends this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        first, count = connection.recv()
        answer: Episodes | Exception
        try:
            answer = player.play(first, count)
        except Exception as error:
            answer = _portable(error)
        connection.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _portable(error: Exception) -> Exception:
    """An exception as another process can read it, with the place where it was raised."""
    error.add_note("In another process:\n" + "".join(traceback.format_exception(error)))
    try:
        copy: Exception = pickle.loads(pickle.dumps(error))  # noqa: S301 - made here a moment ago
    except Exception:
        return RuntimeError("".join(traceback.format_exception(error)))
    return copy


Needed = Callable[[int, int], int]  # episodes it takes in all, from how many there are and their steps
OnEpisodes = Callable[[int, int], None]  # is told how many episodes are finished, and of how many


class _InProcess:
    """Plays each batch in this process, when its result is asked for."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self._begun: deque[tuple[int, int]] = deque()

    def begin(self, first: int, count: int) -> None:
        self._begun.append((first, count))

    def result(self) -> Episodes:
        return self._player.play(*self._begun.popleft())

    def __enter__(self) -> _InProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._player.close()


def no_progress(done: int, total: int) -> None:
    """Tell no_progress."""


def with_progress(
    parts: Iterable[Episodes], total: int, on_progress: OnEpisodes
) -> Generator[Episodes, None, None]:
    """The same batches, of ``total`` episodes; ``on_progress`` is called before the first and after each."""
    done = 0
    on_progress(done, total)
    for part in parts:
        done = min(done + len(part), total)
        on_progress(done, total)
        yield part


def check_jobs(jobs: int) -> None:
    """Refuse numbers of jobs below 1.

    Raises:
        InputError: if there is not at least one job.
    """
    if jobs < 1:
        raise InputError(f"Expected at least 1 job, got {jobs}.")


def check_episodes(episodes: int) -> None:
    """Refuse what is no number of episodes.

    Raises:
        InputError: if there is not at least one episode.
    """
    if not is_integer(episodes) or episodes < 1:
        raise InputError(f"Expected at least 1 episode, got {episodes}.")


def batches(
    player: Player, size: int, needed: Needed, jobs: int, last: int | None = None
) -> Generator[Episodes, None, None]:
    """Batches of ``size`` episodes, until there are as many as ``needed`` says.

    ``needed`` is asked again after each batch, and no batch is begun that it does not ask for.

    Args:
        player: what plays a batch, from its first episode's number and its size.
        size: episodes in a batch; what is played may depend on it, so it must not depend on ``jobs``.
        needed: how many episodes it takes in all.
        jobs: how many processes play; 1 means this one.
        last: number of the episode before which the last batch is cut, or None.

    Raises:
        InputError: if ``jobs`` is below 1, or the player cannot be sent to another process.
    """
    check_jobs(jobs)
    begun = played = rows = waiting = 0
    with _InProcess(player) if jobs == 1 else Workers(player, jobs) as workers:
        while played < (wanted := needed(played, rows)):
            while begun < wanted and waiting <= jobs:
                workers.begin(begun, size if last is None else min(size, last - begun))
                begun, waiting = begun + size, waiting + 1
            part = workers.result()
            played, rows, waiting = played + len(part), rows + part.steps, waiting - 1
            yield part
