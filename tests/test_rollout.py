"""Rollouts are what an environment and a policy give, however they are batched."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import cartpole_phys
from cartpole_phys.episodes import CUT, Episodes
from cartpole_phys.errors import InputError
from cartpole_phys.numeric.random_stream import key_from_seed
from cartpole_phys.policies.heuristic import calibrate, proportional, uniform
from cartpole_phys.rollout import collect, play, run_compiled
from cartpole_phys.rollouts.lockstep import run_lockstep
from cartpole_phys.rollouts.policy import ActionBatch, CompiledPolicy
from cartpole_phys.system import CartPole

gym.register_envs(cartpole_phys)

GAIN = 1.1


class ProportionalInPython:
    """The same control law as ``proportional``, through the protocol that neural policies use."""

    def __init__(self, gain: float) -> None:
        self.gain = gain
        self.rewards: list[np.ndarray] = []

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        self.rewards = []

    def act(self, observations: np.ndarray, rewards: np.ndarray) -> ActionBatch:
        self.rewards.append(rewards)
        force = np.clip(self.gain * observations[:, 2:3].astype(np.float64), -1, 1)
        return ActionBatch(force.astype(np.float32), {"tilt": observations[:, 2]})


def _assert_equal(a: Episodes, b: Episodes, infos: tuple[str, ...] = ("qpos", "qvel", "push", CUT)) -> None:
    for name in (
        "observations",
        "actions",
        "rewards",
        "terminations",
        "truncations",
        "final_observations",
        "offsets",
    ):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    for name in infos:
        np.testing.assert_array_equal(a.infos[name], b.infos[name], err_msg=name)


@pytest.mark.parametrize("env_id", ["PhysCartPole-v0", "PhysCartPoleDiscrete-v0"])
def test_rollout_is_the_environment_stepped_by_hand(env_id: str) -> None:
    env: Any = gym.make(env_id, integrator="euler")
    system = CartPole.from_id(env_id, {"integrator": "euler"})
    rolled = play(system, proportional(GAIN, system.continuous), 5, seed=9)
    for episode, recorded in enumerate(rolled):
        observation, _ = env.reset(seed=9) if episode == 0 else env.reset()
        for t, action in enumerate(recorded.actions):
            np.testing.assert_array_equal(observation, recorded.observations[t])
            observation, reward, terminated, truncated, _ = env.step(action)
            assert reward == recorded.rewards[t]
        np.testing.assert_array_equal(observation, recorded.final_observation)
        assert (terminated, truncated and not terminated) == (recorded.terminated, recorded.truncated)


def test_lockstep_equals_compiled_at_any_batch_size() -> None:
    system, key = CartPole(), key_from_seed(4)
    compiled = run_compiled(system, proportional(GAIN, True), key, 10, 20)
    for batch_size in (20, 33):
        policy = ProportionalInPython(GAIN)
        lockstep = run_lockstep(system, policy, key, 10, 20, batch_size)
        _assert_equal(compiled, lockstep)
        np.testing.assert_array_equal(lockstep.infos["tilt"], lockstep.observations[:, 2])
        assert (policy.rewards[0] == 0).all()
        assert all((rewards == 1).all() for rewards in policy.rewards[1:])


def test_an_episode_can_be_made_again_alone() -> None:
    system, key = CartPole(continuous=False), key_from_seed(4)
    together = run_compiled(system, uniform(), key, 0, 50)
    alone = run_compiled(system, uniform(), key, 31, 1)
    np.testing.assert_array_equal(together[31].observations, alone[0].observations)
    np.testing.assert_array_equal(together[31].actions, alone[0].actions)


@pytest.mark.parametrize("steps", [1, 499, 500, 20_001])
def test_collect_gives_exactly_the_steps_and_marks_the_cut(steps: int) -> None:
    system = CartPole()
    data = collect(system, proportional(GAIN, True), steps, seed=0)
    longer = collect(system, proportional(GAIN, True), steps + 500, seed=0)
    assert data.steps == steps
    assert data.terminations[-1] | data.truncations[-1]
    np.testing.assert_array_equal(data.observations, longer.observations[:steps])
    np.testing.assert_array_equal(data.next_observations, longer.next_observations[:steps])
    ended_by_itself = bool((longer.terminations | longer.truncations)[steps - 1])
    assert data.infos[CUT][-1] == (not ended_by_itself)
    assert not data.infos[CUT][:-1].any()
    assert data.complete.sum() == len(data) - (not ended_by_itself)


def test_progress_is_told_up_to_the_end() -> None:
    told: list[int] = []
    collect(CartPole(), uniform(), 10_000, 0, told.append)
    assert told == sorted(told)
    assert told[-1] == 10_000


def test_uniform_policy_covers_the_action_space() -> None:
    actions = collect(CartPole(), uniform(), 50_000, 0).actions
    assert actions.min() > -1.0
    assert actions.max() < 1.0
    np.testing.assert_allclose(np.histogram(actions, 10, (-1, 1))[0] / 50_000, 0.1, atol=0.01)
    coins = collect(CartPole(continuous=False), uniform(), 50_000, 0).actions
    assert abs(coins.mean() - 0.5) < 0.01


@pytest.mark.parametrize("continuous", [True, False])
def test_calibration_meets_the_target(continuous: bool) -> None:
    system = CartPole(continuous=continuous)
    gain = calibrate(system, 200.0, 500, seed=1)
    reached = play(system, proportional(gain, continuous), 500, seed=1).returns.mean()
    assert abs(reached - 200.0) < 10.0


def test_discrete_probability_follows_the_tilt() -> None:
    data = collect(CartPole(continuous=False), proportional(4.0, False), 200_000, 0)
    tilt = data.observations[:, 2]
    near = np.abs(tilt - 0.1) < 0.01
    assert abs(data.actions[near].mean() - (0.5 + 0.5 * 4.0 * 0.1)) < 0.03


@pytest.mark.parametrize("wrong", [0, -5])
def test_nothing_to_do_is_refused(wrong: int) -> None:
    policy = CompiledPolicy(0)
    with pytest.raises(InputError, match="at least 1"):
        collect(CartPole(), policy, wrong, 0)
    with pytest.raises(InputError, match="at least 1"):
        play(CartPole(), policy, wrong, 0)
