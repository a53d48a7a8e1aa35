"""What episodes add up to, and the arrays that a file holds of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass

import numpy as np

from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.typing import Array


@dataclass(frozen=True)
class Summary:
    """What a data set's rows add up to."""

    transitions: int = 0
    episodes: int = 0
    complete_episodes: int = 0  # which were not cut
    return_sum: float = 0.0  # of the complete ones

    @property
    def mean_return(self) -> float | None:
        """Of the complete episodes, if there are any."""
        return self.return_sum / self.complete_episodes if self.complete_episodes else None


def summary_of(episodes: Episodes) -> Summary:
    """What some episodes add up to."""
    returns = episodes.returns[episodes.complete]
    return Summary(episodes.steps, len(episodes), len(returns), float(returns.sum()))


def total(summaries: Iterable[Summary]) -> Summary:
    """The sum of summaries."""
    rows = list(zip(*(astuple(summary) for summary in summaries), strict=True))
    return Summary(*map(sum, rows))


def flat(episodes: Episodes) -> dict[str, Array]:
    """The arrays of some episodes as a file holds them."""
    return {name: np.ascontiguousarray(rows) for name, rows in episodes.as_d4rl().items()}
