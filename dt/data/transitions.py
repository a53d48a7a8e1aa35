"""The data set as single transitions on the device, drawn at random: what value-based methods learn from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cartpole_phys.episodes import Episodes
from dt.data.windows import Normalization, eligible_rows


class TransitionBatch(NamedTuple):
    """B transitions."""

    observations: Tensor  # (B, obs) float32, normalised
    actions: Tensor  # (B, act) float32 in [−1, 1] or (B,) int64
    rewards: Tensor  # (B,) float32, scaled
    next_observations: Tensor  # (B, obs) float32, normalised
    terminated: Tensor  # (B,) bool: there is nothing to come


class Transitions:
    """All rows of a data set; those of eligible episodes are drawn uniformly."""

    def __init__(
        self,
        episodes: Episodes,
        normalization: Normalization,
        device: torch.device,
        return_span: float | None = None,
        action_limit: float = 1.0,
    ) -> None:
        """Put ``episodes`` on ``device``.

        Args:
            episodes: the data.
            normalization: of observations and actions.
            device: where the data go.
            return_span: of the returns after rewards are scaled, where returns differ; None: not scaled.
            action_limit: to which the magnitude of normalized continuous actions is clipped.
        """
        span = _span(episodes)
        scale = return_span / span if return_span and span else 1.0
        self.observations = normalization.observations(torch.as_tensor(episodes.observations)).to(device)
        actions = normalization.actions(torch.as_tensor(episodes.actions)).to(device)
        bounded = actions.is_floating_point()
        self.actions = actions.clamp(-action_limit, action_limit) if bounded else actions
        self.rewards = torch.as_tensor(episodes.rewards * np.float32(scale)).to(device)
        following = normalization.observations(torch.as_tensor(episodes.next_observations))
        self.next_observations = following.to(device)
        self.terminated = torch.as_tensor(episodes.terminations).to(device)
        self.start_rows = eligible_rows(episodes)  # (R,)
        self.device = device

    def sample(self, batch_size: int, generator: torch.Generator) -> TransitionBatch:
        """Rows that ``generator`` (of the CPU, so that devices agree) draws uniformly."""
        drawn = torch.randint(len(self.start_rows), (batch_size,), generator=generator)  # (B,)
        rows = self.start_rows[drawn].to(self.device)
        return TransitionBatch(
            self.observations[rows],  # (N, obs) -> (B, obs)
            self.actions[rows],
            self.rewards[rows],
            self.next_observations[rows],
            self.terminated[rows],
        )


def _span(episodes: Episodes) -> float:
    """From the worst to the best return of the eligible episodes."""
    return float(np.ptp(episodes.returns[episodes.eligible]))
