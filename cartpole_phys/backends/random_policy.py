"""Uniformly random actions in any action space."""

from __future__ import annotations

import math

import numpy as np
from gymnasium import spaces

from cartpole_phys.rollouts.policy import ActionBatch
from cartpole_phys.spaces import ActionSpace, bounds
from cartpole_phys.utils.typing import Array, FloatArray


class UniformPolicy:
    """A uniformly random policy; its log-densities are recorded, as in D4RL's random data sets."""

    def __init__(self, action_space: ActionSpace) -> None:
        """Act in a space with finite bounds, or with n actions."""
        self.action_space = action_space
        self._generator = np.random.default_rng(0)
        self.log_prob: float  # of every action
        if isinstance(action_space, spaces.Discrete):
            self.log_prob = -math.log(int(action_space.n))
        else:
            low, high = bounds(action_space)
            widths = high.astype(np.float64) - low
            self.log_prob = -float(
                np.log(widths[widths > 0]).sum()
            )  # dimensions of zero width have no density

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        """Draw the coming actions from ``generator``."""
        self._generator = generator

    def act(self, observations: Array, rewards: FloatArray) -> ActionBatch:
        """Actions (n, act) or (n,) for n observations, with their log-densities."""
        n = len(observations)
        log_probs = np.full(n, self.log_prob, np.float32)
        return ActionBatch(self._draw(n), {"action_log_probs": log_probs})

    def _draw(self, n: int) -> Array:
        space = self.action_space
        if isinstance(space, spaces.Discrete):
            return self._generator.integers(space.start, space.start + space.n, n)
        low, high = bounds(space)
        shares = self._generator.random((n, len(low)))
        return (low + shares * (high.astype(np.float64) - low)).astype(np.float32)
