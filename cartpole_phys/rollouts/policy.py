"""What can act: policies in Python that see a batch, and laws that the rollout kernel knows itself."""

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

    rule: int  # one of ``kernels/control_laws.py``
    gains: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)  # on x, ẋ, θ, θ̇; dimensionless output
    swing_up: tuple[float, ...] = ()  # nine numbers, for ENERGY_SHAPING
    noise: float = 0.0  # half-width of the uniform noise on continuous actions, a share of the full force
    log_prob: float | None = None  # of every action, where it is the same for all
    network: Network | None = None  # for NETWORK

    def __post_init__(self) -> None:
        assert (self.rule == NETWORK) == (self.network is not None)

    @property
    def law(self) -> FloatArray:
        """Gains and further numbers as the kernel reads them, (4,) or (13,)."""
        return np.array(self.gains + self.swing_up)

    def infos(
        self, observations: Matrix, actions: Matrix, raw_actions: Matrix, log_probs: Matrix
    ) -> dict[str, Matrix]:
        """What is recorded beside actions (n,) on observations (n, obs).

        A network has written its raw actions (n,) and log-probabilities (n,); for any law the latter are
        room for its own.
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

    def check_fits(self, system: CartPole) -> None:
        """Make sure that a network was made for a system like this one.

        Raises:
            InputError: if its observations or actions are others.
        """
        if self.network is None:
            return
        made_for = self.network.observation_size, self.network.distribution != CATEGORICAL
        here = system.task.observation_size, system.continuous
        if made_for != here:
            raise InputError(
                f"Expected a network for {_kind(*here)}, got one for {_kind(*made_for)}; let it act in the "
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
    """Write the actions (n,) of a compiled policy on observations (n, obs)."""
    choose_all(memory, continuous, rule, law, noise, observations, np.zeros(len(actions)), actions)


class StepwisePolicy:
    """A compiled policy behind the ``Policy`` protocol, bound to the environments that it acts in."""

    def __init__(self, policy: CompiledPolicy, columns: Columns) -> None:
        """Act in ``columns``; whoever steps them also keeps their keys, episode numbers and step counts.

        Raises:
            InputError: if the policy is a network for other observations or actions.
        """
        policy.check_fits(columns.system)
        self.policy, self._columns = policy, columns

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        """Nothing to forget, and nothing to draw from ``generator``: chances follow from the memory."""

    def act(self, observations: Observations, rewards: FloatArray) -> ActionBatch:
        """Actions for the observations (n, obs) of the environments as they stand."""
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
