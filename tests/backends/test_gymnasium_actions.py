"""Actions in Gymnasium environments: membership in the action space, and stored actions as executed."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TransformAction

from cartpole_phys.backends.random_policy import UniformPolicy
from cartpole_phys.backends.resolve import make_backend
from cartpole_phys.physics import Params
from cartpole_phys.policies.controllers import proportional, regulator
from cartpole_phys.rollouts.policy import ActionBatch
from cartpole_phys.spaces import bounds, executed
from cartpole_phys.utils.errors import InputError
from tests.backends.test_gymnasium_env import Always, registered  # noqa: F401 - a fixture
from tests.backends.test_native import FailingPolicy


@pytest.mark.parametrize("policy", [proportional(1.0, False), regulator(Params())])
def test_control_laws_for_cart_poles_are_rejected(policy: Any) -> None:
    with pytest.raises(InputError, match="control law for this package's cart-poles"):
        make_backend("CartPole-v1").play(policy, 1, 0)


def test_exceptions_of_a_policy_propagate() -> None:
    for jobs in (1, 2):
        with pytest.raises(ZeroDivisionError, match="no action"):
            make_backend("Pendulum-v1").play(FailingPolicy, 40, 0, jobs)


def test_uniform_actions_cover_the_action_space() -> None:
    box = spaces.Box(np.array([-2, 0]), np.array([1, 5]), dtype=np.float64)
    flat = spaces.Box(np.array([0.5, 0]), np.array([0.5, 5]), dtype=np.float64)
    for space, volume in ((box, 15.0), (flat, 5.0), (spaces.Discrete(3, start=-1), 3.0)):
        policy = UniformPolicy(space)
        policy.begin(10_000, np.random.default_rng(0))
        actions, infos = policy.act(np.zeros((10_000, 2), np.float32), np.zeros(10_000))
        np.testing.assert_allclose(infos["action_log_probs"], -np.log(volume), rtol=1e-6)
        low, high = (space.low, space.high) if isinstance(space, spaces.Box) else (-1, 1)
        np.testing.assert_allclose(actions.min(axis=0), low, atol=0.01)
        np.testing.assert_allclose(actions.max(axis=0), high, atol=0.01)
        np.testing.assert_array_equal(executed(space, actions, 10_000), actions)


def test_environments_execute_the_stored_actions() -> None:
    """Stored float32 actions lie within float64 bounds, which the environment checks."""
    for limit in (0.1, 0.3):  # the nearest float32 numbers are larger
        episodes = make_backend("Test/Odd-v0", {"limit": limit}).play(Always([7.0]), 1, 0)
        assert episodes.actions.dtype == np.float32
        assert 0.99 * limit < episodes.actions[0, 0] <= limit
        expected = (episodes.actions.sum(axis=1) / 10).astype("f4")
        np.testing.assert_allclose(episodes.next_observations[:, 0], expected, rtol=1e-6)
    assert bounds(spaces.Box(-0.1, 0.1, (1,), np.float64))[0] >= -0.1


class Mirror(Always):
    """A policy that does not check its observations for NaN."""

    def __init__(self) -> None:
        super().__init__(0.1)

    def act(self, observations: np.ndarray, rewards: np.ndarray) -> ActionBatch:
        return ActionBatch(self.action + observations[:, :1], {})


@pytest.mark.parametrize(
    ("env_id", "action", "words"),
    [
        ("Pendulum-v1", 1.0, r"actions as floats of shape \(32, 1\), got float64 of shape \(32,\)"),
        ("Pendulum-v1", [np.nan], "finite actions, got nan"),
        ("CartPole-v1", 0.5, "actions as integers"),
        ("CartPole-v1", 2, "actions from 0 to 1, got 2"),
    ],
)
def test_invalid_actions_are_rejected(env_id: str, action: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_backend(env_id).play(Always(action), 1, 0)


def test_actions_are_required_for_running_episodes_only() -> None:
    episodes = make_backend("Test/Blind-v0").play(Mirror(), 8, 0)
    assert len(set(episodes.lengths)) > 2
    assert np.isfinite(episodes.actions).all()


def test_stored_actions_are_not_modified_by_the_environment() -> None:
    """An in-place change of the action by the environment does not change the data."""

    def overwrite(action: Any) -> Any:
        action *= 0
        return action

    def make(**_: Any) -> gym.Env[Any, Any]:
        return TransformAction(gym.make("Pendulum-v1"), overwrite, None)

    gym.register("Test/Spoiling-v0", make, max_episode_steps=5)
    try:
        episodes = make_backend("Test/Spoiling-v0").play(Always([0.5]), 2, 0)
    finally:
        del gym.registry["Test/Spoiling-v0"]
    assert (episodes.actions == 0.5).all()
