"""Tokenized data set on the device, with windows gathered by index.

::

    one step         s⁰ s¹ … a⁰ … r V      observation, action, reward, discounted future rewards
    start row 8      [ step 8  step 9  stop  stop ]      a window of 4 steps; the episode ends with row 9
    valid            [    ✓       ✓      ✓     ✓  ]      steps that enter the loss

Steps after termination are stop tokens, and valid up to the maximum episode length. Steps after truncation
are unknown, and not valid. Source: Janner et al. (2021) and github.com/jannerm/trajectory-transformer,
``trajectory/datasets/sequence.py``.
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
    """Batch of B windows of K steps of P tokens each."""

    tokens: Tensor  # (B, K, P) int64
    valid: Tensor  # (B, K) bool: steps that enter the loss


def step_numbers(
    episodes: Episodes, normalization: Normalization, discount: float, end_reward: float | None
) -> FloatArray:
    """Return steps as numbers (N, P): observation, action, reward, discounted future rewards.

    Args:
        episodes: N steps.
        normalization: of observations and actions.
        discount: discount factor γ.
        end_reward: replacement for the reward of terminal steps, or None to keep it.
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
    """Return V = r' + γ r'' + … (N,), the discounted sum of rewards after each step in its episode."""
    lengths = np.diff(offsets)
    order = np.argsort(-lengths, kind="stable")  # longest first, so that running episodes are a prefix
    descending, ends, after = -lengths[order], offsets[1:][order] - 1, np.zeros(len(rewards))
    for back in range(1, int(lengths.max(initial=1))):
        rows = ends[: np.searchsorted(descending, -back)] - back
        after[rows] = rewards[rows + 1] + discount * after[rows + 1]
    return after


class TokenWindows:
    """Sampler of token windows of a fixed number of steps.

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
        """Tokenize ``episodes``, given as ``numbers`` (N, P), on the discretizer's device."""
        device = discretizer.edges.device
        lengths = episodes.lengths
        rows = np.arange(episodes.steps)
        starts = np.repeat(episodes.offsets[:-1], lengths)  # (E,) -> (N,)
        ends = np.repeat(episodes.offsets[1:], lengths)
        ended = np.repeat(episodes.terminations[episodes.offsets[1:] - 1], lengths)  # by termination
        counted = np.where(ended, starts + spaces.max_episode_steps, ends)
        self.tokens = discretizer.encode(torch.as_tensor(numbers, device=device))  # (N, P)
        self.left = torch.as_tensor(ends - rows, device=device)  # (N,) steps, the row itself included
        self.counted = torch.as_tensor(counted - rows, device=device)  # (N,) valid steps, likewise
        self.slots = torch.arange(window, device=device)  # (K,)
        self.start_rows = eligible_rows(episodes)  # (R,)
        self.stop, self.device = discretizer.bins, device

    def sample(self, batch_size: int, generator: torch.Generator) -> TokenBatch:
        """Sample windows that start at uniformly random rows; a CPU ``generator`` makes devices agree."""
        drawn = torch.randint(len(self.start_rows), (batch_size,), generator=generator)  # (B,)
        return self.at(self.start_rows[drawn].to(self.device))

    def at(self, start_rows: Tensor) -> TokenBatch:
        """Gather the windows that start at ``start_rows`` (B,)."""
        inside = self.slots < self.left[start_rows, None]  # (K,) < (B, 1) -> (B, K)
        rows = torch.where(inside, start_rows[:, None] + self.slots, start_rows[:, None])
        tokens = self.tokens[rows]  # (B, K, P)
        tokens = torch.where(inside[:, :, None], tokens, self.stop)
        return TokenBatch(tokens, self.slots < self.counted[start_rows, None])
