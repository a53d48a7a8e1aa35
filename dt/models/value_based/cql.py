"""Conservative Q-learning: values of actions that are not in the data are pushed down."""

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
    conservative_weight: float = 5.0  # of the penalty on values of actions that are not in the data
    sampled_actions: int = 10  # of each kind, random, of now and of next, that the penalty sums over
    cloning_steps: int = 40_000  # at the beginning, in which the policy clones the data's actions

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampled_actions < 1 or self.cloning_steps < 0:
            raise InputError(
                "Expected at least 1 of sampled_actions and 0 of cloning_steps, got "
                f"{self.sampled_actions} and {self.cloning_steps}."
            )


class ConservativeQLearning(ValueBased):
    """CQL: soft actor-critic whose values of actions that are not in the data are pushed down."""

    # The policy is a normal distribution through tanh, whose inverse is infinite at ±1. As in
    # github.com/young-geng/CQL.
    action_limit = 0.999
    config: CQLConfig

    def actor(self) -> Any:
        """A normal distribution through tanh."""
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
        """The losses of policy, two critics, their penalty and the entropy's weight."""
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
        """The policy clones at first, and does what has value afterwards."""
        cloning = int(self.updates) < self.config.cloning_steps
        return super().is_active(name) and name != ("loss_actor" if cloning else "loss_actor_bc")

    def mean_action(self, observation: Tensor) -> Tensor:
        """Tanh of the middle of the distribution."""
        return torch.tanh(self._shared["actor"].module[0](observation)[0])
