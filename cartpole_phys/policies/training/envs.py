"""Training environments: vector environments for learners, and evaluation of checkpoints."""

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
    """Interface between training and one environment id with its arguments."""

    def make(self, n_envs: int) -> VecEnv:
        """Create environments for a learner, which seeds them."""

    def state_reader(self, venv: VecEnv) -> StateReader:
        """Reader of the simulator states of environments from ``make``."""

    def score(self, description: Mapping[str, Any], weights: Weights, episodes: int, seed: int) -> float:
        """Mean return of a network over the first episodes of a seed.

        It does not use the global random generators, from which the learner draws.
        """


def training_environment(env_id: str, env_kwargs: Mapping[str, Any]) -> TrainingEnvironment:
    """Training environment of an id, with keyword arguments as for ``gym.make``.

    Raises:
        InputError: on an unknown id or an invalid keyword argument.
    """
    backend = make_backend(env_id, env_kwargs)
    if isinstance(backend, GymnasiumBackend):
        return GymnasiumTraining(backend)
    return CartPoleTraining(env_id, env_kwargs)


class CartPoleTraining:
    """Training in this package's environments, with compiled steps and compiled evaluation rollouts."""

    def __init__(self, env_id: str, env_kwargs: Mapping[str, Any]) -> None:
        """See ``training_environment``."""
        self._system = CartPole.from_id(env_id, env_kwargs)
        self._env_id, self._env_kwargs = env_id, dict(env_kwargs)

    def make(self, n_envs: int) -> PhysCartPoleVecEnv:
        """See ``TrainingEnvironment``."""
        envs = gym.make_vec(self._env_id, num_envs=n_envs, autoreset_mode="SameStep", **self._env_kwargs)
        assert isinstance(envs, PhysCartPoleVectorEnv)
        return PhysCartPoleVecEnv(envs)

    def state_reader(self, venv: VecEnv) -> StateReader:
        """See ``TrainingEnvironment``."""
        assert isinstance(venv, PhysCartPoleVecEnv)
        return CartPoleStateReader(venv)

    def score(self, description: Mapping[str, Any], weights: Weights, episodes: int, seed: int) -> float:
        """See ``TrainingEnvironment``."""
        return float(
            play(self._system, compiled_network(description, weights), episodes, seed).returns.mean()
        )


class CartPoleStateReader:
    """Reads states and pushes of this package's environments, with the names and types of rollouts."""

    def __init__(self, venv: PhysCartPoleVecEnv) -> None:
        """Read the memory and the infos of ``venv``."""
        self._venv, self._columns = venv, venv.envs.columns

    def before_step(self) -> dict[str, Array]:
        """Positions and velocities (n, 2); if they vary, also parameters (n, 8) and noise keys (n, 2)."""
        columns = self._columns
        state: dict[str, Array] = {
            "qpos": columns.states[[m.X, m.THETA]].T,  # (2, n) -> (n, 2)
            "qvel": columns.states[[m.X_DOT, m.THETA_DOT]].T,  # (2, n) -> (n, 2)
        }
        if columns.system.randomize:
            state["params"] = columns.params.T.copy()  # (8, n) -> (n, 8)
        if columns.system.noisy:
            numbers = columns.episodes.astype(np.uint64)
            state["noise_key"] = np.stack([columns.keys, numbers], axis=1)  # (n,), (n,) -> (n, 2)
        return state

    def after_step(self) -> dict[str, Array]:
        """Pushes (n,) in N; those of episodes that ended are only in the final infos."""
        infos, pushes = self._venv.infos, np.zeros(len(self._columns))
        for source in (infos, infos.get("final_info", {})):
            if "push" in source:
                pushes[source["_push"]] = source["push"][source["_push"]]
        return {"push": pushes}


class GymnasiumTraining:
    """Training in environments of other packages, stepped sequentially by SB3's ``DummyVecEnv``."""

    def __init__(self, backend: GymnasiumBackend) -> None:
        """See ``training_environment``."""
        self._backend = backend

    def make(self, n_envs: int) -> DummyVecEnv:
        """See ``TrainingEnvironment``."""
        return DummyVecEnv([self._backend.make] * n_envs)

    def state_reader(self, venv: VecEnv) -> StateReader:
        """See ``TrainingEnvironment``."""
        assert isinstance(venv, DummyVecEnv)
        return GymnasiumStateReader(venv)

    def score(self, description: Mapping[str, Any], weights: Weights, episodes: int, seed: int) -> float:
        """See ``TrainingEnvironment``."""
        return float(self._backend.play(Behavior(description, weights), episodes, seed).returns.mean())


class GymnasiumStateReader:
    """Reads the simulator state of each environment, if this package supports its simulator."""

    def __init__(self, venv: DummyVecEnv) -> None:
        """Read the environments of ``venv``."""
        self._envs = [env.unwrapped for env in venv.envs]
        self._simulator = physics_state_of(venv.envs[0])

    def before_step(self) -> dict[str, Array]:
        """Arrays of the simulator state, each (n, …)."""
        if self._simulator is None:
            return {}
        states = [self._simulator.read(env) for env in self._envs]
        return {name: np.stack([state[name] for state in states]) for name in states[0]}  # n × (…) -> (n, …)

    def after_step(self) -> dict[str, Array]:
        """Nothing: the step itself adds no arrays."""
        return {}
