"""The environments that agents are trained in: how a learner steps them, how its checkpoints are scored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from cartpole_phys.backends.gymnasium_env import GymnasiumBackend
from cartpole_phys.backends.resolve import make_backend
from cartpole_phys.backends.simulator_state import physics_state_of
from cartpole_phys.kernels import layout as m
from cartpole_phys.policies.behavior import Behavior
from cartpole_phys.policies.network import compiled_network
from cartpole_phys.policies.training.recorder import StateReader
from cartpole_phys.policies.training.run import Weights
from cartpole_phys.rollouts.collect import play
from cartpole_phys.sb3 import PhysCartPoleVecEnv
from cartpole_phys.system import CartPole
from cartpole_phys.utils.typing import Array
from cartpole_phys.vector import PhysCartPoleVectorEnv


class TrainingEnvironment(Protocol):
    """One environment id with its arguments, as training needs it."""

    def make(self, n_envs: int) -> VecEnv:
        """New environments for a learner, who seeds them."""
        ...

    def reader(self, venv: VecEnv) -> StateReader:
        """What tells the state of environments from ``make``."""
        ...

    def score(self, description: Mapping[str, Any], weights: Weights, episodes: int, seed: int) -> float:
        """The mean return of a network over the first episodes of a seed.

        It leaves the global random generators alone, from which the learner draws.
        """
        ...


def training_environment(env_id: str, env_kwargs: Mapping[str, Any]) -> TrainingEnvironment:
    """The environment behind an id, with keyword arguments as for ``gym.make``.

    Raises:
        InputError: on an id that is not known, or a bad keyword argument.
    """
    backend = make_backend(env_id, env_kwargs)
    if isinstance(backend, GymnasiumBackend):
        return ForeignTraining(backend)
    return CartPoleTraining(env_id, env_kwargs)


class CartPoleTraining:
    """This package's environments: one compiled step for all, and compiled rollouts for the score."""

    def __init__(self, env_id: str, env_kwargs: Mapping[str, Any]) -> None:
        """See ``training_environment``."""
        self._system = CartPole.from_id(env_id, env_kwargs)
        self._env_id, self._env_kwargs = env_id, dict(env_kwargs)

    def make(self, n_envs: int) -> PhysCartPoleVecEnv:
        """See ``TrainingEnvironment``."""
        envs = gym.make_vec(self._env_id, num_envs=n_envs, autoreset_mode="SameStep", **self._env_kwargs)
        assert isinstance(envs, PhysCartPoleVectorEnv)
        return PhysCartPoleVecEnv(envs)

    def reader(self, venv: VecEnv) -> StateReader:
        """See ``TrainingEnvironment``."""
        assert isinstance(venv, PhysCartPoleVecEnv)
        return ColumnsReader(venv)

    def score(self, description: Mapping[str, Any], weights: Weights, episodes: int, seed: int) -> float:
        """See ``TrainingEnvironment``."""
        return float(
            play(self._system, compiled_network(description, weights), episodes, seed).returns.mean()
        )


class ColumnsReader:
    """Reads states and pushes under the names, and with the types, that rollouts record."""

    def __init__(self, venv: PhysCartPoleVecEnv) -> None:
        """Read the memory and the infos of ``venv``."""
        self._venv, self._columns = venv, venv.envs.columns

    def before_step(self) -> dict[str, Array]:
        """Positions and velocities (n, 2); where there are any, parameters (n, 8), noise keys (n, 2)."""
        columns = self._columns
        told: dict[str, Array] = {
            "qpos": columns.states[[m.X, m.THETA]].T,  # (2, n) -> (n, 2)
            "qvel": columns.states[[m.X_DOT, m.THETA_DOT]].T,  # (2, n) -> (n, 2)
        }
        if columns.system.randomize:
            told["params"] = columns.params.T.copy()  # (8, n) -> (n, 8)
        if columns.system.noisy:
            numbers = columns.episodes.astype(np.uint64)
            told["noise_key"] = np.stack([columns.keys, numbers], axis=1)  # (n,), (n,) -> (n, 2)
        return told

    def after_step(self) -> dict[str, Array]:
        """Pushes (n,) in N; of episodes that ended they are in the final infos alone."""
        infos, pushes = self._venv.infos, np.zeros(len(self._columns))
        for told in (infos, infos.get("final_info", {})):
            if "push" in told:
                pushes[told["_push"]] = told["push"][told["_push"]]
        return {"push": pushes}


class ForeignTraining:
    """Any other environment, stepped one after another by Stable-Baselines3's own ``DummyVecEnv``."""

    def __init__(self, backend: GymnasiumBackend) -> None:
        """See ``training_environment``."""
        self._backend = backend

    def make(self, n_envs: int) -> DummyVecEnv:
        """See ``TrainingEnvironment``."""
        return DummyVecEnv([self._backend.make] * n_envs)

    def reader(self, venv: VecEnv) -> StateReader:
        """See ``TrainingEnvironment``."""
        assert isinstance(venv, DummyVecEnv)
        return EachReader(venv)

    def score(self, description: Mapping[str, Any], weights: Weights, episodes: int, seed: int) -> float:
        """See ``TrainingEnvironment``."""
        return float(self._backend.play(Behavior(description, weights), episodes, seed).returns.mean())


class EachReader:
    """Reads the physical state of one environment after another, where it is known how."""

    def __init__(self, venv: DummyVecEnv) -> None:
        """Read the environments of ``venv``."""
        self._envs = [env.unwrapped for env in venv.envs]
        self._physics = physics_state_of(venv.envs[0])

    def before_step(self) -> dict[str, Array]:
        """Each array of the physical state, (n, …)."""
        if self._physics is None:
            return {}
        states = [self._physics.read(env) for env in self._envs]
        return {name: np.stack([state[name] for state in states]) for name in states[0]}  # n × (…) -> (n, …)

    def after_step(self) -> dict[str, Array]:
        """Nothing is told by the step itself."""
        return {}
