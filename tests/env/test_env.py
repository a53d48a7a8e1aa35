"""The scalar environments: API checkers, seeding, reset options and actions."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import cartpole_phys

gym.register_envs(cartpole_phys)

IDS = ["PhysCartPole-v0", "PhysCartPoleDiscrete-v0", "PhysCartPoleSwingUp-v0"]


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("integrator", ["euler", "semi_implicit_euler"])
def test_env_checkers_pass_without_warnings(env_id: str, integrator: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(env_id, integrator=integrator, render_mode="rgb_array").unwrapped)
        check_env_sb3(gym.make(env_id, integrator=integrator).unwrapped, warn=True)


def test_module_prefix_imports_the_package() -> None:
    assert gym.make("cartpole_phys:PhysCartPole-v0").spec is not None


@pytest.mark.parametrize("env_id", IDS)
def test_seed_is_reproducible_and_each_reset_differs(env_id: str) -> None:
    env, twin = gym.make(env_id), gym.make(env_id)
    starts = [env.reset(seed=7)[0], *(env.reset()[0] for _ in range(3))]
    repeated = [twin.reset(seed=7)[0], *(twin.reset()[0] for _ in range(3))]
    np.testing.assert_array_equal(starts, repeated)
    assert len(np.unique(starts, axis=0)) == 4
    assert np.abs(np.array(starts)[:, [0, 1, -1]]).max() <= 0.05


def test_unseeded_environments_differ() -> None:
    a, b = (gym.make("PhysCartPole-v0").reset()[0] for _ in range(2))
    assert (a != b).any()


def test_start_bounds_through_options() -> None:
    env = gym.make("PhysCartPole-v0")
    starts = np.array([env.reset(options={"low": 0.1, "high": 0.2})[0] for _ in range(50)])
    assert starts.min() >= np.float32(0.1)
    assert starts.max() <= np.float32(0.2)


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


def test_step_and_render_before_reset_are_rejected() -> None:
    env = gym.make("PhysCartPole-v0", render_mode="rgb_array").unwrapped
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(1, np.float32))
    with pytest.raises(ResetNeeded):
        env.render()
