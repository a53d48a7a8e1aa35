"""Interface of all models, and the action head with its loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor, nn

from cartpole_phys.episodes import Episodes
from dt.data.source import Spaces
from dt.data.windows import Normalization, Windows


class Sampler(Protocol):
    """Draws batches from a data set."""

    @property
    def device(self) -> torch.device:
        """Device of the data."""

    def sample(self, batch_size: int, generator: torch.Generator) -> Any:
        """Sample a batch with a CPU ``generator``."""


class Stream(ABC):
    """Step-by-step inference for a batch of episodes, with the state of earlier steps."""

    @abstractmethod
    def act(self, observation: Tensor, return_to_go: Tensor, reward: Tensor, timestep: int) -> Tensor:
        """Return actions (B, act) or (B,) for the next step of each episode.

        Args:
            observation: (B, obs), normalized.
            return_to_go: (B,), in units of the return scale.
            reward: (B,) unscaled reward of the previous step; 0 at the first step.
            timestep: steps since the start of the episodes.
        """


class Model(nn.Module, ABC):
    """Policy trained on an offline data set."""

    window: int  # steps per training window
    return_conditioned: bool  # whether actions depend on a target return
    compiles = True  # whether torch.compile supports the loss as one graph

    def prepare(self, episodes: Episodes, normalization: Normalization) -> None:
        """Fit statistics and bins to the data, once before training; nothing by default."""

    def sampler(self, episodes: Episodes, normalization: Normalization, device: torch.device) -> Sampler:
        """Return the sampler of training batches: by default, of windows."""
        return Windows(episodes, normalization, self.window, device)

    @abstractmethod
    def loss(self, batch: Any) -> Tensor:
        """Compute the training loss, a scalar mean over the valid steps of a batch.

        Args:
            batch: from ``sampler``.
        """

    def after_step(self) -> None:
        """Update the model after each gradient step, such as target networks; nothing by default."""

    @abstractmethod
    def stream(self, batch_size: int, generator: torch.Generator) -> Stream:
        """Start inference for ``batch_size`` parallel episodes; stochastic models use ``generator``."""


class ActionHead(nn.Module):
    """Action prediction from features: tanh with squared error, or logits with cross-entropy."""

    def __init__(self, width: int, spaces: Spaces) -> None:
        super().__init__()
        self.continuous = spaces.continuous
        self.linear = nn.Linear(width, spaces.action_size)

    def forward(self, features: Tensor) -> Tensor:
        """Predict actions in (−1, 1), or logits: (…, width) -> (…, action_size)."""
        out: Tensor = self.linear(features)
        return torch.tanh(out) if self.continuous else out

    def loss(self, features: Tensor, actions: Tensor, valid: Tensor) -> Tensor:
        """Compute the mean error over valid steps: squared, or cross-entropy in nats.

        Args:
            features: (B, K, width).
            actions: (B, K, act) float32 or (B, K) int64.
            valid: (B, K) bool.
        """
        predicted = self(features).float()
        if self.continuous:
            errors = (predicted - actions).square().mean(dim=2)  # (B, K, act) -> (B, K)
        else:
            errors = F.cross_entropy(
                predicted.transpose(1, 2), actions, reduction="none"
            )  # (B, A, K) -> (B, K)
        return torch.where(valid, errors, 0.0).sum() / valid.sum()

    def decide(self, features: Tensor) -> Tensor:
        """Return the predicted or most likely action: (B, width) -> (B, act) or (B,)."""
        out: Tensor = self(features)
        return out if self.continuous else out.argmax(dim=1)
