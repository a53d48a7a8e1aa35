"""Rollouts equal stepping the environment with the policy, at any batch size."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import cartpole_phys
from cartpole_phys.backends.resolve import make_backend
from cartpole_phys.episodes import CUT, Episodes
from cartpole_phys.kernels.control_laws import PROPORTIONAL
from cartpole_phys.kernels.integrators import INTEGRATORS
from cartpole_phys.numeric.philox import key_from_seed
from cartpole_phys.policies.controllers import calibrate, proportional, swing_up, uniform
from cartpole_phys.rollouts.collect import collect, play, run_compiled
from cartpole_phys.rollouts.lockstep import BATCH_SIZE, run_lockstep
from cartpole_phys.rollouts.policy import ActionBatch, CompiledPolicy
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError

gym.register_envs(cartpole_phys)

GAIN = 1.1
FALLEN = np.radians(12)
IDS = CartPole.known_ids()
BUSY: dict[str, Any] = {
    "randomize": {"pole_mass": [0.05, 0.2], "cart_friction": [0.0, 0.1]},
    "observation_noise": [0.01, 0.02, 0.01, 0.03],
    "push_rate": 5.0,
    "substeps": 3,
}


class ProportionalInPython:
    """The control law of ``proportional`` as a batched Python policy."""

    def __init__(self, gain: float) -> None:
        self.gain = gain
        self.rewards: list[np.ndarray] = []

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        self.rewards = []

    def act(self, observations: np.ndarray, rewards: np.ndarray) -> ActionBatch:
        self.rewards.append(rewards)
        force = np.clip(self.gain * observations[:, 2:3].astype(np.float64), -1, 1)
        return ActionBatch(force.astype(np.float32), {"tilt": observations[:, 2]})


class NanWhenTerminal(ProportionalInPython):
    """Return NaN on terminal states and record the observations."""

    def __init__(self, gain: float) -> None:
        super().__init__(gain)
        self.seen: list[np.ndarray] = []

    def act(self, observations: np.ndarray, rewards: np.ndarray) -> ActionBatch:
        self.seen.append(observations)
        forces = super().act(observations, rewards).actions
        return ActionBatch(np.where(np.abs(observations[:, 2:3]) > FALLEN, np.nan, forces), {})


class Sampling:
    """Proportional control with noise from the batch's generator."""

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        self.generator = generator

    def act(self, observations: np.ndarray, rewards: np.ndarray) -> ActionBatch:
        noise = self.generator.standard_normal((len(observations), 1))
        return ActionBatch(np.clip(GAIN * observations[:, 2:3] + noise, -1, 1).astype(np.float32), {})


def assert_equal(a: Episodes, b: Episodes, infos: tuple[str, ...] = ("qpos", "qvel", "push", CUT)) -> None:
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
def test_rollout_equals_stepping_the_environment(env_id: str) -> None:
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


def _policies(system: CartPole) -> list[CompiledPolicy]:
    """The uniform random policy, and a stochastic control law."""
    if system.task.observation_size == 5:
        return [uniform(), swing_up(system.params, noise=0.3)]
    if system.continuous:
        return [uniform(), CompiledPolicy(PROPORTIONAL, (0.0, 0.0, GAIN, 0.1), noise=0.3)]
    return [uniform(), proportional(GAIN, False)]


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("env_id", IDS)
def test_rollout_equals_stepping_the_environment_with_all_options(env_id: str, integrator: str) -> None:
    arguments = {**BUSY, "integrator": integrator}
    env: Any = gym.make(env_id, **arguments)
    system = CartPole.from_id(env_id, arguments)
    for policy in _policies(system):
        rolled, row = play(system, policy, 4, seed=6), 0
        for episode, recorded in enumerate(rolled):
            observation, info = env.reset(seed=6) if episode == 0 else env.reset()
            for t, action in enumerate(recorded.actions):
                assert observation.tobytes() == recorded.observations[t].tobytes()
                assert info["params"].tobytes() == rolled.infos["params"][row].tobytes()
                state = env.unwrapped.columns.states[:, 0]
                assert state[[0, 2]].tobytes() == rolled.infos["qpos"][row].tobytes()
                assert state[[1, 3]].tobytes() == rolled.infos["qvel"][row].tobytes()
                observation, reward, terminated, truncated, info = env.step(action)
                assert info["push"] == rolled.infos["push"][row]
                assert np.float32(reward) == recorded.rewards[t]
                row += 1
            assert observation.tobytes() == recorded.final_observation.tobytes()
            assert (terminated, truncated and not terminated) == (recorded.terminated, recorded.truncated)
        assert row == rolled.steps
        assert rolled.infos["push"].any()


def test_lockstep_equals_compiled_at_any_batch_size() -> None:
    system, key = CartPole(), key_from_seed(4)
    compiled = run_compiled(system, proportional(GAIN, True), key, 10, 20)
    for batch_size in (20, 33):
        policy = ProportionalInPython(GAIN)
        lockstep = run_lockstep(system, policy, key, 10, 20, batch_size)
        assert_equal(compiled, lockstep)
        np.testing.assert_array_equal(lockstep.infos["tilt"], lockstep.observations[:, 2])
        assert (policy.rewards[0] == 0).all()
        assert (policy.rewards[1] == 1).all()


