"""Behavior cloning with a multilayer perceptron on the current observation."""

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
    """Network shape of behavior cloning.

    Raises:
        InputError: if there is no hidden layer or one without units.
    """

    hidden: tuple[int, ...] = (256, 256)  # units of each hidden layer

    def __post_init__(self) -> None:
        if min(self.hidden, default=0) < 1:
            raise InputError(f"Expected hidden layers of at least 1 unit, got {self.hidden}.")


class BehaviorCloning(HistoryModel):
    """Behavior cloning (BC): a multilayer perceptron without history or target return."""

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
        """Compute the mean error of the predicted actions over valid steps."""
        return self.head.loss(self.body(batch.observations), batch.actions, batch.valid)

    def act(self, history: Batch) -> Tensor:
        """Return the action for the last step."""
        return self.head.decide(self.body(history.observations[:, -1]))  # (B, K, obs) -> (B, obs)
