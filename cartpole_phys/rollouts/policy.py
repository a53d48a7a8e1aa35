"""Policy interfaces: Python policies that act on batches, and compiled policies that run in kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from cartpole_phys.batch import Columns
from cartpole_phys.kernels.control_laws import BERNOULLI, NETWORK, bernoulli_log_probs, choose_all
from cartpole_phys.kernels.mlp import CATEGORICAL, Network, infos_of
from cartpole_phys.kernels.policy_call import act_columns
from cartpole_phys.numeric.compiled import kernel
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import Array, FloatArray, Matrix, Observations


class ActionBatch(NamedTuple):
    """Actions of n environments, and infos to record with them."""

    actions: Array  # (n, act) float32 or (n,) int64
    infos: dict[str, Array]  # each (n, …), for example the log-probabilities of the actions


class Policy(Protocol):
    """Protocol of Python policies: actions for a batch of episodes in lockstep, from their first step on."""

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        """Start new episodes: clear all state, and use ``generator`` for all randomness."""

    def act(self, observations: npt.NDArray[np.float32], rewards: FloatArray) -> ActionBatch:
        """Actions for observations (n, obs), after the rewards (n,) of the previous step (0 at first)."""


@dataclass(frozen=True)
class CompiledPolicy:
    """A policy that runs inside the rollout kernel, without calls to Python."""

    rule: int  # a control law of ``kernels/control_laws.py``
    gains: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)  # on x, ẋ, θ, θ̇; dimensionless output
    swing_up: tuple[float, ...] = ()  # nine numbers, for ENERGY_SHAPING
    noise: float = 0.0  # half-width of the uniform noise on continuous (normalized) actions
    log_prob: float | None = None  # of every action, if it is the same for all
    network: Network | None = None  # for NETWORK

    def __post_init__(self) -> None:
        assert (self.rule == NETWORK) == (self.network is not None)

    @property
    def law(self) -> FloatArray:
        """Gains and further numbers in the kernels' format, (4,) or (13,)."""
        return np.array(self.gains + self.swing_up)

    def infos(
        self, observations: Matrix, actions: Matrix, raw_actions: Matrix, log_probs: Matrix
    ) -> dict[str, Matrix]:
        """The infos to record with actions (n,) for observations (n, obs).

        For a network, ``raw_actions`` (n,) and ``log_probs`` (n,) are its outputs; for a control law,
        ``log_probs`` is overwritten.
        """
        if self.network is not None:
            return infos_of(self.network, raw_actions[:, None], log_probs)  # (n,) -> (n, 1)
        if self.rule == BERNOULLI:
            bernoulli_log_probs(self.law, observations, actions, log_probs)
        elif self.log_prob is None:
            return {}
        else:
            log_probs[:] = self.log_prob
        return {"action_log_probs": log_probs}

    def check_compatible(self, system: CartPole) -> None:
        """Check that a network has the observations and actions of a system.

        Raises:
            InputError: if its observations or actions differ.
        """
        if self.network is None:
            return
        made_for = self.network.observation_size, self.network.distribution != CATEGORICAL
        here = system.task.observation_size, system.continuous
        if made_for != here:
            raise InputError(
                f"Expected a network for {_kind(*here)}, got one for {_kind(*made_for)}; use it in the "
                "environment that it was trained in."
            )


def _kind(observation_size: int, continuous: bool) -> str:
    actions = "continuous" if continuous else "discrete"
    return f"observations of {observation_size} numbers and {actions} actions"


@kernel
def choose_columns(
    memory: FloatArray,
    continuous: bool,
    rule: int,
    law: FloatArray,
    noise: float,
    observations: Observations,
    actions: npt.NDArray[np.float32],
) -> None:
    """Write the actions (n,) of a control law for observations (n, obs)."""
    choose_all(memory, continuous, rule, law, noise, observations, np.zeros(len(actions)), actions)


class StepwisePolicy:
    """A compiled policy as a Python ``Policy``, bound to the environments in which it acts."""

    def __init__(self, policy: CompiledPolicy, columns: Columns) -> None:
        """Act in ``columns``; the caller steps them and updates their keys and episode numbers.

        Raises:
            InputError: if the policy is a network for other observations or actions.
        """
        policy.check_compatible(columns.system)
        self.policy, self._columns = policy, columns

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        """Do nothing: random numbers are keyed by the environments' memory, not drawn from ``generator``."""

    def act(self, observations: Observations, rewards: FloatArray) -> ActionBatch:
        """Actions for the current observations (n, obs) of the environments."""
        policy, columns, count = self.policy, self._columns, len(observations)
        actions, raw_actions, log_probs = (np.empty(count, np.float32) for _ in range(3))
        continuous = columns.system.continuous
        if policy.network is not None:
            act_columns(columns.memory, policy.network, observations, actions, raw_actions, log_probs)
        else:
            choose_columns(
                columns.memory, continuous, policy.rule, policy.law, policy.noise, observations, actions
            )
        infos = policy.infos(observations, actions, raw_actions, log_probs)
        return ActionBatch(actions[:, None] if continuous else actions.astype(np.int64), infos)  # (n, 1)
