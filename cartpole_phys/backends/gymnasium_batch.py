"""A batch of episodes of any Gymnasium environment in lockstep, under a Python policy.

As in ``rollouts/lockstep.py``, the policy always acts on ``BATCH_SIZE`` rows, so that its random draws and
the bits of its matrix products do not depend on the number of episodes. Rows without an episode repeat the
first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cartpole_phys.backends.make import Env
from cartpole_phys.backends.simulator_state import PhysicsState
from cartpole_phys.episodes import CUT, Episodes
from cartpole_phys.numeric.philox import key_from_seed
from cartpole_phys.rollouts.lockstep import policy_generator
from cartpole_phys.rollouts.policy import Policy
from cartpole_phys.spaces import ActionSpace, executed
from cartpole_phys.utils.typing import Array, FloatArray

BATCH_SIZE = 32  # episodes in lockstep; data sets depend on it


def episode_seed(seed: int, episode: int) -> int:
    """The seed of ``env.reset`` for one episode of a seed: 32 bits, which every environment accepts."""
    return int(np.random.SeedSequence([seed, episode]).generate_state(1)[0])


class _Step(NamedTuple):
    """One step of B = ``BATCH_SIZE`` rows, of which only those of running episodes are meaningful."""

    before: dict[str, Array]  # observations, actions, states and the policy's infos, each (B, …)
    rewards: npt.NDArray[np.float32]  # (B,)


class Batch:
    """The episodes from ``first`` on of a seed, one in each of ``envs``."""

    def __init__(self, envs: Sequence[Env], physics: PhysicsState | None, seed: int, first: int) -> None:
        """Reset the environments."""
        self._envs, self._physics = envs, physics
        self._bare: list[Any] = [env.unwrapped for env in envs]
        seen = [env.reset(seed=episode_seed(seed, first + i))[0] for i, env in enumerate(envs)]
        rows = [*seen, *[seen[0]] * (BATCH_SIZE - len(envs))]
        self._observations = np.array(rows, dtype=np.float32)
        self._generator = policy_generator(key_from_seed(seed), first)
        self._steps: list[_Step] = []
        self._lengths = np.zeros(len(envs), dtype=np.int64)
        self._terminated = np.zeros(len(envs), dtype=np.bool_)

    def play(self, policy: Policy, action_space: ActionSpace) -> Episodes:
        """Play all episodes to their ends."""
        policy.begin(BATCH_SIZE, self._generator)
        rewards = np.zeros(BATCH_SIZE)
        running = list(range(len(self._envs)))
        while running:
            chosen = policy.act(self._observations, rewards)
            over = np.isin(np.arange(BATCH_SIZE), running, invert=True)
            actions = executed(action_space, chosen.actions, BATCH_SIZE, over)
            before = {"observations": self._observations, "actions": actions, **self._states(running)}
            before.update({f"infos/{name}": values for name, values in chosen.infos.items()})
            running, rewards = self._step(running, actions, before)
        return self._episodes()

    def _states(self, running: list[int]) -> dict[str, Array]:
        """The physical states of the running episodes, each (B, k)."""
        if self._physics is None:
            return {}
        layout = self._physics.layout
        states = {name: np.zeros((BATCH_SIZE, *trailing)) for name, (_, trailing) in layout.items()}
        for i in running:
            for name, values in self._physics.read(self._bare[i]).items():
                states[name][i] = values
        return {f"infos/{name}": values for name, values in states.items()}

    def _step(
        self, running: list[int], actions: Array, before: dict[str, Array]
    ) -> tuple[list[int], FloatArray]:
        """Step the running episodes; return those still running, and the rewards (B,)."""
        observations, rewards = self._observations.copy(), np.zeros(BATCH_SIZE)
        still = []
        for i in running:
            seen, reward, terminated, truncated, _ = self._envs[i].step(actions[i].copy())
            observations[i], rewards[i] = seen, reward
            self._lengths[i] += 1
            self._terminated[i] = terminated
            if not (terminated or truncated):
                still.append(i)
        self._steps.append(_Step(before, rewards.astype(np.float32)))
        self._observations = observations
        return still, rewards

    def _episodes(self) -> Episodes:
        """The recorded steps in episode order."""
        count, offsets = len(self._lengths), np.concatenate([[0], np.cumsum(self._lengths)])
        played = np.arange(len(self._steps))[None, :] < self._lengths[:, None]  # (count, T)

        def rows(arrays: list[Array]) -> Array:
            return np.stack(arrays, axis=1)[:count][played]  # T × (B, …) -> (B, T, …) -> (N, …)

        before = {name: rows([step.before[name] for step in self._steps]) for name in self._steps[0].before}
        terminations, truncations = np.zeros(offsets[-1], np.bool_), np.zeros(offsets[-1], np.bool_)
        terminations[offsets[1:] - 1] = self._terminated
        truncations[offsets[1:] - 1] = ~self._terminated
        infos = {name.removeprefix("infos/"): array for name, array in before.items() if "infos/" in name}
        return Episodes(
            observations=before["observations"],
            actions=before["actions"],
            rewards=rows([step.rewards for step in self._steps]),
            terminations=terminations,
            truncations=truncations,
            final_observations=self._observations[:count],
            offsets=offsets,
            infos={**infos, CUT: np.zeros(offsets[-1], np.bool_)},
        )
