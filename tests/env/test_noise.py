"""Observation noise: its distribution, and that it affects the observation only."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from cartpole_phys import build_dataset, check
from cartpole_phys.data.loading import load_file
from tests.support.vector_comparison import DISCRETE, IDS, SWING_UP, assert_same

NOISE = [0.1, 0.4, 0.05, 0.8]  # m, m/s, rad, rad/s


def _make(env_id: str, noise: Any) -> Any:
    return gym.make(env_id, disable_env_checker=True, observation_noise=noise)


def _actions(env_id: str, num_envs: int) -> np.ndarray:
    actions = np.random.default_rng(0).uniform(-1, 1, (num_envs, 1)).astype(np.float32)
    return (actions[:, 0] > 0).astype(np.int64) if env_id == DISCRETE else actions


def _measured_states(observations: np.ndarray) -> np.ndarray:
    """Convert observations to noisy x, ẋ, θ, θ̇ in float64."""
    if observations.shape[-1] == 4:
        return observations.astype(np.float64)
    x, x_dot, cosine, sine, theta_dot = observations.astype(np.float64).T
    return np.stack([x, x_dot, np.arctan2(sine, cosine), theta_dot]).T


def _errors(envs: Any, observations: np.ndarray) -> np.ndarray:
    """Observation minus state, (n, 4); angles between −π and π."""
    errors = _measured_states(observations) - envs.columns.states.T
    errors[:, 2] = (errors[:, 2] + np.pi) % (2 * np.pi) - np.pi
    return errors


@pytest.mark.parametrize("env_id", IDS)
def test_noise_is_uniform_and_independent(env_id: str) -> None:
    envs: Any = gym.make_vec(env_id, num_envs=10_000, observation_noise=NOISE)
    now = _errors(envs, envs.reset(seed=0)[0])
    later = _errors(envs, envs.step(_actions(env_id, 10_000))[0])
    for errors in (now, later):
        scaled = errors / NOISE
        assert np.abs(scaled).max() <= 1 + 1e-4  # rounding of float32, cosine and sine
        for variable in scaled.T:
            np.testing.assert_allclose(np.histogram(variable, 8, (-1, 1))[0] / 10_000, 1 / 8, atol=0.015)
    together = np.corrcoef(np.concatenate([now, later], axis=1).T) - np.eye(8)
    assert np.abs(together).max() < 0.05


@pytest.mark.parametrize("env_id", IDS)
def test_noise_does_not_affect_state_reward_or_termination(env_id: str) -> None:
    noisy, clean = _make(env_id, NOISE), _make(env_id, 0.0)
    noisy.reset(seed=3)
    clean.reset(seed=3)
    for action in _actions(env_id, 200):
        a, b = noisy.step(action), clean.step(action)
        assert_same(noisy.unwrapped.state, clean.unwrapped.state)
        assert_same(a[1:], b[1:])
        assert (a[0] != b[0]).any()
        if b[2]:
            noisy.reset()
            clean.reset()


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("noise", [0.0, [0.0] * 4, 0])
def test_zero_noise_observes_the_state(env_id: str, noise: Any) -> None:
    envs: Any = gym.make_vec(env_id, num_envs=50, observation_noise=noise)
    observations, _ = envs.reset(seed=1)
    np.testing.assert_allclose(_errors(envs, observations), 0.0, atol=1e-6)
    assert_same(observations, gym.make_vec(env_id, num_envs=50).reset(seed=1)[0])


def test_components_with_zero_noise_are_exact() -> None:
    env = _make("PhysCartPole-v0", [0.1, 0.0, 0.1, 0.0])
    observation, _ = env.reset(seed=1)
    exact = env.unwrapped.state.astype(np.float32)
    np.testing.assert_array_equal(observation == exact, [False, True, False, True])


def test_scalar_noise_applies_to_all_components() -> None:
    assert_same(*(_make("PhysCartPole-v0", noise).reset(seed=1)[0] for noise in (0.1, [0.1] * 4)))


@pytest.mark.parametrize("env_id", IDS)
def test_noise_differs_at_each_step_and_is_reproducible(env_id: str) -> None:
    near_zero_forces: Any = {"params": {"gravity": 1e-12, "force_mag": 1e-12}}
    envs: Any = gym.make_vec(env_id, num_envs=3, observation_noise=NOISE, **near_zero_forces)

    def run() -> np.ndarray:
        """Observations of a system at rest, over two episodes."""
        observations = []
        for seed in (4, None):
            observations.append(envs.reset(seed=seed, options={"state": (0, 0, 0, 0)})[0])
            observations += [envs.step(_actions(env_id, 3))[0] for _ in range(20)]
        return np.array(observations)

    observations = run()
    assert len(np.unique(observations.reshape(-1, observations.shape[-1]), axis=0)) == 2 * 21 * 3
    assert_same(run(), observations)
    assert_same(envs.set_state(envs.get_state()), observations[-1])


@pytest.mark.parametrize(
    ("env_id", "policy"), [("PhysCartPole-v0", "heuristic"), (DISCRETE, "random"), (SWING_UP, "random")]
)
def test_noisy_data_set_passes_every_gate(tmp_path: Path, env_id: str, policy: str) -> None:
    kwargs = {"observation_noise": [0.01, 0.0, 0.02, 0.1]}
    path = build_dataset(env_id, policy, steps=2_000, env_kwargs=kwargs, out=tmp_path)
    assert {result.gate for result in check(path) if result.status != "passed"} <= {
        "log_probs",
        "parts",
        "stitching",
    }
    data = load_file(path)
    np.testing.assert_array_equal(data.observations[:, 1], data.infos["qvel"][:, 0].astype(np.float32))
    assert (data.observations[:, 0] != data.infos["qpos"][:, 0].astype(np.float32)).mean() > 0.99
