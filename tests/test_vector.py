"""The vector environment against SyncVectorEnv over scalar ones, to the last bit."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import cartpole_phys
from cartpole_phys.errors import InputError

gym.register_envs(cartpole_phys)

IDS = ["PhysCartPole-v0", "PhysCartPoleDiscrete-v0"]
NUM_ENVS = 7


def _pair(env_id: str, mode: str, **kwargs: Any) -> tuple[Any, SyncVectorEnv]:
    ours = gym.make_vec(env_id, num_envs=NUM_ENVS, autoreset_mode=mode, **kwargs)
    sync = SyncVectorEnv(
        [lambda: gym.make(env_id, **kwargs) for _ in range(NUM_ENVS)], autoreset_mode=AutoresetMode(mode)
    )
    return ours, sync


def _actions(env_id: str, rng: np.random.Generator, gentle: bool) -> np.ndarray:
    if env_id == IDS[1]:
        return rng.integers(0, 2, NUM_ENVS)
    scale = 0.05 if gentle else 1.0
    return rng.uniform(-scale, scale, (NUM_ENVS, 1)).astype(np.float32)


def _assert_same(ours: tuple[Any, ...], sync: tuple[Any, ...]) -> None:
    for a, b in zip(ours[:-1], sync[:-1], strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    _assert_same_infos(ours[-1], sync[-1])


def _assert_same_infos(ours: dict[str, Any], sync: dict[str, Any]) -> None:
    assert ours.keys() == sync.keys()
    for key, value in sync.items():
        if key == "final_obs":
            for a, b in zip(ours[key], value, strict=True):
                np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_equal(ours[key], value)


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"integrator": "rk4", "substeps": 2, "params": {"cart_friction": 0.1}},
        {"push_rate": 20.0, "push_size": 15.0},
    ],
)
def test_equals_sync_vector_env(env_id: str, mode: str, kwargs: dict[str, Any]) -> None:
    ours, sync = _pair(env_id, mode, max_episode_steps=40, **kwargs)
    rng = np.random.default_rng(0)
    _assert_same(ours.reset(seed=5), sync.reset(seed=5))
    ended = np.zeros(NUM_ENVS, dtype=bool)
    truncations = 0
    for step in range(400):
        actions = _actions(env_id, rng, gentle=step % 100 > 50)
        a, b = ours.step(actions), sync.step(actions)
        _assert_same(a, b)
        ended, truncations = a[2] | a[3], truncations + int(a[3].sum())
        if mode == "Disabled" and ended.any():
            _assert_same(ours.reset(options={"reset_mask": ended}), sync.reset(options={"reset_mask": ended}))
    assert env_id == IDS[1] or truncations > 0


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_list_seeds_and_later_resets_equal_sync(mode: str) -> None:
    ours, sync = _pair(IDS[0], mode)
    seeds: list[int | None] = [3, 3, 8, 0, 1, 100, 9]
    _assert_same(ours.reset(seed=seeds), sync.reset(seed=seeds))
    some: list[int | None] = [None, 4, None, None, 5, None, None]
    _assert_same(ours.reset(seed=some), sync.reset(seed=some))
    options = {"low": -0.2, "high": -0.1}
    _assert_same(ours.reset(options=options), sync.reset(options=options))
    mask = np.array([True, False] * 3 + [True])
    _assert_same(
        ours.reset(seed=6, options={"reset_mask": mask}),
        sync.reset(seed=6, options={"reset_mask": mask.copy()}),
    )


def test_returned_arrays_are_fresh() -> None:
    envs = gym.make_vec(IDS[0], num_envs=2)
    first, _ = envs.reset(seed=0)
    kept = first.copy()
    second = envs.step(np.ones((2, 1), np.float32))[0]
    envs.step(np.ones((2, 1), np.float32))
    np.testing.assert_array_equal(first, kept)
    assert not np.shares_memory(first, second)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reset_mask": [True] * NUM_ENVS}, "as a bool array"),
        ({"reset_mask": np.ones(3, bool)}, "as a bool array"),
        ({"reset_mask": np.ones(NUM_ENVS)}, "as a bool array"),
        ({"reset_mask": np.zeros(NUM_ENVS, bool)}, "at least one True"),
    ],
)
def test_bad_reset_masks_are_refused(options: dict[str, Any], message: str) -> None:
    envs = gym.make_vec(IDS[0], num_envs=NUM_ENVS)
    envs.reset(seed=0)
    with pytest.raises(InputError, match=message):
        envs.reset(options=options)


def test_bad_actions_touch_no_state() -> None:
    envs: Any = gym.make_vec(IDS[0], num_envs=3)
    envs.reset(seed=0)
    before = envs.get_state().memory
    for bad in (np.full((3, 1), np.nan), np.zeros((2, 1)), np.zeros(3)):
        with pytest.raises(InputError, match="Expected"):
            envs.step(bad)
    np.testing.assert_array_equal(envs.get_state().memory, before)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(InputError, match="Unknown autoreset mode"):
        gym.make_vec(IDS[0], num_envs=2, autoreset_mode="Later")
    with pytest.raises(InputError, match="num_envs of at least 1"):
        gym.make_vec(IDS[0], num_envs=0)
    envs: Any = gym.make_vec(IDS[0], num_envs=2)
    with pytest.raises(InputError, match="Expected one seed or 2 seeds, got 3"):
        envs.reset(seed=[1, 2, 3])


def test_disabled_autoreset_demands_a_reset() -> None:
    envs = gym.make_vec(IDS[0], num_envs=2, autoreset_mode="Disabled", max_episode_steps=1)
    with pytest.raises(ResetNeeded):
        envs.step(np.zeros((2, 1), np.float32))
    envs.reset(seed=0)
    envs.step(np.zeros((2, 1), np.float32))
    with pytest.raises(ResetNeeded, match="reset_mask"):
        envs.step(np.zeros((2, 1), np.float32))


def test_spec_keeps_the_mode_as_json() -> None:
    envs = gym.make_vec(IDS[0], num_envs=2, autoreset_mode="SameStep")
    assert envs.spec is not None
    assert "SameStep" in envs.spec.to_json()
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP


def test_renders_every_environment() -> None:
    envs: Any = gym.make_vec(IDS[0], num_envs=2, render_mode="rgb_array")
    envs.reset(seed=0)
    frames = envs.render()
    assert frames is not None
    assert len(frames) == 2
    assert frames[0].shape == (300, 600, 3)
