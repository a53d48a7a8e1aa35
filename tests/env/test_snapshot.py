"""``get_state`` and ``set_state``: a restored environment continues identically."""

import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

import cartpole_phys

gym.register_envs(cartpole_phys)

KWARGS: dict[str, Any] = {"push_rate": 20.0, "params": {"cart_friction": 0.01}}


def _actions(steps: int, num_envs: int | None = None) -> np.ndarray:
    shape = (steps, 1) if num_envs is None else (steps, num_envs, 1)
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def _run(env: Any, actions: np.ndarray) -> list[np.ndarray]:
    """Step with each action and return observations and pushes; reset a terminated scalar environment."""
    outputs = []
    for action in actions:
        observation, _, terminated, _, info = env.step(action)
        outputs += [observation, np.asarray(info.get("push", 0.0))]
        if isinstance(terminated, bool) and terminated:
            outputs.append(env.reset()[0])
    return outputs


def test_restored_scalar_environment_continues_identically() -> None:
    env: Any = gym.make("PhysCartPole-v0", **KWARGS).unwrapped
    env.reset(seed=3)
    _run(env, _actions(15))
    snapshot = pickle.loads(pickle.dumps(env.get_state()))  # noqa: S301 - pickled on the same line
    expected = _run(env, _actions(100))
    twin: Any = gym.make("PhysCartPole-v0", **KWARGS).unwrapped
    for other in (env, twin):
        other.set_state(snapshot)
        np.testing.assert_equal(_run(other, _actions(100)), expected)
    assert env.np_random.random() == twin.np_random.random()


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_restored_vector_environment_continues_identically(mode: str) -> None:
    kwargs: dict[str, Any] = {"num_envs": 5, "autoreset_mode": mode, "max_episode_steps": 40, **KWARGS}
    envs: Any = gym.make_vec("PhysCartPole-v0", **kwargs)
    envs.reset(seed=3)
    _run(envs, _actions(37, 5))
    snapshot = envs.get_state()
    expected = _run(envs, _actions(100, 5))
    twin: Any = gym.make_vec("PhysCartPole-v0", **kwargs)
    for other in (envs, twin):
        other.set_state(snapshot)
        np.testing.assert_equal(_run(other, _actions(100, 5)), expected)


def test_snapshot_is_a_copy() -> None:
    env: Any = gym.make("PhysCartPole-v0").unwrapped
    env.reset(seed=0)
    snapshot = env.get_state()
    before = snapshot.memory.copy()
    _run(env, _actions(5))
    np.testing.assert_array_equal(snapshot.memory, before)
    env.set_state(snapshot)
    _run(env, _actions(5))
    np.testing.assert_array_equal(snapshot.memory, before)


def test_get_state_requires_a_reset() -> None:
    env: Any
    for env in (gym.make("PhysCartPole-v0").unwrapped, gym.make_vec("PhysCartPole-v0", num_envs=3)):
        with pytest.raises(ResetNeeded):
            env.get_state()
