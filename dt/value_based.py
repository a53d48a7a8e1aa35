"""Value-based methods, by TorchRL's loss modules: IQL, CQL and TD3+BC, for continuous actions."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cartpole_phys.episodes import Episodes
from cartpole_phys.errors import InputError
from dt.acting.history import HistoryModel
from dt.data.source import Spaces
from dt.data.transitions import TransitionBatch, Transitions
from dt.data.windows import Batch, Normalization

LOWEST_LOG_STD, HIGHEST_LOG_STD = -20.0, 2.0


@dataclass(frozen=True)
class ValueConfig:
    """What the methods share.

    Raises:
        InputError: if a value is not possible.
    """

    hidden: tuple[int, ...] = (256, 256)  # units of each hidden layer of every network
    discount: float = 0.99  # of the reward a step later
    target_update: float = 0.005  # share of the networks that the slow copies of them take over at a time
    return_span: float | None = None  # of the data's returns, to which rewards are scaled; None: as they are

    def __post_init__(self) -> None:
        if min(self.hidden, default=0) < 1:
            raise InputError(f"Expected hidden layers of at least 1 unit, got {self.hidden}.")
        if not 0.0 <= self.discount < 1.0 or not 0.0 < self.target_update <= 1.0:
            raise InputError(
                f"Expected 0 <= discount < 1 and 0 < target_update <= 1, got {self.discount} and "
                f"{self.target_update}."
            )
        if self.return_span is not None and self.return_span <= 0.0:
            raise InputError(f"Expected a return_span above 0, got {self.return_span}.")


@dataclass(frozen=True)
class IQLConfig(ValueConfig):
    """Implicit Q-learning (Kostrikov et al., 2022); the defaults are the authors' for locomotion."""

    expectile: float = 0.7  # of the values of the data's actions that stands for the best of them
    temperature: float = 3.0  # how much more an action counts that is better than expected
    return_span: float | None = 1_000.0


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


@dataclass(frozen=True)
class TD3BCConfig(ValueConfig):
    """TD3 with behaviour cloning (Fujimoto and Gu, 2021), the defaults as theirs."""

    value_weight: float = 2.5  # α: of the value beside the cloning error
    policy_noise: float = 0.2  # of the action whose value is the target
    noise_clip: float = 0.5
    actor_every: int = 2  # steps


class ValueBased(HistoryModel):
    """A policy, critics and their slow copies, all inside a loss module of TorchRL."""

    window = context = 1
    uses_target = compiles = False
    config: ValueConfig
    updates: Tensor  # int64, optimisation steps done

    def __init__(self, config: ValueConfig, spaces: Spaces) -> None:
        super().__init__()
        if not spaces.continuous:
            raise InputError(
                "Expected continuous actions, which value-based methods here are for; train decision or bc."
            )
        from torchrl.objectives import SoftUpdate, ValueEstimators

        self.hidden, self.spaces = list(config.hidden), spaces
        actor = self.actor()
        self.losses = self.loss_module(actor)
        self.losses.make_value_estimator(ValueEstimators.TD0, gamma=config.discount)
        # Not modules of this one: the parameters are those of ``losses``.
        self._shared = {"actor": actor, "updater": SoftUpdate(self.losses, tau=config.target_update)}
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @abstractmethod
    def actor(self) -> Any:
        """The policy as TorchRL has it; ``loc`` or ``action`` is what it does."""

    @abstractmethod
    def loss_module(self, actor: Any) -> Any:
        """The method's losses."""

    def network(self, inputs: int, outputs: int) -> nn.Module:
        """A multilayer perceptron."""
        from torchrl.modules import MLP

        return MLP(in_features=inputs, out_features=outputs, num_cells=self.hidden, activation_class=nn.ReLU)

    def critic(self) -> Any:
        """Q(s, a)."""
        from torchrl.modules import ValueOperator

        inputs = self.spaces.observation_size + self.spaces.action_size
        return ValueOperator(self.network(inputs, 1), in_keys=["observation", "action"])

    def sampler(self, episodes: Episodes, normalization: Normalization, device: torch.device) -> Transitions:
        """Single transitions."""
        return Transitions(episodes, normalization, device, self.config.return_span)

    def loss(self, batch: Any) -> Tensor:
        """The sum of the method's losses, each of which has gradients for its own networks only."""
        losses = dict(self.losses(_as_tensordict(batch)).items())
        counted = [loss for name, loss in losses.items() if self.counts(name)]
        return torch.stack([loss.reshape(()) for loss in counted]).sum()

    def counts(self, name: str) -> bool:
        """Whether a loss of this name is minimised at this step."""
        return name.startswith("loss_")

    def after_step(self) -> None:
        """Let the slow copies follow."""
        self._shared["updater"].step()
        self.updates += 1

    def act(self, history: Batch) -> Tensor:
        """The mean action for the last step."""
        observation = history.observations[:, -1]  # (B, K, obs) -> (B, obs)
        return self.mean_action(observation).clamp(-1.0, 1.0)

    @abstractmethod
    def mean_action(self, observation: Tensor) -> Tensor:
        """What the policy does for observations (B, obs), without chance."""