def test_python_policies_act_in_running_episodes_only() -> None:
    system, key, policy = CartPole.from_id("PhysCartPole-v0"), key_from_seed(2), NanWhenTerminal(GAIN)
    episodes = run_lockstep(system, policy, key, 0, 20, 32)
    assert_equal(episodes, run_compiled(system, proportional(GAIN, True), key, 0, 20))
    ends = episodes.lengths
    assert len(set(ends)) > 5
    for i in range(20):
        for step in range(ends[i], len(policy.seen)):
            np.testing.assert_array_equal(policy.seen[step][i], episodes.final_observations[i])
            assert policy.rewards[step][i] == (step == ends[i])


def test_single_episodes_can_be_reproduced() -> None:
    system, key = CartPole(continuous=False), key_from_seed(4)
    together = run_compiled(system, uniform(), key, 0, 50)
    alone = run_compiled(system, uniform(), key, 31, 1)
    np.testing.assert_array_equal(together[31].observations, alone[0].observations)
    np.testing.assert_array_equal(together[31].actions, alone[0].actions)


@pytest.mark.parametrize("steps", [1, 499, 500, 20_001])
def test_collect_returns_exactly_the_steps_and_marks_the_cut(steps: int) -> None:
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


def test_stochastic_policies_are_reproducible() -> None:
    system = CartPole(push_rate=5.0)
    for episodes in (20, BATCH_SIZE + 50):
        assert_equal(play(system, Sampling(), episodes, seed=7), play(system, Sampling(), episodes, seed=7))
    assert_equal(collect(system, Sampling(), 9_000, seed=7), collect(system, Sampling(), 9_000, seed=7))


def test_rows_of_a_stochastic_policy_do_not_depend_on_the_number_of_steps() -> None:
    system = CartPole(push_rate=5.0)
    longest = collect(system, Sampling(), 40_000, seed=7)
    assert len(longest) > 2 * BATCH_SIZE
    for steps in (1, 999, 30_000):
        assert_equal(collect(system, Sampling(), steps, seed=7), longest.head(steps))
    played = play(system, Sampling(), BATCH_SIZE + 50, seed=7)  # episodes, too, from one full batch on
    steps = int(played.offsets[-1])
    assert_equal(played, longest.head(steps), ("qpos", "qvel", "push"))


def test_uniform_policy_covers_the_action_space() -> None:
    actions = collect(CartPole(), uniform(), 50_000, 0).actions
    assert actions.min() > -1.0
    assert actions.max() < 1.0
    np.testing.assert_allclose(np.histogram(actions, 10, (-1, 1))[0] / 50_000, 0.1, atol=0.01)
    coins = collect(CartPole(continuous=False), uniform(), 50_000, 0).actions
    assert abs(coins.mean() - 0.5) < 0.01


@pytest.mark.parametrize("continuous", [True, False])
def test_calibration_reaches_the_target(continuous: bool) -> None:
    system = CartPole(continuous=continuous)
    gain = calibrate(system, lambda gain: proportional(gain, continuous), 200.0, 500, seed=1)
    reached = play(system, proportional(gain, continuous), 500, seed=1).returns.mean()
    assert abs(reached - 200.0) < 10.0


def test_discrete_probability_follows_the_tilt() -> None:
    data = collect(CartPole(continuous=False), proportional(4.0, False), 200_000, 0)
    tilt = data.observations[:, 2]
    near = np.abs(tilt - 0.1) < 0.01
    assert abs(data.actions[near].mean() - (0.5 + 0.5 * 4.0 * 0.1)) < 0.03


@pytest.mark.parametrize("seed", [-1, 1.5, True, None])
def test_invalid_seeds_are_rejected(seed: Any) -> None:
    for begin in (
        lambda: play(CartPole(), uniform(), 1, seed),
        lambda: collect(CartPole(), uniform(), 1, seed),
        lambda: make_backend("PhysCartPole-v0").stream(uniform(), seed, lambda *_: 1),
        lambda: make_backend("Pendulum-v1").stream(uniform(), seed, lambda *_: 1),
    ):
        with pytest.raises(InputError, match="Expected a seed as an integer of at least 0, got"):
            begin()


@pytest.mark.parametrize("wrong", [0, -5])
def test_zero_steps_or_episodes_are_rejected(wrong: int) -> None:
    policy = CompiledPolicy(0)
    with pytest.raises(InputError, match="at least 1"):
        collect(CartPole(), policy, wrong, 0)
    with pytest.raises(InputError, match="at least 1"):
        play(CartPole(), policy, wrong, 0)


def test_discrete_laws_record_the_probability_of_their_actions() -> None:
    data = collect(CartPole(continuous=False), proportional(1.5, False), 200_000, 0)
    right = np.clip(0.5 + 0.5 * 1.5 * data.observations[:, 2].astype(np.float64), 0.0, 1.0)
    probabilities = np.where(data.actions == 1, right, 1.0 - right)
    np.testing.assert_allclose(data.infos["action_log_probs"], np.log(probabilities), rtol=1e-6, atol=1e-6)
    surprise = (data.actions - right) / np.sqrt(right * (1.0 - right))
    assert abs(surprise.sum()) < 4.0 * np.sqrt(len(right))  # frequencies match the recorded probabilities
    sure = collect(CartPole(continuous=False), proportional(1.0, False, damping=0.1), 1_000, 0)
    assert not sure.infos["action_log_probs"].any()
    assert "action_log_probs" not in collect(CartPole(), proportional(1.0, True), 1_000, 0).infos
