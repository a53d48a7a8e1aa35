"""Any Gymnasium environment as a backend: rollouts in Python, and replay if its state can be restored."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from cartpole_phys.backends.base import (
    FLAGS,
    Layout,
    NotReplayable,
    PolicySource,
    UnknownState,
    policy_of,
    require,
)
from cartpole_phys.backends.gymnasium_batch import BATCH_SIZE, Batch
from cartpole_phys.backends.gymnasium_replay import gymnasium_differences
from cartpole_phys.backends.make import Env, find_spec, make, suppress_warnings
from cartpole_phys.backends.random_policy import UniformPolicy
from cartpole_phys.backends.simulator_state import PhysicsState, physics_state_of
from cartpole_phys.backends.workers import (
    Needed,
    OnEpisodes,
    batches,
    check_episodes,
    no_progress,
    with_progress,
)
from cartpole_phys.episodes import CUT, Episodes, concatenate
from cartpole_phys.kernels.control_laws import UNIFORM
from cartpole_phys.numeric.philox import check_seed
from cartpole_phys.rollouts.policy import CompiledPolicy, Policy
from cartpole_phys.spaces import ActionSpace
from cartpole_phys.utils.errors import InputError, error_summary
from cartpole_phys.utils.typing import Array, Flags

PROBE_EPISODES, PROBE_STEPS = 4, 50  # replayed bit for bit before any file is


@dataclass(frozen=True, eq=False)
class GymnasiumBackend:
    """An environment id of another package, with its arguments."""

    env_id: str
    env_kwargs: Mapping[str, Any]
    spec: EnvSpec
    action_space: ActionSpace
    observation_space: spaces.Box
    max_episode_steps: int
    physics: PhysicsState | None  # None if its state cannot be read
    system: None = None

    @property
    def continuous(self) -> bool:
        """Whether actions are continuous."""
        return isinstance(self.action_space, spaces.Box)

    @property
    def info_arrays(self) -> Layout:
        """Infos of every file: the state before each step, if it can be read."""
        state = {} if self.physics is None else self.physics.layout
        return {**state, CUT: ("|b1", ())}

    def make(self) -> Env:
        """Create one environment."""
        return make(self.spec, self.env_kwargs)

    def stream(
        self, source: PolicySource, seed: int, needed: Needed, jobs: int = 1
    ) -> Generator[Episodes, None, None]:
        """Generate episodes of a seed in order, in whole batches, until ``needed`` is reached.

        Raises:
            InputError: if ``seed`` is below 0, or the policy is a control law for cart-poles, or cannot be
                sent to other processes.
        """
        return batches(GymnasiumPlayer(self, source, seed), BATCH_SIZE, needed, jobs)

    def play(
        self,
        source: PolicySource,
        episodes: int,
        seed: int,
        jobs: int = 1,
        on_progress: OnEpisodes = no_progress,
    ) -> Episodes:
        """Play the first ``episodes`` episodes of a seed to their ends.

        Raises:
            InputError: if ``episodes`` is below 1, or as for ``stream``.
        """
        check_episodes(episodes)
        player = GymnasiumPlayer(self, source, seed)
        parts = batches(player, BATCH_SIZE, lambda *_: episodes, jobs, episodes)
        return concatenate(list(with_progress(parts, episodes, on_progress)))

    def policy(self, source: PolicySource) -> Policy:
        """The Python policy of a source.

        Raises:
            InputError: if it is a compiled policy for cart-poles, other than uniformly random actions.
        """
        policy = policy_of(source, in_python=True)
        if not isinstance(policy, CompiledPolicy):
            return policy
        if policy.rule != UNIFORM:
            raise InputError(
                f"Expected a policy for {self.env_id!r}, got a control law for this package's cart-poles; "
                "pass a MODULE:FACTORY or a trained policy instead."
            )
        return UniformPolicy(self.action_space)

    def differences(self, rows: Mapping[str, Array], independent: bool = False) -> Mapping[str, Flags]:
        """Replay rows of whole episodes, and return masks (N,) of differing rows, by kind.

        The environment itself steps from each row's state, so ``independent`` makes no difference.

        Raises:
            UnknownState: if the state is not known, or cannot be restored bit for bit.
            NotReplayable: if it is not in ``rows``, or the environment rejects a row.
        """
        if self.physics is None:
            raise UnknownState(f"the state of {self.env_id} is not known, so no step can be replayed")
        if not self._restores:
            raise UnknownState(f"the state of {self.env_id} cannot be restored bit for bit")
        return self._differences(rows, self.physics)

    @cached_property
    def _restores(self) -> bool:
        """Whether random probe episodes can be replayed bit for bit in another environment instance."""
        limit = min(PROBE_STEPS, self.max_episode_steps)
        short = replace(self, env_kwargs={**self.env_kwargs, "max_episode_steps": limit})
        probe = short.play(CompiledPolicy(UNIFORM), PROBE_EPISODES, 0).as_d4rl()
        assert short.physics is not None
        return not any(wrong.any() for wrong in short._differences(probe, short.physics).values())

    def _differences(self, rows: Mapping[str, Array], physics: PhysicsState) -> dict[str, Flags]:
        needed = require(rows, self._layout(physics))
        env = self.make()
        try:
            return gymnasium_differences(env, physics, needed)
        except Exception as error:  # third-party code may raise anything
            raise NotReplayable(f"{self.env_id} rejects a state or an action ({error!r:.200})") from error
        finally:
            env.close()

    def _layout(self, physics: PhysicsState) -> Layout:
        """The arrays used in a replay."""
        size, space = self.observation_space.shape, self.action_space
        state = {f"infos/{name}": kind for name, kind in physics.layout.items()}
        return {
            **FLAGS,
            "observations": ("<f4", size),
            "next_observations": ("<f4", size),
            "actions": ("<f4", space.shape) if isinstance(space, spaces.Box) else ("<i8", ()),
            **state,
        }


@dataclass
class GymnasiumPlayer:
    """Plays batches in reused environments; each process has its own player.

    Raises:
        InputError: if the seed is not an integer of at least 0.
    """

    backend: GymnasiumBackend
    source: PolicySource
    seed: int
    _policy: Policy | None = field(default=None, init=False)
    _envs: list[Env] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        check_seed(self.seed)

    def play(self, first: int, count: int) -> Episodes:
        """Play the episodes ``first`` to ``first + count``."""
        if self._policy is None:
            self._policy = self.backend.policy(self.source)
        self._envs += [self.backend.make() for _ in range(count - len(self._envs))]
        batch = Batch(self._envs[:count], self.backend.physics, self.seed, first)
        return batch.play(self._policy, self.backend.action_space)

    def close(self) -> None:
        """Close the environments."""
        while self._envs:
            self._envs.pop().close()


def gymnasium_backend(env_id: str, env_kwargs: Mapping[str, Any]) -> GymnasiumBackend:
    """The backend of any Gymnasium environment.

    Raises:
        InputError: if the id is unknown, a module is missing, an argument is invalid, its spaces are not
            supported in data sets, it has no time limit, or it fails to take a step.
    """
    spec = find_spec(env_id)
    env = make(spec, env_kwargs)
    try:
        backend = GymnasiumBackend(
            env_id,
            dict(env_kwargs),
            spec,
            _checked_actions(env_id, env.action_space),
            _checked_observations(env_id, env.observation_space),
            _checked_limit(env_id, env),
            physics_state_of(env),
        )
        _take_step(backend, env)
        return backend
    finally:
        env.close()


def _take_step(backend: GymnasiumBackend, env: Env) -> None:
    """Reset and step once, to detect invalid arguments that the constructor accepts."""
    try:
        with suppress_warnings():
            env.reset(seed=0)
            env.step(env.action_space.sample())
    except Exception as error:  # third-party code may raise anything
        given = f" with the arguments {dict(backend.env_kwargs)}" if backend.env_kwargs else ""
        raise InputError(
            f"Environment {backend.env_id!r} cannot take a step{given} ({error_summary(error)}); "
            "correct the arguments, or the environment."
        ) from error


def _checked_observations(env_id: str, space: Any) -> spaces.Box:
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return space
    raise InputError(
        f"Expected observations as vectors of numbers (a Box of one dimension), got {space} from {env_id!r}; "
        "register the environment with a wrapper that flattens them."
    )


def _checked_actions(env_id: str, space: Any) -> ActionSpace:
    if isinstance(space, spaces.Discrete):
        return space
    if (
        isinstance(space, spaces.Box)
        and len(space.shape) == 1
        and space.dtype.kind == "f"
        and np.isfinite([space.low, space.high]).all()
    ):
        return space
    raise InputError(
        f"Expected actions as vectors of numbers with finite bounds, or n choices, got {space} from "
        f"{env_id!r}; register the environment with a wrapper that changes them."
    )


def _checked_limit(env_id: str, env: Env) -> int:
    limit = None if env.spec is None else env.spec.max_episode_steps
    if limit is not None:
        return limit
    raise InputError(
        f"Expected an environment with a time limit, but {env_id!r} has none; set one with the "
        'environment arguments {"max_episode_steps": 1000}.'
    )
