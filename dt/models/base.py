"""What all models share: the interface, and the head that turns features into actions and a loss."""

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
        """Where the data are."""
        ...

    def sample(self, batch_size: int, generator: torch.Generator) -> Any:
        """A batch, drawn by a generator of the CPU."""
        ...


class Stream(ABC):
    """A batch of episodes in which a model acts step by step, and keeps what it needs of earlier steps."""

    @abstractmethod
    def act(self, observation: Tensor, return_to_go: Tensor, reward: Tensor, timestep: int) -> Tensor:
        """Actions (B, act) or (B,) for the next step of each episode.

        Args:
            observation: (B, obs), normalised.
            return_to_go: (B,), in units of the return scale.
            reward: (B,) of the step before, as the environment gave it; 0 at the first step.
            timestep: steps since the episodes began.
        """


class Model(nn.Module, ABC):
    """A policy that learns from a data set."""

    window: int  # steps of a training window
    return_conditioned: bool  # whether the return that is wanted changes what it does
    compiles = True  # whether PyTorch can make one graph of its loss

    def prepare(self, episodes: Episodes, normalization: Normalization) -> None:
        """Called once, before training: what it takes from the data besides gradients."""

    def sampler(self, episodes: Episodes, normalization: Normalization, device: torch.device) -> Sampler:
        """What it learns from: windows, unless it says otherwise."""
        return Windows(episodes, normalization, self.window, device)

    @abstractmethod
    def loss(self, batch: Any) -> Tensor:
        """The training loss, a scalar, as the mean over the steps of a batch that are not padding.

        Args:
            batch: from ``sampler``.
        """

    def after_step(self) -> None:
        """Called after each optimisation step."""

    @abstractmethod
    def stream(self, batch_size: int, generator: torch.Generator) -> Stream:
        """Begin to act in ``batch_size`` episodes at once; what is random comes from ``generator``."""


class ActionHead(nn.Module):
    """Actions from features: tanh and squared error, or logits and cross-entropy."""

    def __init__(self, width: int, spaces: Spaces) -> None:
        super().__init__()
        self.continuous = spaces.continuous
        self.linear = nn.Linear(width, spaces.action_size)

    def forward(self, features: Tensor) -> Tensor:
        """Actions in (−1, 1), or logits: (…, width) -> (…, action_size)."""
        out: Tensor = self.linear(features)
        return torch.tanh(out) if self.continuous else out

    def loss(self, features: Tensor, actions: Tensor, valid: Tensor) -> Tensor:
        """Mean error over valid steps: squared, or cross-entropy in nats.

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
        """The action, or the most likely one: (B, width) -> (B, act) or (B,)."""
        out: Tensor = self(features)
        return out if self.continuous else out.argmax(dim=1)
