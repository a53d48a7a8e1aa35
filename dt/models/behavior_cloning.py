"""Behavior cloning: the action as a function of the current observation alone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from cartpole_phys.utils.errors import InputError
from dt.data.source import Spaces
from dt.data.windows import Batch
from dt.models.base import ActionHead
from dt.models.history import HistoryModel


@dataclass(frozen=True)
class CloningConfig:
    """Shape of the network.

    Raises:
        InputError: if there is no layer, or one of no units.
    """

    hidden: tuple[int, ...] = (256, 256)  # units of each hidden layer

    def __post_init__(self) -> None:
        if min(self.hidden, default=0) < 1:
            raise InputError(f"Expected hidden layers of at least 1 unit, got {self.hidden}.")


class BehaviorCloning(HistoryModel):
    """A multilayer perceptron; it knows neither the history nor the return that is wanted."""

    window = context = 1
    return_conditioned = False

    def __init__(self, config: CloningConfig, spaces: Spaces) -> None:
        super().__init__()
        self.spaces = spaces
        sizes = (spaces.observation_size, *config.hidden)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = ActionHead(sizes[-1], spaces)

    def loss(self, batch: Batch) -> Tensor:
        """Mean error of the predicted actions over the steps that are not padding."""
        return self.head.loss(self.body(batch.observations), batch.actions, batch.valid)

    def act(self, history: Batch) -> Tensor:
        """The action for the last step."""
        return self.head.decide(self.body(history.observations[:, -1]))  # (B, K, obs) -> (B, obs)
