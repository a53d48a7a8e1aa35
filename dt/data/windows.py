"""Sampler of training windows, gathered by index from flat tensors on the device.

::

    row              0    1    2    3    4  |  5    6  |  …
    start row 3      window of K = 4:  [  ·    ·   s₃   s₄ ]     short at an episode's end: padded
    valid                              [  ✗    ✗    ✓    ✓ ]

As in Chen et al. (2021), an episode is sampled with probability proportional to its length and the start
uniformly within it: every row of an eligible episode is an equally likely start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cartpole_phys.episodes import Episodes
from dt.data.source import Spaces

SMALLEST_STD = 1e-6  # an observation that varies less than this is a constant and is not scaled up


class Batch(NamedTuple):
    """Batch of B windows of K steps; padded steps are masked in attention and loss."""

    observations: Tensor  # (B, K, obs) float32, normalized
    actions: Tensor  # (B, K, act) float32 in [−1, 1] or (B, K) int64
    returns_to_go: Tensor  # (B, K) float32, in units of the return scale
    timesteps: Tensor  # (B, K) int64, steps since the start of the episode
    valid: Tensor  # (B, K) bool, False on padding


@dataclass(frozen=True)
class Normalization:
    """Normalization of observations, returns and actions for model inputs."""

    observation_mean: tuple[float, ...]
    observation_std: tuple[float, ...]
    return_scale: float  # the largest |return-to-go| of the data
    action_center: tuple[float, ...] = ()  # midpoint of the bounds per component; continuous actions only
    action_reach: tuple[float, ...] = ()  # half the distance between the bounds

    @classmethod
    def of(cls, episodes: Episodes, spaces: Spaces) -> Normalization:
        """Compute the normalization of ``episodes`` from the eligible ones and the bounds of actions."""
        episodes = episodes.filter(episodes.eligible)
        observations = episodes.observations.astype(np.float64)
        std = observations.std(axis=0)
        return cls.between(
            tuple(observations.mean(axis=0).tolist()),
            tuple(np.where(std > SMALLEST_STD, std, 1.0).tolist()),
            float(np.abs(episodes.returns_to_go).max()) or 1.0,
            spaces,
        )

    @classmethod
    def between(
        cls, mean: tuple[float, ...], std: tuple[float, ...], return_scale: float, spaces: Spaces
    ) -> Normalization:
        """Create a normalization with given statistics and the action bounds of ``spaces``."""
        ends = list(zip(spaces.action_low, spaces.action_high, strict=True))
        center = tuple((low + high) / 2 for low, high in ends)
        return cls(mean, std, return_scale, center, tuple((high - low) / 2 for low, high in ends))

    def observations(self, raw: Tensor) -> Tensor:
        """Normalize raw observations (…, obs) to mean 0 and standard deviation 1, as float32."""
        mean = torch.tensor(self.observation_mean, dtype=torch.float64, device=raw.device)
        std = torch.tensor(self.observation_std, dtype=torch.float64, device=raw.device)
        return ((raw - mean) / std).float()  # (…, obs)

    def actions(self, raw: Tensor) -> Tensor:
        """Normalize continuous actions (…, act) to [−1, 1] as float32; cast discrete actions to int64."""
        if not self.action_center:
            return raw.long()
        center = raw.new_tensor(self.action_center)
        reach = raw.new_tensor([one or 1.0 for one in self.action_reach])  # 0 for a constant
        return ((raw - center) / reach).float()

    def raw_actions(self, normalized: Tensor) -> Tensor:
        """Invert ``actions``."""
        if not self.action_center:
            return normalized
        return normalized * normalized.new_tensor(self.action_reach) + normalized.new_tensor(
            self.action_center
        )

    def returns(self, raw: Tensor) -> Tensor:
        """Divide raw float64 returns by the return scale, as float32."""
        return (raw / self.return_scale).float()


def eligible_rows(episodes: Episodes) -> Tensor:
    """Row indices (R,) int64 of the eligible episodes, from which all samplers draw."""
    return torch.as_tensor(np.flatnonzero(np.repeat(episodes.eligible, episodes.lengths)))


class Windows:
    """Sampler of windows of a fixed number of steps."""

    def __init__(
        self, episodes: Episodes, normalization: Normalization, context: int, device: torch.device
    ) -> None:
        """Copy ``episodes`` to ``device``, for windows of ``context`` steps."""
        lengths = episodes.lengths
        starts = np.repeat(episodes.offsets[:-1], lengths)  # (E,) -> (N,)
        ends = np.repeat(episodes.offsets[1:], lengths)  # (E,) -> (N,)
        rows = np.arange(episodes.steps)
        observations = normalization.observations(torch.as_tensor(episodes.observations))
        actions = normalization.actions(torch.as_tensor(episodes.actions))
        returns_to_go = normalization.returns(torch.as_tensor(episodes.returns_to_go))[:, None]  # (N, 1)
        numbers = [observations, returns_to_go, *([actions] if actions.is_floating_point() else [])]
        self.widths = [part.shape[1] for part in numbers]
        self.numbers = torch.cat(numbers, dim=1).to(device)  # (N, obs + 1 + act), for a single gather
        self.choices = None if actions.is_floating_point() else actions.to(device)  # (N,)
        self.timesteps = torch.as_tensor(rows - starts).to(device)  # (N,)
        remaining = torch.as_tensor(ends - rows)  # (N,), the row itself included
        self.padding = (context - remaining).clamp(min=0).to(device)  # (N,), of a window that starts there
        self.start_rows = eligible_rows(episodes)  # (R,)
        self.slots = torch.arange(context, device=device)  # (K,)
        self.device = device

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Sample windows that start at uniformly random rows; a CPU ``generator`` makes devices agree."""
        drawn = torch.randint(len(self.start_rows), (batch_size,), generator=generator)  # (B,)
        return self.at(self.start_rows[drawn].to(self.device))

    def at(self, start_rows: Tensor) -> Batch:
        """Gather the windows that start at ``start_rows`` (B,)."""
        step = self.slots - self.padding[start_rows, None]  # (K,) − (B, 1) -> (B, K)
        after = step.clamp(min=0)
        rows = (start_rows[:, None] + after).flatten()  # (B, K) -> (B × K,)
        numbers = self.numbers.index_select(0, rows).unflatten(0, step.shape)  # -> (B, K, obs + 1 + act)
        observations, returns_to_go, *actions = numbers.split(self.widths, dim=2)
        return Batch(
            observations,
            actions[0] if self.choices is None else self.choices[rows].view_as(step),
            returns_to_go[:, :, 0],  # (B, K, 1) -> (B, K)
            self.timesteps[start_rows, None] + after,
            step >= 0,
        )
