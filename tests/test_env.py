"""The scalar environments as Gymnasium and Stable-Baselines3 see them."""

import pickle
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import cartpole_phys
from cartpole_phys.errors import InputError

gym.register_envs(cartpole_phys)

IDS = ["PhysCartPole-v0", "PhysCartPoleDiscrete-v0"]


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("integrator", ["euler", "semi_implicit_euler"])
def test_checkers_have_nothing_to_say(env_id: str, integrator: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(env_id, integrator=integrator, render_mode="rgb_array").unwrapped)
        check_env_sb3(gym.make(env_id, integrator=integrator).unwrapped, warn=True)


@pytest.mark.parametrize("env_id", IDS)
def test_spec_survives_json(env_id: str) -> None:
    env = gym.make(env_id, integrator="euler", params={"pole_mass": 0.2})
    assert env.spec is not None
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.system == env.unwrapped.system  # type: ignore[attr-defined]


def test_module_prefix_needs_no_import_first() -> None:
    assert gym.make("cartpole_phys:PhysCartPole-v0").spec is not None


@pytest.mark.parametrize("env_id", IDS)
def test_same_seed_same_episode_and_each_reset_another(env_id: str) -> None:
    env, twin = gym.make(env_id), gym.make(env_id)
    starts = [env.reset(seed=7)[0], *(env.reset()[0] for _ in range(3))]
    again = [twin.reset(seed=7)[0], *(twin.reset()[0] for _ in range(3))]
    np.testing.assert_array_equal(starts, again)
    assert len(np.unique(starts, axis=0)) == 4
    assert np.abs(starts).max() <= 0.05


def test_unseeded_environments_differ() -> None:
    a, b = (gym.make("PhysCartPole-v0").reset()[0] for _ in range(2))
    assert (a != b).any()


def test_start_bounds_through_options() -> None:
    env = gym.make("PhysCartPole-v0")
    starts = np.array([env.reset(options={"low": 0.1, "high": 0.2})[0] for _ in range(50)])
    assert starts.min() >= np.float32(0.1)
    assert starts.max() <= np.float32(0.2)
    for options in ({"low": 1.0, "high": 0.0}, {"low": float("nan")}, {"high": "x"}):
        with pytest.raises(InputError, match="finite low <= high"):
            env.unwrapped.reset(options=options)


@pytest.mark.parametrize(
    ("env_id", "action", "message"),
    [
        ("PhysCartPole-v0", np.array([np.nan], np.float32), "finite actions"),
        ("PhysCartPole-v0", np.array([np.inf], np.float32), "finite actions"),
        ("PhysCartPole-v0", np.zeros(2, np.float32), r"shape \(1, 1\), got float32 of shape \(1, 2\)"),
        ("PhysCartPole-v0", "left", "Expected actions as floats"),
        ("PhysCartPoleDiscrete-v0", 2, "Expected actions 0 or 1, got 2"),
        ("PhysCartPoleDiscrete-v0", 0.5, "Expected actions as integers"),
    ],
)
def test_bad_action_is_refused_and_changes_nothing(env_id: str, action: Any, message: str) -> None:
    env: Any = gym.make(env_id).unwrapped
    env.reset(seed=0)
    before = env.get_state().memory
    with pytest.raises(InputError, match=message):
        env.step(action)
    np.testing.assert_array_equal(env.get_state().memory, before)


def test_finite_action_out_of_range_is_clipped() -> None:
    one, ten = gym.make("PhysCartPole-v0").unwrapped, gym.make("PhysCartPole-v0").unwrapped
    one.reset(seed=0)
    ten.reset(seed=0)
    a = one.step(np.array([1.0], np.float32))
    b = ten.step(np.array([10.0], np.float32))
    np.testing.assert_array_equal(a[0], b[0])


def test_discrete_actions_are_full_forces() -> None:
    discrete, continuous = gym.make(IDS[1]).unwrapped, gym.make(IDS[0]).unwrapped
    for action in (0, 1):
        discrete.reset(seed=0)
        continuous.reset(seed=0)
        a = discrete.step(action)[0]
        b = continuous.step(np.array([2 * action - 1], np.float32))[0]
        np.testing.assert_array_equal(a, b)


def test_step_and_render_before_reset_are_refused() -> None:
    env = gym.make("PhysCartPole-v0", render_mode="rgb_array").unwrapped
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(1, np.float32))
    with pytest.raises(ResetNeeded):
        env.render()


@pytest.mark.parametrize(
    "kwargs", [{"integrator": "rk9"}, {"params": {"mass": 1.0}}, {"params": {"gravity": 0}}]
)
def test_bad_arguments_are_refused(kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"choose from|above 0"):
        gym.make("PhysCartPole-v0", **kwargs)


def test_pickled_environment_goes_on_identically() -> None:
    env: Any = gym.make("PhysCartPole-v0")
    env.reset(seed=1)
    env.step(np.array([0.3], np.float32))
    twin = pickle.loads(pickle.dumps(env))  # noqa: S301 - made on the line itself
    for _ in range(3):
        np.testing.assert_array_equal(
            env.step(np.array([0.1], np.float32))[0], twin.step(np.array([0.1], np.float32))[0]
        )
    np.testing.assert_array_equal(env.reset()[0], twin.reset()[0])
