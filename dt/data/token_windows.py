"""The data set as tokens on the device, one a number, and windows of it gathered by index.

::

    a step           s⁰ s¹ … a⁰ … r V      observation, action, reward, discounted return after it
    start row 8      [ step 8  step 9  stop  stop ]      a window of 4 steps; the episode ends with row 9
    counts           [    ✓       ✓      ✓     ✓  ]      what a model is to predict

What comes after a true end is the stop token, again and again, and counts as long as an episode could have
lasted; what comes after a time limit is not known and does not count. Source: Janner et al. (2021) and
github.com/jannerm/trajectory-transformer, ``trajectory/datasets/sequence.py``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.typing import FloatArray, IntArray
from dt.data.discretizer import Discretizer
from dt.data.source import Spaces
from dt.data.windows import Normalization, eligible_rows


class TokenBatch(NamedTuple):
    """B windows of K steps of P tokens each."""

    tokens: Tensor  # (B, K, P) int64
    valid: Tensor  # (B, K) bool: steps that count


def step_numbers(
    episodes: Episodes, normalization: Normalization, discount: float, end_reward: float | None
) -> FloatArray:
    """A step as numbers (N, P): observation, action, reward, and what comes after it.

    Args:
        episodes: N steps.
        normalization: of observations and actions.
        discount: of the reward a step later.
        end_reward: in place of the reward with which an episode truly ends, or None to leave it.
    """
    rewards = episodes.rewards.astype(np.float64)
    if end_reward is not None:
        rewards = np.where(episodes.terminations, end_reward, rewards)
    observations = normalization.observations(torch.as_tensor(episodes.observations)).numpy()
    actions = normalization.actions(torch.as_tensor(episodes.actions)).numpy()
    columns = [observations, actions, rewards, discounted_future_rewards(rewards, episodes.offsets, discount)]
    return np.concatenate(
        [column.reshape(episodes.steps, -1) for column in columns], axis=1, dtype=np.float64
    )


def discounted_future_rewards(rewards: FloatArray, offsets: IntArray, discount: float) -> FloatArray:
    """V = r' + γ r'' + …, the discounted return (N,) of the steps that follow each step in its episode."""
    lengths = np.diff(offsets)
    order = np.argsort(-lengths, kind="stable")  # long episodes first: those that still run are in front
    descending, ends, after = -lengths[order], offsets[1:][order] - 1, np.zeros(len(rewards))
    for back in range(1, int(lengths.max(initial=1))):
        rows = ends[: np.searchsorted(descending, -back)] - back
        after[rows] = rewards[rows + 1] + discount * after[rows + 1]
    return after


class TokenWindows:
    """All rows of a data set as tokens, from which windows of so many steps are drawn.

    Every row of an eligible episode is an equally likely start.
    """

    def __init__(
        self,
        episodes: Episodes,
        numbers: FloatArray,
        discretizer: Discretizer,
        window: int,
        spaces: Spaces,
    ) -> None:
        """Put ``episodes``, as ``numbers`` (N, P), on the discretizer's device."""
        device = discretizer.edges.device
        lengths = episodes.lengths
        rows = np.arange(episodes.steps)
        starts = np.repeat(episodes.offsets[:-1], lengths)  # (E,) -> (N,)
        ends = np.repeat(episodes.offsets[1:], lengths)
        ended = np.repeat(episodes.terminations[episodes.offsets[1:] - 1], lengths)  # whether by a true end
        counted = np.where(ended, starts + spaces.max_episode_steps, ends)
        self.tokens = discretizer.encode(torch.as_tensor(numbers, device=device))  # (N, P)
        self.left = torch.as_tensor(ends - rows, device=device)  # (N,) steps, the row itself included
        self.counted = torch.as_tensor(counted - rows, device=device)  # (N,) steps that count, likewise
        self.slots = torch.arange(window, device=device)  # (K,)
        self.start_rows = eligible_rows(episodes)  # (R,)
        self.stop, self.device = discretizer.bins, device

    def sample(self, batch_size: int, generator: torch.Generator) -> TokenBatch:
        """Windows from rows that ``generator`` (of the CPU, so that devices agree) draws uniformly."""
        drawn = torch.randint(len(self.start_rows), (batch_size,), generator=generator)  # (B,)
        return self.at(self.start_rows[drawn].to(self.device))

    def at(self, start_rows: Tensor) -> TokenBatch:
        """The windows that begin at ``start_rows`` (B,)."""
        there = self.slots < self.left[start_rows, None]  # (K,) < (B, 1) -> (B, K)
        rows = torch.where(there, start_rows[:, None] + self.slots, start_rows[:, None])
        tokens = self.tokens[rows]  # (B, K, P)
        tokens = torch.where(there[:, :, None], tokens, self.stop)
        return TokenBatch(tokens, self.slots < self.counted[start_rows, None])
