"""Base class of value-based methods: policy, critics and target networks in a TorchRL loss module."""

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
    """Hyperparameters shared by value-based methods.

    Raises:
        InputError: if a value is out of range.
    """

    hidden: tuple[int, ...] = (256, 256)  # units of each hidden layer of every network
    discount: float = 0.99  # γ
    target_update: float = 0.005  # Polyak coefficient τ of the target networks
    return_span: float | None = None  # range of the data's returns after reward scaling; None: no scaling

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
    """Policy, critics and target networks, all inside a TorchRL loss module."""

    window = context = 1
    return_conditioned = compiles = False
    action_limit = 1.0  # magnitude to which data actions are clipped; < 1 if a loss uses their log-density
    config: ValueConfig
    updates: Tensor  # int64, completed gradient steps

    def __init__(self, config: ValueConfig, spaces: Spaces) -> None:
        super().__init__()
        if not spaces.continuous:
            raise InputError(
                "Expected continuous actions for a value-based method, got discrete; train decision or bc."
            )
        with require_extra("dt"):
            from torchrl.objectives import SoftUpdate, ValueEstimators

        self.config, self.hidden, self.spaces = config, list(config.hidden), spaces
        actor = self.actor()
        self.losses = self.loss_module(actor)
        self.losses.make_value_estimator(ValueEstimators.TD0, gamma=config.discount)
        # In a dict, so that they are not registered as submodules: ``losses`` holds their parameters.
        self._shared = {"actor": actor, "updater": SoftUpdate(self.losses, tau=config.target_update)}
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @abstractmethod
    def actor(self) -> Any:
        """Build the policy as a TorchRL module with output ``loc`` or ``action``."""

    @abstractmethod
    def loss_module(self, actor: Any) -> Any:
        """Build the TorchRL loss module of the method."""

    def network(self, inputs: int, outputs: int) -> nn.Module:
        """Build a multilayer perceptron."""
        from torchrl.modules import MLP

        return MLP(in_features=inputs, out_features=outputs, num_cells=self.hidden, activation_class=nn.ReLU)

    def critic(self) -> Any:
        """Build a critic Q(s, a)."""
        from torchrl.modules import ValueOperator

        inputs = self.spaces.observation_size + self.spaces.action_size
        return ValueOperator(self.network(inputs, 1), in_keys=["observation", "action"])

    def sampler(self, episodes: Episodes, normalization: Normalization, device: torch.device) -> Transitions:
        """Return a sampler of single transitions."""
        return Transitions(episodes, normalization, device, self.config.return_span, self.action_limit)

    def loss(self, batch: Any) -> Tensor:
        """Compute the sum of the method's losses, each with gradients for its own networks only."""
        losses = dict(self.losses(_as_tensordict(batch)).items())
        counted = [loss for name, loss in losses.items() if self.is_active(name)]
        return torch.stack([loss.reshape(()) for loss in counted]).sum()

    def is_active(self, name: str) -> bool:
        """Whether the loss ``name`` is minimized at this step."""
        return name.startswith("loss_")

    def after_step(self) -> None:
        """Update the target networks."""
        self._shared["updater"].step()
        self.updates += 1

    def act(self, history: Batch) -> Tensor:
        """Return the mean action for the last step."""
        observation = history.observations[:, -1]  # (B, K, obs) -> (B, obs)
        return self.mean_action(observation).clamp(-1.0, 1.0)

    @abstractmethod
    def mean_action(self, observation: Tensor) -> Tensor:
        """Return the policy's deterministic action for observations (B, obs)."""


def _as_tensordict(batch: TransitionBatch) -> Any:
    """Convert transitions to TorchRL's names; ``done`` excludes truncation, where values bootstrap."""
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
