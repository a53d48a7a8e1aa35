"""Recorder of all transitions of a training run, which Stable-Baselines3's buffers do not contain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from gymnasium.spaces import Box
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from cartpole_phys.policies.training.run import INFOS, TrainingRecording
from cartpole_phys.utils.typing import Array

FIRST_CAPACITY = 1_024  # steps of all environments


class StateReader(Protocol):
    """Reader of additional arrays (n, …) to record, with the same names in every step."""

    def before_step(self) -> Mapping[str, Array]:
        """Arrays of the environments' current states, for example ``qpos`` and ``qvel``."""

    def after_step(self) -> Mapping[str, Array]:
        """Arrays of the last step, for example ``push``."""


class _Log:
    """Growing log of arrays (n, …) by name; the memory doubles when it is full."""

    def __init__(self) -> None:
        self.count = 0
        self._arrays: dict[str, Array] = {}

    def append(self, row: Mapping[str, Array]) -> None:
        """Append a copy of a row with the names, shapes and types of the first row."""
        if not self._arrays:
            self._arrays = {
                name: np.empty((FIRST_CAPACITY, *values.shape), values.dtype) for name, values in row.items()
            }
        for name, values in row.items():
            array = self._arrays[name]
            if self.count == len(array):
                self._arrays[name] = array = np.concatenate([array, np.empty_like(array)])
            array[self.count] = values
        self.count += 1

    def arrays(self) -> dict[str, Array]:
        """All rows, each array (rows, n, …)."""
        return {name: array[: self.count] for name, array in self._arrays.items()}


class Recorder(VecEnvWrapper):
    """Wrapper that records all transitions of ``venv``; actions as clipped float32, or as int64."""

    def __init__(self, venv: VecEnv, reader: StateReader) -> None:
        """Record ``venv``, and the arrays from ``reader``."""
        super().__init__(venv)
        self._reader = reader
        self._log = _Log()
        self._observations: Any = None
        self._before: dict[str, Array] = {}

    def reset(self) -> Any:
        """Reset the environments, which is possible only once per recording."""
        assert not self._log.count, "a learner resets its environments once"
        self._observations = self.venv.reset()
        return self._observations

    def step_async(self, actions: Array) -> None:
        """Execute the actions, and keep the arrays from before the step."""
        executed = self._executed(actions)
        state = {INFOS + name: values for name, values in self._reader.before_step().items()}
        self._before = {"observations": self._observations.astype(np.float32), "actions": executed, **state}
        self.venv.step_async(executed)

    def step_wait(self) -> Any:
        """Finish the step, and record it."""
        observations, rewards, done, infos = self.venv.step_wait()
        following = np.array(observations, dtype=np.float32)
        truncated = np.zeros_like(done)
        for i in np.flatnonzero(done):
            following[i] = infos[i]["terminal_observation"]
            truncated[i] = infos[i].get("TimeLimit.truncated", False)
        step = {
            "rewards": rewards,
            "terminations": done & ~truncated,
            "truncations": truncated,
            "next_observations": following,
        }
        infos_after = {INFOS + name: values for name, values in self._reader.after_step().items()}
        self._log.append({**self._before, **step, **infos_after})
        self._observations = observations
        return observations, rewards, done, infos

    def recording(self) -> TrainingRecording:
        """All steps so far."""
        return TrainingRecording(self._log.arrays())

    def _executed(self, actions: Array) -> Array:
        space = self.action_space
        if isinstance(space, Box):
            return np.clip(actions, space.low, space.high).astype(np.float32)
        return np.asarray(actions, dtype=np.int64)
