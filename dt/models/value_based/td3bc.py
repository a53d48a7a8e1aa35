"""TD3 with behaviour cloning: a policy of high value and small cloning error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dt.models.value_based.base import ValueBased, ValueConfig


@dataclass(frozen=True)
class TD3BCConfig(ValueConfig):
    """TD3 with behaviour cloning (Fujimoto and Gu, 2021), the defaults as theirs."""

    value_weight: float = 2.5  # α: of the value beside the cloning error
    policy_noise: float = 0.2  # of the action whose value is the target
    noise_clip: float = 0.5
    actor_every: int = 2  # steps


class TwinDelayedCloning(ValueBased):
    """TD3+BC: a deterministic policy of high value and small cloning error."""

    config: TD3BCConfig

    def actor(self) -> Any:
        """Tanh of the network."""
        from tensordict.nn import TensorDictModule

        network = self.network(self.spaces.observation_size, self.spaces.action_size)
        return TensorDictModule(nn.Sequential(network, nn.Tanh()), ["observation"], ["action"])

    def loss_module(self, actor: Any) -> Any:
        """The losses of policy and two critics."""
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
        """Whether policy and slow copies leave this step to the critics."""
        return int(self.updates) % self.config.actor_every != 0

    def is_active(self, name: str) -> bool:
        """The policy waits for the critics."""
        return super().is_active(name) and not (name == "loss_actor" and self._is_delayed)

    def after_step(self) -> None:
        """Let the slow copies follow whenever the policy moves."""
        if self._is_delayed:
            self.updates += 1
        else:
            super().after_step()

    def mean_action(self, observation: Tensor) -> Tensor:
        """The action."""
        return torch.as_tensor(self._shared["actor"].module(observation))
