"""Environment specs: JSON round trip and reconstruction of an equal environment."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode

from tests.support.vector_comparison import DISCRETE, EVERYTHING, IDS, MODES, OPTIONS, assert_same


def _round_trip(env: Any) -> EnvSpec:
    return EnvSpec.from_json(env.spec.to_json())


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("option", OPTIONS)
def test_scalar_environment_from_its_spec(env_id: str, option: str) -> None:
    env: Any = gym.make(env_id, **OPTIONS[option])
    restored: Any = gym.make(_round_trip(env))
    assert restored.unwrapped.system == env.unwrapped.system
    assert_same(restored.reset(seed=3), env.reset(seed=3))


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("mode", [*MODES, *AutoresetMode])
def test_vector_environment_from_its_spec(env_id: str, mode: str | AutoresetMode) -> None:
    envs: Any = gym.make_vec(env_id, num_envs=3, autoreset_mode=mode, max_episode_steps=7, **EVERYTHING)
    restored: Any = gym.make_vec(_round_trip(envs))
    assert f'"autoreset_mode": "{AutoresetMode(mode).value}"' in envs.spec.to_json()
    assert restored.autoreset_mode is envs.autoreset_mode is AutoresetMode(mode)
    assert (restored.num_envs, restored.system) == (envs.num_envs, envs.system)
    assert restored.spec == envs.spec
    assert_same(restored.reset(seed=3), envs.reset(seed=3))
    actions = np.ones(3, np.int64) if env_id == DISCRETE else np.ones((3, 1), np.float32)
    for _ in range(7):
        assert_same(restored.step(actions), envs.step(actions))


@pytest.mark.parametrize(
    "masses",
    [
        [0.1, 0.2, 0.3],
        (0.1, 0.2, 0.3),
        np.array([0.1, 0.2, 0.3]),
        np.array([1, 2, 3]),
        np.array([0.1, 0.2, 0.3], np.float32),
        [np.float64(0.1), np.float32(0.25), np.int64(2)],
    ],
)
def test_numpy_params_are_serializable(masses: Any) -> None:
    envs: Any = gym.make_vec(IDS[0], num_envs=3, params={"pole_mass": masses, "gravity": 9.0})
    restored: Any = gym.make_vec(_round_trip(envs))
    assert_same(restored.columns.params, envs.columns.params)
    np.testing.assert_array_equal(envs.columns.params[2], np.asarray(masses, dtype=np.float64))


def test_arguments_are_not_modified() -> None:
    masses = np.array([0.1, 0.2])
    params = {"pole_mass": masses}
    gym.make_vec(IDS[0], num_envs=2, params=params, autoreset_mode=AutoresetMode.SAME_STEP)
    assert params["pole_mass"] is masses
    assert gym.spec(IDS[0]).kwargs == {"task": "balance", "continuous": True}
