"""Summaries of episodes, and the arrays of episodes in the layout of a file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass

import numpy as np

from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.typing import Array


@dataclass(frozen=True)
class Summary:
    """Counts of a data set's rows and episodes, and the sum of returns."""

    transitions: int = 0
    episodes: int = 0
    complete_episodes: int = 0  # not cut by the end of collection
    return_sum: float = 0.0  # of the complete episodes

    @property
    def mean_return(self) -> float | None:
        """Mean return of the complete episodes; None if there are none."""
        return self.return_sum / self.complete_episodes if self.complete_episodes else None


def summary_of(episodes: Episodes) -> Summary:
    """Summarize episodes."""
    returns = episodes.returns[episodes.complete]
    return Summary(episodes.steps, len(episodes), len(returns), float(returns.sum()))


def total(summaries: Iterable[Summary]) -> Summary:
    """Add summaries."""
    rows = list(zip(*(astuple(summary) for summary in summaries), strict=True))
    return Summary(*map(sum, rows))


def d4rl_arrays(episodes: Episodes) -> dict[str, Array]:
    """The arrays of episodes by D4RL's names, contiguous as in a file."""
    return {name: np.ascontiguousarray(rows) for name, rows in episodes.as_d4rl().items()}
