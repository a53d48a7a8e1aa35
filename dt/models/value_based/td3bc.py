"""TD3+BC: TD3 with a behavior-cloning term in the policy loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dt.models.value_based.base import ValueBased, ValueConfig


@dataclass(frozen=True)
class TD3BCConfig(ValueConfig):
    """TD3+BC (Fujimoto and Gu, 2021); the defaults are the authors'."""

    value_weight: float = 2.5  # α, weight of the Q-value relative to the cloning error
    policy_noise: float = 0.2  # standard deviation of the target policy's noise
    noise_clip: float = 0.5
    actor_every: int = 2  # gradient steps per update of policy and target networks


class TwinDelayedCloning(ValueBased):
    """TD3+BC: deterministic policy that maximizes Q minus a behavior-cloning error."""

    config: TD3BCConfig

    def actor(self) -> Any:
        """Build a deterministic policy with tanh output."""
        from tensordict.nn import TensorDictModule

        network = self.network(self.spaces.observation_size, self.spaces.action_size)
        return TensorDictModule(nn.Sequential(network, nn.Tanh()), ["observation"], ["action"])

    def loss_module(self, actor: Any) -> Any:
        """Build the losses of policy and two critics."""
        from torchrl.objectives import TD3BCLoss

        return TD3BCLoss(
            actor,
            self.critic(),
            bounds=(-1.0, 1.0),
            loss_function="l2",
            policy_noise=self.config.policy_noise,
            noise_clip=self.config.noise_clip,
            alpha=self.config.value_weight,
        )

    @property
    def _is_delayed(self) -> bool:
        """Whether only the critics are updated at this step."""
        return int(self.updates) % self.config.actor_every != 0

    def is_active(self, name: str) -> bool:
        """Whether the loss is minimized: the policy loss is delayed."""
        return super().is_active(name) and not (name == "loss_actor" and self._is_delayed)

    def after_step(self) -> None:
        """Update the target networks whenever the policy is updated."""
        if self._is_delayed:
            self.updates += 1
        else:
            super().after_step()

    def mean_action(self, observation: Tensor) -> Tensor:
        """Return the policy's action."""
        return torch.as_tensor(self._shared["actor"].module(observation))
