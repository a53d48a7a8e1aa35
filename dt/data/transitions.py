"""Sampler of single transitions on the device, for value-based methods."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cartpole_phys.episodes import Episodes
from dt.data.windows import Normalization, eligible_rows


class TransitionBatch(NamedTuple):
    """Batch of B transitions."""

    observations: Tensor  # (B, obs) float32, normalized
    actions: Tensor  # (B, act) float32 in [−1, 1] or (B,) int64
    rewards: Tensor  # (B,) float32, scaled
    next_observations: Tensor  # (B, obs) float32, normalized
    terminated: Tensor  # (B,) bool: the next state is terminal


class Transitions:
    """Uniform sampler of the transitions of eligible episodes."""

    def __init__(
        self,
        episodes: Episodes,
        normalization: Normalization,
        device: torch.device,
        return_span: float | None = None,
        action_limit: float = 1.0,
    ) -> None:
        """Copy ``episodes`` to ``device``.

        Args:
            episodes: the data.
            normalization: of observations and actions.
            device: device of the tensors.
            return_span: range of returns after reward scaling, if returns differ; None for no scaling.
            action_limit: magnitude to which normalized continuous actions are clipped.
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
        """Sample transitions uniformly; a CPU ``generator`` makes devices agree."""
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
    """Difference between the highest and lowest return of the eligible episodes."""
    return float(np.ptp(episodes.returns[episodes.eligible]))
