"""What all models share: the interface, and the head that turns features into actions and a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor, nn

from cartpole_phys.episodes import Episodes
from dt.source import Spaces
from dt.windows import Batch, Normalization, Windows


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
    def act(self, observation: Tensor, return_to_go: Tensor, timestep: int) -> Tensor:
        """Actions (B, act) or (B,) for the next step of each episode.

        Args:
            observation: (B, obs), normalised.
            return_to_go: (B,), in units of the return scale.
            timestep: steps since the episodes began.
        """


class Model(nn.Module, ABC):
    """A policy that learns from windows of episodes."""

    window: int  # steps of a training window
    context: int  # steps of history that ``act`` reads
    uses_target: bool  # whether the return that is wanted changes what it does
    compiles = True  # whether PyTorch can make one graph of its loss

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
    def act(self, history: Batch) -> Tensor:
        """Actions (B, act) or (B,) for the last step of ``history``, whose own action is not looked at."""

    def stream(self, batch_size: int) -> Stream | None:
        """Something that acts faster, and exactly as ``act`` does on whole histories; None if nothing can."""
        return None


def no_action(spaces: Spaces, batch_size: int, device: torch.device) -> Tensor:
    """What stands for an action that is yet to be chosen; nothing looks at it."""
    if spaces.continuous:
        return torch.zeros(batch_size, spaces.action_size, device=device)
    return torch.zeros(batch_size, dtype=torch.int64, device=device)


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
