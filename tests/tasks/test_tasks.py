"""User-defined tasks: a toy task defined in this file works in all parts of the package."""

import copy
import math
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from cartpole_phys.data.building.build import build_dataset
from cartpole_phys.data.checks.run import check
from cartpole_phys.data.loading import load_file
from cartpole_phys.data.score import all_references
from cartpole_phys.numeric.compiled import inlined, kernel
from cartpole_phys.numeric.elementary import sin_cos
from cartpole_phys.policies.controllers import uniform
from cartpole_phys.policies.resolve import names_for
from cartpole_phys.registration import ENVIRONMENTS, Registration
from cartpole_phys.rollouts.collect import play
from cartpole_phys.system import CartPole
from cartpole_phys.tasks import TASKS
from cartpole_phys.tasks.base import Task, observe_state, unit_reward
from cartpole_phys.utils.errors import InputError
from tests.support.vector_comparison import MODES, Pair

WEIGHT = 0.25
TOY_ID = "PhysCartPoleToy-v0"


@inlined
def _reward(x: float, x_dot: float, theta: float, theta_dot: float, action: float) -> float:
    return x + 2.0 * x_dot - theta * theta_dot - WEIGHT * action


@inlined
def _observation(x: float, x_dot: float, theta: float, theta_dot: float) -> tuple[np.float32, ...]:
    sine, cosine = sin_cos(theta)
    return (
        np.float32(theta_dot),
        np.float32(cosine),
        np.float32(sine),
        np.float32(x_dot),
        np.float32(x),
        np.float32(theta + x),
    )


TOY = Task(
    name="toy",
    reward=_reward,
    observation=_observation,
    observation_bounds=(math.inf, 1.0, 1.0, math.inf, 1.0, 3.0),
    start_angle=0.5,
    theta_threshold=1.0,
    x_threshold=0.5,
    max_episode_steps=30,
)
MEASURED = {"mean": 0.0, "low": -1.0, "high": 1.0, "episodes": 1_000, "seed": 0, "policy": "toy"}


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Register the toy task as a module of the package would, and return its id."""
    own = Registration("toy", max_episode_steps=30)
    monkeypatch.setitem(TASKS, "toy", TOY)
    monkeypatch.setattr("cartpole_phys.system.ENVIRONMENTS", {**ENVIRONMENTS, TOY_ID: own})
    references = {"ref_min": {**MEASURED, "mean": -21.0}, "ref_max": MEASURED}
    monkeypatch.setitem(all_references(), TOY_ID, references)
    gym.register(
        TOY_ID,
        entry_point="cartpole_phys.env:PhysCartPoleEnv",
        vector_entry_point="cartpole_phys.vector:PhysCartPoleVectorEnv",
        kwargs={"task": own.task, "continuous": own.continuous},
        max_episode_steps=own.max_episode_steps,
    )
    yield TOY_ID
    del gym.registry[TOY_ID]


def _rewards(states: np.ndarray, actions: Any) -> np.ndarray:
    """Compute the rewards of states (…, 4) and actions (…)."""
    x, x_dot, theta, theta_dot = np.moveaxis(states, -1, 0)
    return x + 2.0 * x_dot - theta * theta_dot - 0.25 * actions


def _observations(states: np.ndarray) -> np.ndarray:
    x, x_dot, theta, theta_dot = np.moveaxis(states, -1, 0)
    components = [theta_dot, np.cos(theta), np.sin(theta), x_dot, x, theta + x]
    return np.stack(components, axis=-1).astype(np.float32)


def test_toy_task_start_reward_observation_and_termination(toy: str) -> None:
    env: Any = gym.make(toy, disable_env_checker=True).unwrapped
    high = np.array([np.finfo(np.float32).max, 1, 1, np.finfo(np.float32).max, 1, 3], np.float32)
    np.testing.assert_array_equal(env.observation_space.high, high)
    observation, _ = env.reset(seed=1)
    np.testing.assert_allclose(env.state, [0, 0, 0.5, 0], atol=0.05)
    terminated = False
    while not terminated:
        np.testing.assert_allclose(observation, _observations(env.state), rtol=1e-6)
        observation, reward, terminated, _, _ = env.step(np.array([-0.5], np.float32))
        assert reward == pytest.approx(_rewards(env.state, -0.5), rel=1e-12)
        assert terminated == (abs(env.state[2]) > 1.0 or abs(env.state[0]) > 0.5)


@pytest.mark.parametrize("mode", MODES)
def test_toy_task_vector_environments_equal_scalar_environments(toy: str, mode: str) -> None:
    pair = Pair(toy, mode, {})
    pair.reset(seed=3)
    terminations, _ = pair.run(100)
    assert terminations > 0


def test_toy_task_snapshots_with_noise_and_pushes(toy: str) -> None:
    pair = Pair(toy, "SameStep", {"observation_noise": 0.01, "push_rate": 20.0})
    pair.reset(seed=3)
    pair.run(60)
    snapshot = pickle.loads(pickle.dumps(pair.ours.get_state()))  # noqa: S301  bytes of this test
    expected = [pair.ours.step(np.full((5, 1), 0.3, np.float32))[:4] for _ in range(5)]
    assert snapshot.system == pair.ours.system == copy.deepcopy(pair.ours.system)
    pair.ours.set_state(snapshot)
    restored = [pair.ours.step(np.full((5, 1), 0.3, np.float32))[:4] for _ in range(5)]
    np.testing.assert_equal(restored, expected)


def test_toy_task_rollouts(toy: str) -> None:
    system = CartPole.from_id(toy)
    played = play(system, uniform(), 20, seed=4)
    data = played.as_d4rl()
    states = np.stack([data["infos/qpos"][:, 0], data["infos/qvel"][:, 0]], 1)  # (N, 2): x, ẋ
    states = np.concatenate([states, np.stack([data["infos/qpos"][:, 1], data["infos/qvel"][:, 1]], 1)], 1)
    np.testing.assert_allclose(data["observations"], _observations(states), rtol=1e-6)
    inside = np.flatnonzero(~(data["terminals"] | data["timeouts"]))
    after, actions = states[inside + 1], data["actions"][inside, 0]
    np.testing.assert_allclose(data["rewards"][inside], _rewards(after, actions), rtol=1e-5, atol=1e-6)
    assert played.lengths.max() <= 30


def test_toy_task_data_sets(toy: str, tmp_path: Path) -> None:
    path = build_dataset(toy, "random", steps=500, out=tmp_path)
    data = load_file(path)
    assert data.observations.shape == (500, 6)
    assert check(path).passed
    with pytest.raises(InputError, match=r"drives carts only, so it is not available"):
        build_dataset(toy, "heuristic", steps=500, out=tmp_path)
    assert names_for(CartPole.from_id(toy)) == ("random",)


def test_control_laws_require_four_observations() -> None:
    with pytest.raises(ValueError, match="at least 4 observation_bounds, got 3"):
        Task("short", unit_reward, observe_state, (1.0, 1.0, 1.0), start_angle=0.0)


@pytest.mark.parametrize("name", TASKS)
def test_observation_size_matches_the_bounds(name: str) -> None:
    observation = TASKS[name].observation

    @kernel
    def size(x: float) -> int:
        return len(observation(x, x, x, x))

    assert size(0.0) == TASKS[name].observation_size
    assert TASKS[name].name == name


def test_all_environments_have_a_task_and_reference_returns() -> None:
    assert {own.task for own in ENVIRONMENTS.values()} == TASKS.keys()
    assert ENVIRONMENTS.keys() <= all_references().keys()
