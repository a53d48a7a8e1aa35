"""What can act: policies in Python that see a batch, and laws that the rollout kernel knows itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from cartpole_phys.memory import FloatArray

Array = npt.NDArray[Any]


class ActionBatch(NamedTuple):
    """Actions of n environments, and what else is to be recorded with them."""

    actions: Array  # (n, act) float32 or (n,) int64
    infos: dict[str, Array]  # each (n, …), for example the log-probabilities of the actions


class Policy(Protocol):
    """Chooses actions for a batch of episodes that run in lockstep from their first step on."""

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        """Forget all earlier episodes; draw whatever is random from ``generator``."""
        ...

    def act(self, observations: npt.NDArray[np.float32], rewards: FloatArray) -> ActionBatch:
        """Actions for observations (n, obs), after the rewards (n,) of the previous step (0 at first)."""
        ...


@dataclass(frozen=True)
class CompiledPolicy:
    """A policy that the rollout kernel runs itself, without a call to Python."""

    rule: int  # one of ``laws.py``
    gains: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)  # on x, ẋ, θ, θ̇; dimensionless output
    swing_up: tuple[float, ...] = ()  # nine numbers, for ENERGY_SHAPING
    noise: float = 0.0  # half-width of the uniform noise on continuous actions, a share of the full force
    log_prob: float | None = None  # of every action, where it is the same for all

    @property
    def law(self) -> FloatArray:
        """Gains and further numbers as the kernel reads them, (4,) or (13,)."""
        return np.array(self.gains + self.swing_up)
