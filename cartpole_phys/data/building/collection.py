"""Exactly so many transitions of one behaviour, as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial

from cartpole_phys.episodes import Episodes
from cartpole_phys.worlds.sources import PolicySource
from cartpole_phys.worlds.world import World


def collect(world: World, source: PolicySource, steps: int, seed: int, jobs: int) -> Iterator[Episodes]:
    """Exactly ``steps`` transitions, batch after batch; the last episode is cut where it does not fit.

    The rows depend on neither ``jobs`` nor where one batch ends and the next begins.
    """
    rows, wanted = 0, partial(episodes_for, steps, world.max_episode_steps)
    with closing(world.stream(source, seed, wanted, jobs)) as batches:
        for batch in batches:
            part = batch.head(steps - rows)
            rows += part.steps
            yield part
            if rows == steps:
                return


def episodes_for(steps: int, max_episode_steps: int, played: int, rows: int) -> int:
    """How many episodes so many steps will take, seen that the first ``played`` took ``rows``.

    At first it is the fewest that can do.
    """
    return -(-steps * played // rows) if rows else -(-steps // max_episode_steps)
