"""Models that act on a window of history, which is recomputed at each step."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque

import torch
from torch import Tensor

from dt.data.source import Spaces
from dt.data.windows import Batch
from dt.models.base import Model, Stream


class HistoryModel(Model):
    """Model that acts on the last ``context`` steps."""

    context: int  # steps of history that ``act`` reads
    spaces: Spaces

    @abstractmethod
    def act(self, history: Batch) -> Tensor:
        """Return actions (B, act) or (B,) for the last step of ``history``, whose action is ignored."""

    def with_predicted_return(self, history: Batch) -> Batch:
        """Replace the last return-to-go by the model's prediction, if any; by default keep it."""
        return history

    def stream(self, batch_size: int, generator: torch.Generator) -> Stream:
        """Start deterministic inference on whole histories."""
        return History(self, self.spaces, batch_size)


class History(Stream):
    """Inference on the last ``context`` steps of each episode, recomputed at each step."""

    def __init__(self, model: HistoryModel, spaces: Spaces, batch_size: int) -> None:
        """Start ``batch_size`` parallel episodes."""
        self._model, self._device = model, next(model.parameters()).device
        self._no_action = placeholder_action(spaces, batch_size, self._device)
        # each holds at most the last ``context`` steps, as (B, …)
        self._observations: deque[Tensor] = deque(maxlen=model.context)
        self._returns_to_go: deque[Tensor] = deque(maxlen=model.context)
        self._actions: deque[Tensor] = deque(maxlen=model.context)

    def act(self, observation: Tensor, return_to_go: Tensor, reward: Tensor, timestep: int) -> Tensor:
        """Return actions for the next step of each episode."""
        self._observations.append(observation)
        self._returns_to_go.append(return_to_go)
        self._actions.append(self._no_action)
        actions = self._act(timestep)
        self._actions[-1] = actions
        return actions

    def _act(self, timestep: int) -> Tensor:
        return self._model.act(self._batch(timestep))

    def _batch(self, timestep: int) -> Batch:
        batch_size, steps = len(self._no_action), len(self._observations)
        timesteps = torch.arange(timestep - steps + 1, timestep + 1, device=self._device)
        return Batch(
            torch.stack(tuple(self._observations), dim=1),  # K × (B, obs) -> (B, K, obs)
            torch.stack(tuple(self._actions), dim=1),  # K × (B, …) -> (B, K, …)
            torch.stack(tuple(self._returns_to_go), dim=1),  # K × (B,) -> (B, K)
            timesteps.expand(batch_size, steps),  # (K,) -> (B, K)
            torch.ones(batch_size, steps, dtype=torch.bool, device=self._device),
        )


def placeholder_action(spaces: Spaces, batch_size: int, device: torch.device) -> Tensor:
    """Placeholder for an action not yet chosen, masked out by every model."""
    if spaces.continuous:
        return torch.zeros(batch_size, spaces.action_size, device=device)
    return torch.zeros(batch_size, dtype=torch.int64, device=device)
