"""The swing-up task: start states, observations, reward and termination."""

import math
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from cartpole_phys import build_dataset, check
from tests.support.vector_comparison import SWING_UP

STATES = np.random.default_rng(0).uniform(-1, 1, (300, 4)) * [2.4, 4.0, 7.0, 9.0]


def _make(**kwargs: Any) -> Any:
    return gym.make(SWING_UP, disable_env_checker=True, **kwargs)


def _tolerance(value: float, margin: float, value_at_margin: float) -> float:
    """Compute dm_control's ``rewards.tolerance`` around 0 with the "quadratic" sigmoid."""
    scaled = abs(value) / margin * math.sqrt(1 - value_at_margin)
    return 1 - scaled**2 if scaled < 1 else 0.0


def _reward(state: np.ndarray, action: float) -> float:
    """Compute dm_control's reward (``suite/cartpole.py``, ``_get_reward``) with quadratic tolerances."""
    x, _, theta, theta_dot = state
    upright = (math.cos(theta) + 1) / 2
    centered = (1 + _tolerance(x, 2, 0.1)) / 2
    small_control = (4 + _tolerance(action, 1, 0.0)) / 5
    small_velocity = (1 + _tolerance(theta_dot, 5, 0.1)) / 2
    return upright * small_control * small_velocity * centered


def test_reward_matches_dm_control_with_quadratic_tolerances() -> None:
    env, rewards = _make(), []
    for state, action in zip(STATES, np.random.default_rng(1).uniform(-1, 1, 300), strict=True):
        env.reset(options={"state": state})
        reward = env.step(np.array([action], np.float32))[1]
        assert math.isclose(
            reward, _reward(env.unwrapped.state, float(np.float32(action))), rel_tol=1e-12, abs_tol=1e-15
        )
        rewards.append(reward)
    assert min(rewards) >= 0.0
    assert max(rewards) <= 1.0
    assert np.ptp(rewards) > 0.5


@pytest.mark.parametrize(
    ("state", "action"),
    [
        ((0.01, 0, 0, 0), 0.0),
        ((0, 0, 0.01, 0), 0.0),
        ((0, 0, 0, 0.01), 0.0),
        ((0, 0, 0, 0), 0.01),
    ],
)
def test_reward_is_one_only_at_the_upright_equilibrium(state: Any, action: float) -> None:
    env = _make()
    env.reset(options={"state": (0, 0, 0, 0)})
    assert env.step(np.zeros(1, np.float32))[1] == 1.0
    env.reset(options={"state": state})
    assert 0.9 < env.step(np.array([action], np.float32))[1] < 1.0


def test_reward_uses_the_clipped_action() -> None:
    env, rewards = _make(), []
    for action in (1.0, 5.0):
        env.reset(seed=0)
        rewards.append(env.step(np.array([action], np.float32))[1])
    assert rewards[0] == rewards[1] > 0


def test_episodes_start_with_the_pole_down() -> None:
    envs: Any = gym.make_vec(SWING_UP, num_envs=5_000)
    x, x_dot, cosine, sine, theta_dot = envs.reset(seed=0)[0].T
    angle = np.arctan2(-sine, -cosine)  # from straight down
    for variable in (x, x_dot, angle, theta_dot):
        assert -0.0501 < variable.min() < -0.049
        assert 0.049 < variable.max() < 0.0501


def test_observation_contains_cosine_and_sine() -> None:
    env = _make()
    for x, x_dot, theta, theta_dot in STATES[:50]:
        observation, _ = env.reset(options={"state": (x, x_dot, theta, theta_dot)})
        expected = [x, x_dot, math.cos(theta), math.sin(theta), theta_dot]
        np.testing.assert_allclose(observation, np.array(expected, np.float32), rtol=1e-6, atol=1e-9)
        assert observation.dtype == np.float32
        assert env.observation_space.contains(observation)


def test_observation_and_reward_are_invariant_to_full_turns() -> None:
    for state in STATES[:50]:
        outputs = []
        for turns in (0, 1, -3):
            env = _make()
            env.reset(options={"state": state + np.array([0, 0, 2 * math.pi * turns, 0])})
            outputs.append(np.array([*(step := env.step(np.array([0.3], np.float32)))[0], step[1]]))
        np.testing.assert_allclose(outputs[1:], [outputs[0]] * 2, rtol=2e-6, atol=1e-7)


def test_episodes_end_by_track_limit_or_time_limit_only() -> None:
    env = _make()
    spin = 9.0  # rad/s, enough for full turns; the cart velocity cancels the total momentum
    env.reset(options={"state": (0, 0.05 * spin / 1.1, math.pi, spin)})
    for step in range(1, 501):
        _, _, terminated, truncated, _ = env.step(np.zeros(1, np.float32))
        assert (terminated, truncated) == (False, step == 500)
    assert env.unwrapped.state[2] > 4 * math.pi
    for side in (-1, 1):
        env.reset(options={"state": (side * 2.39, 0, math.pi, 0)})
        assert not env.step(np.zeros(1, np.float32))[2]
        env.reset(options={"state": (side * 2.39, side * 1.0, math.pi, 0)})
        assert env.step(np.zeros(1, np.float32))[2]
        assert abs(env.unwrapped.state[0]) > 2.4


@pytest.mark.parametrize("kwargs", [{}, {"randomize": {"pole_mass": [0.05, 0.2]}, "push_rate": 5.0}])
def test_random_data_set_passes_every_gate(tmp_path: Path, kwargs: dict[str, Any]) -> None:
    path = build_dataset(SWING_UP, "random", steps=3_000, env_kwargs=kwargs, out=tmp_path)
    assert {result.gate for result in check(path) if result.status != "passed"} <= {
        "log_probs",
        "parts",
        "stitching",
    }
