"""What value-based methods share: a policy, critics and their slow copies, in a loss module of TorchRL."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.errors import InputError, require_extra
from dt.data.source import Spaces
from dt.data.transitions import TransitionBatch, Transitions
from dt.data.windows import Batch, Normalization
from dt.models.history import HistoryModel


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


class ValueBased(HistoryModel):
    """A policy, critics and their slow copies, all inside a loss module of TorchRL."""

    window = context = 1
    return_conditioned = compiles = False
    action_limit = 1.0  # to which data actions are clipped; below 1 where a loss takes their log-density
    config: ValueConfig
    updates: Tensor  # int64, optimisation steps done

    def __init__(self, config: ValueConfig, spaces: Spaces) -> None:
        super().__init__()
        if not spaces.continuous:
            raise InputError(
                "Expected continuous actions, which value-based methods here are for; train decision or bc."
            )
        with require_extra("dt"):
            from torchrl.objectives import SoftUpdate, ValueEstimators

        self.config, self.hidden, self.spaces = config, list(config.hidden), spaces
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
        return Transitions(episodes, normalization, device, self.config.return_span, self.action_limit)

    def loss(self, batch: Any) -> Tensor:
        """The sum of the method's losses, each of which has gradients for its own networks only."""
        losses = dict(self.losses(_as_tensordict(batch)).items())
        counted = [loss for name, loss in losses.items() if self.is_active(name)]
        return torch.stack([loss.reshape(()) for loss in counted]).sum()

    def is_active(self, name: str) -> bool:
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
