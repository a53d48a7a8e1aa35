"""The vector environment equals ``SyncVectorEnv`` over scalar environments, bit for bit."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from cartpole_phys.kernels import layout as m
from cartpole_phys.kernels.reset import BLOCK
from cartpole_phys.physics import Params
from tests.support.vector_comparison import (
    DISCRETE,
    EVERYTHING,
    IDS,
    LIMIT,
    MODES,
    OPTIONS,
    SWING_UP,
    Pair,
    assert_same,
)

NUM_ENVS = 5
MASK = np.array([True, False, True, False, False])

by_id = pytest.mark.parametrize("env_id", IDS)
by_mode = pytest.mark.parametrize("mode", MODES)
by_kind = pytest.mark.parametrize("kwargs", [{}, EVERYTHING], ids=["plain", "everything"])


@by_id
@by_mode
@pytest.mark.parametrize("option", OPTIONS)
def test_equals_scalar_environments_for_each_option(env_id: str, mode: str, option: str) -> None:
    pair = Pair(env_id, mode, OPTIONS[option])
    pair.reset(seed=5)
    terminations, truncations = pair.run(250)
    assert terminations > 0
    assert truncations > 0


@by_id
@by_mode
@by_kind
def test_all_seed_forms_and_resets_during_episodes(env_id: str, mode: str, kwargs: dict[str, Any]) -> None:
    pair = Pair(env_id, mode, kwargs)
    for seed in (7, [3, 3, 8, 0, 2**40], [None, 4, None, None, 5], None, 0, None):
        first = pair.reset(seed=seed)[0]
        pair.run(17)
        assert len(np.unique(first[1:], axis=0)) == NUM_ENVS - 1


@by_id
@by_mode
@by_kind
def test_start_bounds_and_states(env_id: str, mode: str, kwargs: dict[str, Any]) -> None:
    pair = Pair(env_id, mode, kwargs)
    states = np.random.default_rng(1).uniform(-0.2, 0.2, (NUM_ENVS, 4))
    pair.reset(seed=1, options={"low": -0.2, "high": -0.1})
    pair.run(5)
    pair.reset(options={"high": 0.1})
    pair.run(5)
    pair.reset(options={"state": [0.5, -0.1, 0.02, 0.3]})
    np.testing.assert_array_equal(pair.ours.columns.states, np.array([[0.5, -0.1, 0.02, 0.3]] * NUM_ENVS).T)
    pair.run(60)
    # SyncVectorEnv would pass all rows to each environment, so each is reset with its own row.
    native = pair.ours.reset(options={"state": states})[0]
    rows = [env.reset(options={"state": own})[0] for env, own in zip(pair.theirs.envs, states, strict=True)]
    assert_same(native, np.array(rows))


@by_id
@by_kind
def test_partial_resets_without_autoreset(env_id: str, kwargs: dict[str, Any]) -> None:
    pair = Pair(env_id, "Disabled", kwargs)
    pair.reset(seed=2)
    for seed in (None, 11, [4, None, None, 1, 1]):
        for options in ({}, {"state": (0.1, 0.2, 0.03, 0.4)}, {"low": 0.0, "high": 0.02}):
            for mask in (MASK, ~MASK, np.eye(NUM_ENVS, dtype=np.bool_)[3]):
                pair.run(7)
                pair.reset(seed=seed, options={**options, "reset_mask": mask})
    pair.run(60)


@by_id
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
@by_kind
def test_partial_resets_with_autoreset(env_id: str, mode: str, kwargs: dict[str, Any]) -> None:
    pair = Pair(env_id, mode, {**kwargs, "max_episode_steps": 6})
    pair.reset(seed=2)
    for steps in (3, 3, 1, 2, 6, 4):
        pair.run(steps)  # the second ends at the time limit of some, the third at that of the others
        pair.reset(options={"reset_mask": MASK})
    pair.run(20)


def _constant(env_id: str, num_envs: int) -> np.ndarray:
    return np.ones(num_envs, np.int64) if env_id == DISCRETE else np.ones((num_envs, 1), np.float32)


@by_id
@by_mode
@by_kind
def test_failure_at_the_time_limit_sets_both_flags(env_id: str, mode: str, kwargs: dict[str, Any]) -> None:
    env = gym.make(env_id, max_episode_steps=500, disable_env_checker=True, **kwargs)
    env.reset(seed=5)
    length, terminated = 0, False
    while not terminated:
        length, terminated = length + 1, bool(env.step(_constant(env_id, 1)[0])[2])
    pair = Pair(env_id, mode, {**kwargs, "max_episode_steps": length})
    pair.reset(seed=5)
    for _ in range(length):
        ended = pair.terminated | pair.truncated
        if mode == "Disabled" and ended.any():
            pair.reset(options={"reset_mask": ended})
        pair.step(_constant(env_id, NUM_ENVS))
    assert pair.terminated[0]
    assert pair.truncated[0]


@by_id
@by_mode
def test_separate_parameters_per_environment(env_id: str, mode: str) -> None:
    masses = [0.05, 0.1, 0.2, 0.3, 0.1]
    lists: dict[str, Any] = {"pole_mass": masses, "force_mag": np.linspace(8, 12, NUM_ENVS)}
    shared = {"gravity": 9.0, "pole_damping": 0.01}
    own = [{**shared, **{name: float(values[i]) for name, values in lists.items()}} for i in range(NUM_ENVS)]
    pair = Pair(env_id, mode, {"params": {**shared, **lists}, "diagnostics": True}, own_params=own)
    pair.reset(seed=3)
    assert all(np.unique(row).size > 1 for row in pair.ours.columns.states)
    pair.run(120)
    assert_same(pair.ours.get_attr("params"), pair.theirs.get_attr("params"))


@by_id
def test_separate_parameters_with_randomization_of_others(env_id: str) -> None:
    own = [{"pole_mass": mass} for mass in (0.05, 0.1, 0.2, 0.3, 0.1)]
    kwargs = {"randomize": {"half_length": [0.3, 0.7]}}
    lists = {"params": {"pole_mass": [params["pole_mass"] for params in own]}}
    pair = Pair(env_id, "NextStep", {**kwargs, **lists}, own_params=own)
    pair.reset(seed=3)
    pair.run(120)


@by_id
@by_mode
@by_kind
def test_set_params_and_later_steps(env_id: str, mode: str, kwargs: dict[str, Any]) -> None:
    pair = Pair(env_id, mode, kwargs)
    pair.reset(seed=3)
    clock = {"time_step": 0.02, "cart_friction": 0.01}
    for values in (
        {"pole_mass": 0.4},
        [{"pole_mass": 0.1 + 0.05 * i} for i in range(NUM_ENVS)],
        tuple(Params(half_length=0.3 + 0.1 * i, **clock) for i in range(NUM_ENVS)),
        Params(**clock),
    ):
        pair.run(9)
        pair.ours.set_attr("params", values)
        pair.theirs.set_attr("params", values)
        assert_same(pair.ours.get_attr("params"), pair.theirs.get_attr("params"))
    pair.run(60)
    pair.reset(seed=1)
    assert_same(pair.ours.get_attr("params"), pair.theirs.get_attr("params"))


@by_id
@by_mode
@by_kind
def test_attributes_and_calls(env_id: str, mode: str, kwargs: dict[str, Any]) -> None:
    pair = Pair(env_id, mode, {**kwargs, "max_episode_steps": 500})
    pair.reset(seed=3)
    for _ in range(4):
        pair.run(5)
        for name in ("params", "state", "observation_space", "action_space", "render_mode"):
            assert_same(pair.ours.get_attr(name), pair.theirs.get_attr(name), name)
            assert_same(pair.ours.call(name), pair.theirs.call(name), name)
    native, sync = pair.ours.call("get_state"), pair.theirs.call("get_state")
    assert [snapshot.system for snapshot in native] == [snapshot.system for snapshot in sync]
    for a, b in zip(native, sync, strict=True):
        compared = np.arange(len(a.memory)) != m.DONE  # set by the TimeLimit wrapper for scalar environments
        assert_same(a.memory[compared], b.memory[compared])
    pair.run(5)
    assert_same(pair.ours.call("set_state", native[1]), pair.theirs.call("set_state", sync[1]))
    assert_same(pair.ours.call("reset", seed=8), pair.theirs.call("reset", seed=8))
    options = {"state": (0.1, 0.0, 0.05, 0.0)}
    assert_same(pair.ours.call("reset", options=options), pair.theirs.call("reset", options=options))
    if mode != "Disabled":
        pair.reset()
    pair.run(30)


@by_id
@by_kind
def test_scalar_environment_continues_from_a_vector_snapshot(env_id: str, kwargs: dict[str, Any]) -> None:
    envs: Any = gym.make_vec(env_id, num_envs=NUM_ENVS, **kwargs)
    scalar: Any = gym.make(env_id, disable_env_checker=True, **kwargs)
    envs.reset(seed=3)
    for _ in range(3):
        envs.step(_constant(env_id, NUM_ENVS))
    scalar.reset()
    scalar.unwrapped.set_state(envs.call("get_state")[3])
    for _ in range(3):
        together, one = envs.step(_constant(env_id, NUM_ENVS)), scalar.step(_constant(env_id, 1)[0])
        assert_same(together[0][3], one[0])
        assert_same(
            {name: together[4][name][3] for name in one[4]}, {k: np.asarray(v)[()] for k, v in one[4].items()}
        )


@by_id
@by_mode
def test_no_time_limit_and_time_limit_of_one_step(env_id: str, mode: str) -> None:
    endless = Pair(env_id, mode, {"max_episode_steps": -1})
    endless.reset(seed=1)
    assert endless.run(100)[1] == 0
    short = Pair(env_id, mode, {"max_episode_steps": 1})
    short.reset(seed=1)
    assert short.run(10)[1] >= 5 * NUM_ENVS


@by_kind
def test_large_batch_equals_scalar_environments(kwargs: dict[str, Any]) -> None:
    pair = Pair(SWING_UP, "NextStep", kwargs, num_envs=BLOCK + 52)  # more than one block
    pair.reset(seed=9)
    pair.run(3)
    values = [{"pole_mass": 0.1 + 0.001 * (i % 600)} for i in range(BLOCK + 52)]
    pair.ours.set_attr("params", values)
    pair.theirs.set_attr("params", values)
    pair.run(2)


@by_id
@by_mode
def test_spaces_and_metadata(env_id: str, mode: str) -> None:
    pair = Pair(env_id, mode, {})
    for name in ("observation_space", "action_space", "single_observation_space", "single_action_space"):
        assert getattr(pair.ours, name) == getattr(pair.theirs, name)
    assert pair.ours.metadata["autoreset_mode"] is pair.theirs.metadata["autoreset_mode"]
    assert pair.ours.num_envs == pair.theirs.num_envs == NUM_ENVS
    assert pair.ours.spec.kwargs["max_episode_steps"] == LIMIT
