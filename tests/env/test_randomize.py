"""Domain randomization: the distribution of the sampled parameters and their effect on the dynamics."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from cartpole_phys import build_dataset, check
from cartpole_phys.data.loading import load_file
from cartpole_phys.numeric.philox import key_from_seed
from cartpole_phys.policies.controllers import proportional, uniform
from cartpole_phys.rollouts.collect import play, run_compiled
from cartpole_phys.rollouts.lockstep import run_lockstep
from cartpole_phys.rollouts.policy import ActionBatch
from cartpole_phys.system import PARAM_NAMES, CartPole
from tests.support.vector_comparison import DISCRETE, IDS, SWING_UP, assert_same

RANGES = {"pole_mass": [0.05, 0.3], "force_mag": [8.0, 12.0], "cart_friction": [0.0, 0.1]}
KWARGS: dict[str, Any] = {"randomize": RANGES, "params": {"gravity": 9.0}}
# All random features that depend on the episode's key.
VARIED: dict[str, Any] = {**KWARGS, "observation_noise": 0.01, "push_rate": 5.0}
SEED = 6


def _make(env_id: str, kwargs: dict[str, Any]) -> Any:
    return gym.make(env_id, disable_env_checker=True, **kwargs)


def test_parameters_are_uniform_and_independent() -> None:
    envs = gym.make_vec("PhysCartPole-v0", num_envs=20_000, **KWARGS)
    sampled = envs.reset(seed=0)[1]["params"]
    for name, (low, high) in RANGES.items():
        values = sampled[:, PARAM_NAMES.index(name)]
        assert low <= values.min() < values.max() <= high
        np.testing.assert_allclose(np.histogram(values, 10, (low, high))[0] / 20_000, 0.1, atol=0.01)
    others = [i for i, name in enumerate(PARAM_NAMES) if name not in RANGES]
    fixed = CartPole.from_id("PhysCartPole-v0", KWARGS).params.values
    np.testing.assert_array_equal(sampled[:, others], np.tile(fixed, (20_000, 1))[:, others])
    chosen = [PARAM_NAMES.index(name) for name in RANGES]
    correlation = np.corrcoef(sampled[:, chosen].T) - np.eye(3)
    assert np.abs(correlation).max() < 0.03


def test_parameters_are_constant_within_an_episode() -> None:
    data = play(CartPole.from_id("PhysCartPole-v0", KWARGS), uniform(), 300, SEED)
    rows = [data.infos["params"][a:b] for a, b in zip(data.offsets[:-1], data.offsets[1:], strict=True)]
    assert all((own == own[0]).all() for own in rows)
    sampled = np.array([own[0] for own in rows])
    assert [len(np.unique(sampled[:, PARAM_NAMES.index(name)])) for name in RANGES] == [300] * 3


@pytest.mark.parametrize("env_id", IDS)
def test_dynamics_use_the_sampled_parameters(env_id: str) -> None:
    """Compare bit for bit with an environment created with the sampled parameters."""
    env = _make(env_id, {**KWARGS, "diagnostics": True})
    for episode in range(5):
        first, info = env.reset(seed=SEED if episode == 0 else None)
        given = dict(zip(PARAM_NAMES, info["params"].tolist(), strict=True))
        twin = _make(env_id, {"params": given, "diagnostics": True})
        assert env.unwrapped.params == twin.unwrapped.params
        assert_same(twin.reset(options={"state": env.unwrapped.state})[0], first)
        for step in range(10):
            action = np.int64(step % 2) if env_id == DISCRETE else np.array([0.7 - 0.2 * step], np.float32)
            after = env.step(action)
            np.testing.assert_array_equal(after[4].pop("params"), info["params"])
            assert_same(twin.step(action), after)


def test_degenerate_range_is_constant() -> None:
    env = _make("PhysCartPole-v0", {"randomize": {"pole_mass": [0.3, 0.3]}})
    twin = _make("PhysCartPole-v0", {"params": {"pole_mass": 0.3}})
    env.reset(seed=SEED)
    twin.reset(seed=SEED)
    assert env.unwrapped.params == twin.unwrapped.params
    assert_same(env.step(np.ones(1, np.float32))[0], twin.step(np.ones(1, np.float32))[0])


@pytest.mark.parametrize("env_id", IDS)
def test_start_states_do_not_depend_on_randomization(env_id: str) -> None:
    assert_same(_make(env_id, KWARGS).reset(seed=SEED)[0], _make(env_id, {}).reset(seed=SEED)[0])


def test_assigned_parameters_last_until_the_next_reset() -> None:
    env = _make("PhysCartPole-v0", KWARGS).unwrapped
    _, info = env.reset(seed=SEED)
    env.params = {"pole_mass": 0.9, "half_length": 0.7}
    _, later = env.reset()
    assert env.params.half_length == 0.7
    assert 0.05 <= env.params.pole_mass <= 0.3
    assert (later["params"] != info["params"]).any()


@pytest.mark.parametrize("env_id", IDS)
def test_rollout_scalar_and_vector_environments_agree(env_id: str) -> None:
    """Compare observations, rewards, pushes and parameters for one seed."""
    system = CartPole.from_id(env_id, VARIED)
    policy = uniform() if env_id == SWING_UP else proportional(1.1, system.continuous)
    rollout = play(system, policy, 3, SEED)
    env = _make(env_id, VARIED)
    envs: Any = gym.make_vec(env_id, num_envs=2, autoreset_mode="SameStep", **VARIED)
    vector_observations, vector_info = envs.reset(seed=[SEED, 0])
    for index, episode in enumerate(rollout):
        observation, info = env.reset(seed=SEED if index == 0 else None)
        assert_same(vector_info["params"][0], info["params"])
        for t, action in enumerate(episode.actions, start=int(rollout.offsets[index])):
            assert_same(observation, rollout.observations[t])
            assert_same(vector_observations[0], observation)
            assert_same(info["params"], rollout.infos["params"][t])
            vector_observations, rewards, _, _, vector_info = envs.step(np.stack([action, action]))
            observation, reward, _, _, info = env.step(action)
            assert np.float32(reward) == rollout.rewards[t]
            assert rewards[0] == reward
            assert info["push"] == rollout.infos["push"][t]
        assert_same(observation, episode.final_observation)


class _ProportionalPolicy:
    """The control law of ``proportional(1.1, True)`` as a batched policy, as neural policies are."""

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        pass

    def act(self, observations: np.ndarray, rewards: np.ndarray) -> ActionBatch:
        force = np.clip(1.1 * observations[:, 2:3].astype(np.float64), -1, 1)
        return ActionBatch(force.astype(np.float32), {})


def test_lockstep_and_compiled_rollouts_agree() -> None:
    system, key = CartPole.from_id("PhysCartPole-v0", VARIED), key_from_seed(SEED)
    compiled = run_compiled(system, proportional(1.1, True), key, 5, 12)
    lockstep = run_lockstep(system, _ProportionalPolicy(), key, 5, 12, 16)
    assert_same(lockstep.as_d4rl(), compiled.as_d4rl())
    assert {"infos/params", "infos/noise_key"} <= compiled.as_d4rl().keys()


@pytest.mark.parametrize(
    ("env_id", "policy", "tier"), [("PhysCartPole-v0", "heuristic", "medium"), (DISCRETE, "random", None)]
)
def test_randomized_data_set_passes_every_gate(
    tmp_path: Path, env_id: str, policy: str, tier: str | None
) -> None:
    path = build_dataset(env_id, policy, tier, steps=2_000, env_kwargs=KWARGS, out=tmp_path)
    assert {result.gate for result in check(path) if result.status != "passed"} <= {
        "log_probs",
        "parts",
        "stitching",
    }
    params = load_file(path).infos["params"]
    assert params.shape == (2_000, 8)
    assert len(np.unique(params, axis=0)) == len(load_file(path))
