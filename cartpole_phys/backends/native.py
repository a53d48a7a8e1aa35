"""This package's environments as backends, with compiled rollouts and replay."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium import spaces

from cartpole_phys.backends.base import Layout, PolicySource, policy_of, require
from cartpole_phys.backends.native_replay import native_differences, native_layout, state_layout
from cartpole_phys.backends.scalar_replay import scalar_differences
from cartpole_phys.backends.workers import (
    Needed,
    OnEpisodes,
    batches,
    check_episodes,
    check_jobs,
    no_progress,
    with_progress,
)
from cartpole_phys.episodes import CUT, Episodes, concatenate
from cartpole_phys.numeric.philox import key_from_seed
from cartpole_phys.rollouts.collect import compiled_batches
from cartpole_phys.rollouts.lockstep import BATCH_SIZE, run_lockstep
from cartpole_phys.rollouts.policy import CompiledPolicy, Policy
from cartpole_phys.spaces import ActionSpace, action_space, observation_space
from cartpole_phys.system import CartPole
from cartpole_phys.utils.typing import Array, Flags


@dataclass(frozen=True, eq=False)
class NativeBackend:
    """An environment id of this package, with its arguments."""

    env_id: str
    env_kwargs: Mapping[str, Any]
    system: CartPole

    @property
    def continuous(self) -> bool:
        """Whether actions are continuous."""
        return self.system.continuous

    @property
    def action_space(self) -> ActionSpace:
        """Of one environment."""
        return action_space(self.system.continuous)

    @property
    def observation_space(self) -> spaces.Box:
        """Of one environment."""
        space = observation_space(self.system.task)
        assert isinstance(space, spaces.Box)
        return space

    @property
    def max_episode_steps(self) -> int:
        """After how many steps episodes are truncated."""
        return self.system.task.max_episode_steps

    @property
    def info_arrays(self) -> Layout:
        """Infos of every file: state, push, and what is drawn for each episode."""
        return {**state_layout(self.system), CUT: ("|b1", ())}

    def stream(
        self, source: PolicySource, seed: int, needed: Needed, jobs: int = 1
    ) -> Generator[Episodes, None, None]:
        """Generate episodes of a seed in order, batch by batch, until ``needed`` is reached.

        Compiled policies run in ``jobs`` threads, Python policies in as many processes; the rows equal those
        of ``rollouts.collect``.

        Raises:
            InputError: if ``jobs`` is below 1 or ``seed`` below 0, or a policy cannot be sent to other
                processes.
        """
        check_jobs(jobs)
        policy, key = policy_of(source), key_from_seed(seed)
        if isinstance(policy, CompiledPolicy):
            return compiled_batches(self.system, policy, key, needed, jobs)
        return batches(NativePlayer(self.system, source, key, BATCH_SIZE), BATCH_SIZE, needed, jobs)

    def play(
        self,
        source: PolicySource,
        episodes: int,
        seed: int,
        jobs: int = 1,
        on_progress: OnEpisodes = no_progress,
    ) -> Episodes:
        """Play the first ``episodes`` episodes of a seed to their ends, as ``rollouts.collect.play`` does.

        Raises:
            InputError: if ``episodes`` is below 1, or as for ``stream``.
        """
        check_episodes(episodes)
        check_jobs(jobs)
        policy, key = policy_of(source), key_from_seed(seed)
        if isinstance(policy, CompiledPolicy):
            parts = compiled_batches(self.system, policy, key, lambda *_: episodes, jobs)
        else:
            size = min(BATCH_SIZE, episodes)
            player = NativePlayer(self.system, source, key, size)
            parts = batches(player, size, lambda *_: episodes, jobs, episodes)
        return concatenate(list(with_progress(parts, episodes, on_progress)))

    def differences(self, rows: Mapping[str, Array], independent: bool = False) -> Mapping[str, Flags]:
        """What each row of whole episodes says wrongly, by kind, each (N,).

        Args:
            rows: D4RL's arrays by name.
            independent: step with the scalar environment, one row after another, instead of the step that
                rollouts are compiled from.

        Raises:
            NotReplayable: if ``rows`` lack an array, or hold an action that the environment refuses.
        """
        needed = require(rows, native_layout(self.system))
        if independent:
            return scalar_differences(self.env_id, self.env_kwargs, self.system, needed)
        return native_differences(self.system, needed)


@dataclass
class NativePlayer:
    """Plays batches of a Python policy; each process has its own player."""

    system: CartPole
    source: PolicySource
    key: np.uint64
    size: int  # of a batch, as the policy sees it
    _policy: Policy | None = field(default=None, init=False)

    def play(self, first: int, count: int) -> Episodes:
        """Play the episodes ``first`` to ``first + count``."""
        if self._policy is None:
            policy = policy_of(self.source)
            assert not isinstance(policy, CompiledPolicy)
            self._policy = policy
        return run_lockstep(self.system, self._policy, self.key, first, count, self.size)

    def close(self) -> None:
        """Do nothing."""


def native_backend(env_id: str, env_kwargs: Mapping[str, Any]) -> NativeBackend:
    """The backend of one of this package's ids.

    Raises:
        InputError: on another id or a bad argument.
    """
    return NativeBackend(env_id, dict(env_kwargs), CartPole.from_id(env_id, env_kwargs))