class ImplicitQLearning(ValueBased):
    """IQL: values of actions in the data only, and the policy by weighted cloning."""

    config: IQLConfig

    def __init__(self, config: IQLConfig, spaces: Spaces) -> None:
        self.config = config
        super().__init__(config, spaces)

    def actor(self) -> Any:
        """A normal distribution around tanh of the network, of a width that is the same everywhere."""
        from tensordict.nn import TensorDictModule
        from torchrl.modules import IndependentNormal, ProbabilisticActor

        module = _Gaussian(self.network(self.spaces.observation_size, self.spaces.action_size), self.spaces)
        return ProbabilisticActor(
            TensorDictModule(module, ["observation"], ["loc", "scale"]),
            in_keys=["loc", "scale"],
            distribution_class=IndependentNormal,
        )

    def loss_module(self, actor: Any) -> Any:
        """The losses of policy, value and two critics."""
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
        """The middle of the distribution."""
        return torch.as_tensor(self._shared["actor"].module[0](observation)[0])


class _Gaussian(nn.Module):
    """Mean and standard deviation of actions."""

    def __init__(self, network: nn.Module, spaces: Spaces) -> None:
        super().__init__()
        self.network, self.log_std = network, nn.Parameter(torch.zeros(spaces.action_size))

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        mean = torch.tanh(self.network(observation))
        std = self.log_std.clamp(LOWEST_LOG_STD, HIGHEST_LOG_STD).exp()
        return mean, std.expand_as(mean)  # (act,) -> (B, act)


class ConservativeQLearning(ValueBased):
    """CQL: soft actor-critic whose values of actions that are not in the data are pushed down."""

    config: CQLConfig

    def __init__(self, config: CQLConfig, spaces: Spaces) -> None:
        self.config = config
        super().__init__(config, spaces)

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

        from dt.conservative_loss import ConservativeLoss

        ends = torch.ones(self.spaces.action_size)
        return ConservativeLoss(
            actor,
            self.critic(),
            loss_function="l2",
            action_spec=Bounded(-ends, ends),
            min_q_weight=self.config.conservative_weight,
            num_random=self.config.sampled_actions,
        )

    def counts(self, name: str) -> bool:
        """The policy clones at first, and does what has value afterwards."""
        cloning = int(self.updates) < self.config.cloning_steps
        return super().counts(name) and name != ("loss_actor" if cloning else "loss_actor_bc")

    def mean_action(self, observation: Tensor) -> Tensor:
        """Tanh of the middle of the distribution."""
        return torch.tanh(self._shared["actor"].module[0](observation)[0])


class TwinDelayedCloning(ValueBased):
    """TD3+BC: a deterministic policy of high value and small cloning error."""

    config: TD3BCConfig

    def __init__(self, config: TD3BCConfig, spaces: Spaces) -> None:
        self.config = config
        super().__init__(config, spaces)

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
    def _waits(self) -> bool:
        """Whether policy and slow copies leave this step to the critics."""
        return int(self.updates) % self.config.actor_every != 0

    def counts(self, name: str) -> bool:
        """The policy waits for the critics."""
        return super().counts(name) and not (name == "loss_actor" and self._waits)

    def after_step(self) -> None:
        """Let the slow copies follow whenever the policy moves."""
        if self._waits:
            self.updates += 1
        else:
            super().after_step()

    def mean_action(self, observation: Tensor) -> Tensor:
        """The action."""
        return torch.as_tensor(self._shared["actor"].module(observation))


def _as_tensordict(batch: TransitionBatch) -> Any:
    """Transitions under TorchRL's names; episodes that time ended go on, so only true ends are told."""
    from tensordict import TensorDict

    ends = batch.terminated[:, None]  # (B,) -> (B, 1)
    following = {
        "observation": batch.next_observations,
        "reward": batch.rewards[:, None],
        "done": ends,
        "terminated": ends,
    }
    return TensorDict(
        {"observation": batch.observations, "action": batch.actions, "next": following}, [len(batch.rewards)]
    )
