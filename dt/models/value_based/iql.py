"""Implicit Q-learning (IQL): expectile values of data actions, advantage-weighted behavior cloning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dt.data.source import Spaces
from dt.models.value_based.base import ValueBased, ValueConfig

LOWEST_LOG_STD, HIGHEST_LOG_STD = -20.0, 2.0


@dataclass(frozen=True)
class IQLConfig(ValueConfig):
    """Implicit Q-learning (Kostrikov et al., 2022); the defaults are the authors' for locomotion."""

    expectile: float = 0.7  # τ of the value function
    temperature: float = 3.0  # β, inverse temperature of the advantage weights exp(β A)
    return_span: float | None = 1_000.0


class ImplicitQLearning(ValueBased):
    """IQL: expectile regression on values of data actions, and advantage-weighted behavior cloning."""

    action_limit = 1.0 - 1e-5  # as in github.com/ikostrikov/implicit_q_learning
    config: IQLConfig

    def actor(self) -> Any:
        """Build a Gaussian policy with tanh mean and state-independent standard deviation."""
        from tensordict.nn import TensorDictModule
        from torchrl.modules import IndependentNormal, ProbabilisticActor

        module = _Gaussian(self.network(self.spaces.observation_size, self.spaces.action_size), self.spaces)
        return ProbabilisticActor(
            TensorDictModule(module, ["observation"], ["loc", "scale"]),
            in_keys=["loc", "scale"],
            distribution_class=IndependentNormal,
        )

    def loss_module(self, actor: Any) -> Any:
        """Build the losses of policy, value function and two critics."""
        from torchrl.modules import ValueOperator
        from torchrl.objectives import IQLLoss

        value = ValueOperator(self.network(self.spaces.observation_size, 1), in_keys=["observation"])
        return IQLLoss(
            actor,
            self.critic(),
            value,
            loss_function="l2",
            expectile=self.config.expectile,
            temperature=self.config.temperature,
        )

    def mean_action(self, observation: Tensor) -> Tensor:
        """Return the Gaussian mean."""
        return torch.as_tensor(self._shared["actor"].module[0](observation)[0])


class _Gaussian(nn.Module):
    """Mean and standard deviation of a Gaussian policy."""

    def __init__(self, network: nn.Module, spaces: Spaces) -> None:
        super().__init__()
        self.network, self.log_std = network, nn.Parameter(torch.zeros(spaces.action_size))

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        mean = torch.tanh(self.network(observation))
        std = self.log_std.clamp(LOWEST_LOG_STD, HIGHEST_LOG_STD).exp()
        return mean, std.expand_as(mean)  # (act,) -> (B, act)
