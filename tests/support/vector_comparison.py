"""Bit-for-bit comparison of the vector environment with ``SyncVectorEnv`` over scalar ones."""

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import cartpole_phys

gym.register_envs(cartpole_phys)

IDS = ["PhysCartPole-v0", "PhysCartPoleDiscrete-v0", "PhysCartPoleSwingUp-v0"]
DISCRETE, SWING_UP = IDS[1:]
MODES = ["NextStep", "SameStep", "Disabled"]
LIMIT = 45  # steps to an episode: a one-sided force drives the cart off its track in fewer
PHASE = 80  # steps with actions of one kind: longer than an episode

# Every option of the environments, alone.
OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "euler": {"integrator": "euler"},
    "symplectic_euler": {"integrator": "symplectic_euler"},
    "rk4": {"integrator": "rk4"},
    "substeps": {"substeps": 3},
    "params": {"params": {"gravity": 9.0, "pole_mass": 0.3, "half_length": 0.4, "time_step": 0.025}},
    "friction": {"params": {"cart_friction": 0.1}},
    "damping": {"params": {"pole_damping": 0.01}},
    "pushes": {"push_rate": 20.0, "push_size": 15.0},
    "randomize": {"randomize": {"pole_mass": [0.05, 0.3], "force_mag": [8.0, 12.0]}},
    "noise": {"observation_noise": 0.01},
    "four noises": {"observation_noise": [0.01, 0.0, 0.02, 0.1]},
    "diagnostics": {"diagnostics": True},
}
EVERYTHING: dict[str, Any] = {
    "integrator": "rk4",
    "substeps": 2,
    "params": {"cart_friction": 0.05, "pole_damping": 0.01, "gravity": 9.5},
    "push_rate": 10.0,
    "randomize": {"half_length": [0.4, 0.6], "cart_friction": [0.0, 0.1]},
    "observation_noise": [0.01, 0.02, 0.0, 0.1],
    "diagnostics": True,
}
OPTIONS["everything"] = EVERYTHING


def assert_same(ours: Any, theirs: Any, where: str = "result") -> None:
    """Assert equal types, shapes and bits; dictionaries, sequences and object arrays item by item."""
    if isinstance(theirs, dict):
        assert isinstance(ours, dict), where
        assert ours.keys() == theirs.keys(), where
        for key in theirs:
            assert_same(ours[key], theirs[key], f"{where}[{key!r}]")
    elif isinstance(theirs, (tuple, list)) or (isinstance(theirs, np.ndarray) and theirs.dtype == object):
        assert type(ours) is type(theirs), where
        assert len(ours) == len(theirs), where
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    elif isinstance(theirs, np.ndarray):
        assert isinstance(ours, np.ndarray), where
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), where
        assert ours.tobytes() == theirs.tobytes(), f"{where}: {ours} is not {theirs}"
    else:
        assert type(ours) is type(theirs), where
        assert ours == theirs, where


class Pair:
    """Both environments; every reset and step runs in both and is compared."""

    def __init__(
        self,
        env_id: str,
        mode: str,
        kwargs: dict[str, Any],
        num_envs: int = 5,
        own_params: Sequence[dict[str, float]] | None = None,
    ) -> None:
        """``own_params``: parameters of each scalar environment, where they differ."""
        kwargs = {"max_episode_steps": LIMIT, **kwargs}
        self.env_id, self.num_envs = env_id, num_envs
        self.ours: Any = gym.make_vec(env_id, num_envs=num_envs, autoreset_mode=mode, **kwargs)
        singles = [{**kwargs, **({"params": own_params[i]} if own_params else {})} for i in range(num_envs)]
        self.theirs = SyncVectorEnv(
            [partial(gym.make, env_id, disable_env_checker=True, **own) for own in singles],
            autoreset_mode=AutoresetMode(mode),
        )
        self.rng, self.steps = np.random.default_rng(0), 0
        self.observations = np.zeros((num_envs, 4), np.float32)
        self.terminated = self.truncated = np.zeros(num_envs, np.bool_)

    def reset(self, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        """Reset both."""
        ours = self.ours.reset(seed=seed, options=copy.deepcopy(options))
        assert_same(ours, self.theirs.reset(seed=seed, options=copy.deepcopy(options)), "reset")
        mask = np.ones(self.num_envs, np.bool_) if options is None else options.get("reset_mask", True)
        self.observations = ours[0]
        self.terminated, self.truncated = self.terminated & ~mask, self.truncated & ~mask
        return ours

    def step(self, actions: np.ndarray | None = None) -> Any:
        """Step both; by default balancing, random and one-sided actions alternate."""
        actions = self.actions() if actions is None else actions
        ours = self.ours.step(actions)
        assert_same(ours, self.theirs.step(actions), "step")
        self.observations, _, self.terminated, self.truncated, _ = ours
        return ours

    def run(self, steps: int) -> tuple[int, int]:
        """Step both, resetting where autoreset is disabled; count terminated and truncated episodes."""
        fell = late = 0
        for _ in range(steps):
            self.step()
            fell, late = fell + int(self.terminated.sum()), late + int(self.truncated.sum())
            ended = self.terminated | self.truncated
            if ended.any() and self.ours.autoreset_mode is AutoresetMode.DISABLED:
                self.reset(options={"reset_mask": ended})
        return fell, late

    def actions(self) -> np.ndarray:
        """Sample balancing, random or one-sided actions, some out of range where that is allowed."""
        manner, self.steps = self.steps // PHASE % 3, self.steps + 1
        lean = self.observations[:, -2] + 0.5 * self.observations[:, -1]
        if self.env_id == DISCRETE:
            choices = [lean > 0, self.rng.random(self.num_envs) < 0.5, np.ones(self.num_envs)]
            return np.asarray(choices[manner]).astype(np.int64)
        chance = self.rng.uniform(-1.5, 1.5, self.num_envs)
        continuous = [4.0 * lean + 0.1 * chance, chance, np.full(self.num_envs, 0.97)]
        if self.env_id == SWING_UP:
            continuous[0] = 0.1 * chance
        return np.asarray(continuous[manner])[:, None].astype(np.float32)
