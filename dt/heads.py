"""What all models share: the interface, and the head that turns features into actions and a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor, nn

from dt.source import Spaces
from dt.windows import Batch


class Model(nn.Module, ABC):
    """A policy that learns from windows of episodes."""

    context: int  # steps of history that it reads
    uses_target: bool  # whether the return that is wanted changes what it does

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """The training loss, a scalar, as the mean over the steps of ``batch`` that are not padding."""

    @abstractmethod
    def act(self, history: Batch) -> Tensor:
        """Actions (B, act) or (B,) for the last step of ``history``, whose own action is not looked at."""


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
