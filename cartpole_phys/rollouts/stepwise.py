"""A compiled policy one step at a time: its actions are those of a rollout, to the last bit.

A rollout's kernel chooses and steps in one loop. Here the same law chooses for environments that something
else steps, so it must know where each one stands: its random numbers are a function of key, episode and
step, and all three stand in the environments' memory.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cartpole_phys.memory import FloatArray
from cartpole_phys.numeric.compiled import kernel
from cartpole_phys.rollouts.laws import choose_all
from cartpole_phys.rollouts.network_call import act_columns
from cartpole_phys.rollouts.policy import ActionBatch, CompiledPolicy
from cartpole_phys.stepping.columns import Columns
from cartpole_phys.stepping.sensing import Observations


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
