"""Worker processes that play batches of episodes, for policies and environments in Python.

They are spawned, so that they inherit neither threads nor locks. They ignore Ctrl-C, are terminated by their
parent, and exit if it is gone.
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
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.errors import InputError, is_integer


class Player(Protocol):
    """Plays episodes of one backend under one policy."""

    def play(self, first: int, count: int) -> Episodes:
        """Play the episodes ``first`` to ``first + count`` of its seed; ``first`` is the start of a batch."""

    def close(self) -> None:
        """Release resources."""


class Workers:
    """A pool of processes with one player each; batches are assigned round-robin."""

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
                f"Expected a policy and an environment that can be pickled for other processes ({error}); "
                "define their functions and classes at the top level of a module, or use one job."
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
        """Assign a batch to the next process."""
        turn = self._begun % len(self._connections)
        self._begun += 1
        try:
            self._connections[turn].send((first, count))
        except OSError:
            raise self._ended(turn) from None

    def result(self) -> Episodes:
        """The episodes of the earliest pending batch.

        Raises:
            InputError: if its process has died.
            Exception: any exception of the policy or the environment.
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
            f"A worker process died with exit code {process.exitcode}; a script that uses more than one job "
            'needs the line: if __name__ == "__main__":'
        )

    def close(self) -> None:
        """Terminate all processes immediately."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
        for connection in self._connections:
            connection.close()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block SIGINT; a process started meanwhile never receives it, not even during its imports."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(player: Player, connection: Connection) -> None:
    """Play requested batches until the parent terminates this process."""
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
    """A picklable copy of an exception, with its traceback as a note."""
    error.add_note("In another process:\n" + "".join(traceback.format_exception(error)))
    try:
        copy: Exception = pickle.loads(pickle.dumps(error))  # noqa: S301 - made here a moment ago
    except Exception:
        return RuntimeError("".join(traceback.format_exception(error)))
    return copy


Needed = Callable[[int, int], int]  # episodes and steps so far -> total number of episodes to play
OnEpisodes = Callable[[int, int], None]  # called with the numbers of finished and of all episodes


class _InProcess:
    """Plays each batch in this process, when its result is requested."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self._begun: deque[tuple[int, int]] = deque()

    def begin(self, first: int, count: int) -> None:
        self._begun.append((first, count))

    def result(self) -> Episodes:
        return self._player.play(*self._begun.popleft())

    def close(self) -> None:
        self._player.close()


def no_progress(done: int, total: int) -> None:
    """Do nothing."""


def with_progress(
    parts: Iterable[Episodes], total: int, on_progress: OnEpisodes
) -> Generator[Episodes, None, None]:
    """Pass batches through, and call ``on_progress`` before the first and after each one."""
    done = 0
    on_progress(done, total)
    for part in parts:
        done = min(done + len(part), total)
        on_progress(done, total)
        yield part


def check_jobs(jobs: int) -> None:
    """Check the number of jobs.

    Raises:
        InputError: if it is below 1.
    """
    if jobs < 1:
        raise InputError(f"Expected at least 1 job, got {jobs}.")


def check_episodes(episodes: int) -> None:
    """Check the number of episodes.

    Raises:
        InputError: unless it is an integer of at least 1.
    """
    if not is_integer(episodes) or episodes < 1:
        raise InputError(f"Expected at least 1 episode, got {episodes}.")


def batches(
    player: Player, size: int, needed: Needed, jobs: int, last: int | None = None
) -> Generator[Episodes, None, None]:
    """Play batches of ``size`` episodes, until there are as many as ``needed`` returns.

    ``needed`` is called again after each batch, and no batch beyond it is started.

    Args:
        player: plays a batch, given its first episode and its size.
        size: episodes in a batch; results may depend on it, so it must not depend on ``jobs``.
        needed: the total number of episodes to play, see ``Needed``.
        jobs: the largest number of processes, of which no more start than batches are expected; where that is
            one, the current process plays them.
        last: episode index at which the last batch is cut off, or None.

    Raises:
        InputError: if ``jobs`` is below 1, or the player cannot be sent to another process.
    """
    check_jobs(jobs)
    begun = played = rows = waiting = 0
    wanted = needed(played, rows)
    jobs = min(jobs, max(-(-wanted // size), 1))  # starting a process takes longer than a small batch
    with closing(_InProcess(player) if jobs == 1 else Workers(player, jobs)) as workers:
        while played < wanted:
            while begun < wanted and waiting <= jobs:
                workers.begin(begun, size if last is None else min(size, last - begun))
                begun, waiting = begun + size, waiting + 1
            part = workers.result()
            played, rows, waiting = played + len(part), rows + part.steps, waiting - 1
            yield part
            wanted = needed(played, rows)
