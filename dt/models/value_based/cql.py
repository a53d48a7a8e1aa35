"""Conservative Q-learning (CQL): penalizes Q-values of out-of-distribution actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cartpole_phys.utils.errors import InputError
from dt.models.value_based.base import ValueBased, ValueConfig


@dataclass(frozen=True)
class CQLConfig(ValueConfig):
    """Conservative Q-learning (Kumar et al., 2020); the defaults are the authors' for locomotion."""

    hidden: tuple[int, ...] = (256, 256, 256)
    conservative_weight: float = 5.0  # of the penalty on Q-values of out-of-distribution actions
    sampled_actions: int = 10  # per source in the penalty: uniform, policy at s, policy at s'
    cloning_steps: int = 40_000  # initial gradient steps in which the policy is trained by behavior cloning

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampled_actions < 1 or self.cloning_steps < 0:
            raise InputError(
                "Expected sampled_actions of at least 1 and cloning_steps of at least 0, got "
                f"{self.sampled_actions} and {self.cloning_steps}."
            )


class ConservativeQLearning(ValueBased):
    """CQL: soft actor-critic with a penalty on Q-values of out-of-distribution actions."""

    # The policy is a tanh-squashed normal distribution; atanh is infinite at ±1. Limit as in
    # github.com/young-geng/CQL.
    action_limit = 0.999
    config: CQLConfig

    def actor(self) -> Any:
        """Build a tanh-squashed Gaussian policy."""
        from tensordict.nn import NormalParamExtractor, TensorDictModule
        from torchrl.modules import ProbabilisticActor, TanhNormal

        network = self.network(self.spaces.observation_size, 2 * self.spaces.action_size)
        return ProbabilisticActor(
            TensorDictModule(
                nn.Sequential(network, NormalParamExtractor()), ["observation"], ["loc", "scale"]
            ),
            in_keys=["loc", "scale"],
            distribution_class=TanhNormal,
            return_log_prob=True,
        )

    def loss_module(self, actor: Any) -> Any:
        """Build the losses of policy, two critics, CQL penalty and entropy coefficient."""
        from torchrl.data import Bounded

        from dt.models.value_based.cql_loss import ConservativeLoss

        ends = torch.ones(self.spaces.action_size)
        return ConservativeLoss(
            actor,
            self.critic(),
            loss_function="l2",
            action_spec=Bounded(-ends, ends),
            min_q_weight=self.config.conservative_weight,
            num_random=self.config.sampled_actions,
        )

    def is_active(self, name: str) -> bool:
        """Whether the loss is minimized: behavior cloning first, then the actor loss."""
        cloning = int(self.updates) < self.config.cloning_steps
        return super().is_active(name) and name != ("loss_actor" if cloning else "loss_actor_bc")

    def mean_action(self, observation: Tensor) -> Tensor:
        """Return tanh of the Gaussian mean."""
        return torch.tanh(self._shared["actor"].module[0](observation)[0])
