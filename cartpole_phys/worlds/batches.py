"""Episodes batch by batch, in order, from this process or from several."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from types import TracebackType

from cartpole_phys.episodes import Episodes
from cartpole_phys.errors import InputError, is_integer
from cartpole_phys.worlds.workers import Player, Workers

Needed = Callable[[int, int], int]  # episodes it takes in all, from how many there are and their steps
OnEpisodes = Callable[[int, int], None]  # is told how many episodes are finished, and of how many


class _Here:
    """Plays each batch in this process, when its result is asked for."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self._begun: deque[tuple[int, int]] = deque()

    def begin(self, first: int, count: int) -> None:
        self._begun.append((first, count))

    def result(self) -> Episodes:
        return self._player.play(*self._begun.popleft())

    def __enter__(self) -> _Here:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._player.close()


def nobody(done: int, total: int) -> None:
    """Tell nobody."""


def counted(parts: Iterable[Episodes], total: int, told: OnEpisodes) -> Generator[Episodes, None, None]:
    """The same batches, of ``total`` episodes; ``told`` is called before the first and after each."""
    done = 0
    told(done, total)
    for part in parts:
        done = min(done + len(part), total)
        told(done, total)
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
    with _Here(player) if jobs == 1 else Workers(player, jobs) as hands:
        while played < (wanted := needed(played, rows)):
            while begun < wanted and waiting <= jobs:
                hands.begin(begun, size if last is None else min(size, last - begun))
                begun, waiting = begun + size, waiting + 1
            part = hands.result()
            played, rows, waiting = played + len(part), rows + part.steps, waiting - 1
            yield part
