"""The vector environment as a Stable-Baselines3 ``VecEnv``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv

from cartpole_phys.errors import InputError
from cartpole_phys.vector import PhysCartPoleVectorEnv


class PhysCartPoleVecEnv(VecEnv):
    """Lets Stable-Baselines3 train on ``PhysCartPoleVectorEnv``: all environments in one compiled step.

    Stable-Baselines3 merges termination and truncation into ``done`` and wants the last observation in
    ``info["terminal_observation"]`` and the time limit in ``info["TimeLimit.truncated"]``.
    """

    def __init__(self, envs: PhysCartPoleVectorEnv) -> None:
        """Wrap a vector environment.

        Raises:
            InputError: if its autoreset mode is not ``"SameStep"``, which Stable-Baselines3 relies on.
        """
        if envs.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise InputError(f'Expected autoreset_mode="SameStep", got "{envs.autoreset_mode.value}".')
        self.envs = envs
        self._actions: npt.NDArray[Any] | None = None
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> npt.NDArray[np.float32]:
        """Start new episodes, with the seeds and options from ``seed`` and ``set_options``."""
        seeded = any(seed is not None for seed in self._seeds)
        observations, _ = self.envs.reset(seed=self._seeds if seeded else None, options=self._options[0])
        self.reset_infos = [{} for _ in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Keep the actions for ``step_wait``."""
        self._actions = actions

    def step_wait(
        self,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.bool_], list[dict[str, Any]]]:
        """Advance all environments with the actions kept by ``step_async``."""
        observations, rewards, terminated, truncated, infos = self.envs.step(self._actions)
        done = terminated | truncated
        per_env: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(done):
            per_env[i] = {
                "terminal_observation": infos["final_obs"][i],
                "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
            }
        return observations, rewards.astype(np.float32), done, per_env

    def close(self) -> None:
        """Close the environments."""
        self.envs.close()

    def get_images(self) -> Sequence[npt.NDArray[np.uint8] | None]:
        """One image per environment."""
        return self.envs.render() or [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the vector environment, once per index asked for."""
        return [getattr(self.envs, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refused: all environments share one system, which cannot change after it was built."""
        raise AttributeError(f"Cannot set {attr_name!r}: build the vector environment with it instead.")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Refused: there are no single environments behind a vector environment."""
        raise AttributeError(f"Cannot call {method_name!r} on single environments: there are none.")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """False, once per index asked for."""
        return [False for _ in self._get_indices(indices)]
