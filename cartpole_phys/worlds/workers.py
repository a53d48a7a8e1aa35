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
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Protocol

from cartpole_phys.episodes import Episodes
from cartpole_phys.errors import InputError


class Player(Protocol):
    """Plays episodes of one world under one policy."""

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
