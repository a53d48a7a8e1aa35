"""Features of the vector environment: autoreset, rendering, seeds, per-environment attributes."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

import cartpole_phys
from cartpole_phys.utils.errors import InputError
from tests.support.vector_comparison import assert_same

gym.register_envs(cartpole_phys)

ENV = "PhysCartPole-v0"


def test_disabled_autoreset_requires_a_reset() -> None:
    envs = gym.make_vec(ENV, num_envs=2, autoreset_mode="Disabled", max_episode_steps=1)
    with pytest.raises(ResetNeeded):
        envs.step(np.zeros((2, 1), np.float32))
    envs.reset(seed=0)
    envs.step(np.zeros((2, 1), np.float32))
    with pytest.raises(ResetNeeded, match="reset_mask"):
        envs.step(np.zeros((2, 1), np.float32))


def test_render_returns_one_frame_per_environment() -> None:
    envs: Any = gym.make_vec(ENV, num_envs=2, render_mode="rgb_array")
    envs.reset(seed=0)
    frames = envs.render()
    assert frames is not None
    assert len(frames) == 2
    assert frames[0].shape == (300, 600, 3)


def test_seeds_and_specs_of_single_environments() -> None:
    kwargs: dict[str, Any] = {"num_envs": 2, "max_episode_steps": 60, "params": {"pole_mass": 0.2}}
    native: Any = gym.make_vec(ENV, **kwargs)
    sync: Any = gym.make_vec(ENV, vectorization_mode="sync", **kwargs)
    assert native.np_random_seed == (-1, -1)
    for envs in (native, sync):
        envs.reset(seed=[1, 2])
        envs.reset()
    assert native.np_random_seed == sync.np_random_seed == native.get_attr("np_random_seed") == (1, 2)
    assert native.get_attr("spec") == sync.get_attr("spec")
    for envs in (native, sync):
        envs.call("reset", seed=8)
    assert native.np_random_seed == sync.np_random_seed == (8, 8)


@pytest.mark.parametrize(
    ("env_id", "good", "bad"), [(ENV, [0.5], [np.nan]), ("PhysCartPoleDiscrete-v0", 1, -1)]
)
def test_actions_are_ignored_in_autoreset_steps(env_id: str, good: Any, bad: Any) -> None:
    native: Any = gym.make_vec(env_id, num_envs=2, max_episode_steps=3)
    sync: Any = gym.make_vec(env_id, num_envs=2, max_episode_steps=3, vectorization_mode="sync")
    for envs in (native, sync):
        envs.reset(seed=0)
        for _ in range(3):
            envs.step(np.array([good, good]))
    twin = copy.deepcopy(native)
    assert_same(native.step(np.array([bad, bad])), sync.step(np.array([bad, bad])))
    twin.columns.done[1] = 0
    memory = twin.columns.memory.copy()
    with pytest.raises(InputError, match=r"Expected .*actions"):
        twin.step(np.array([good, bad]))
    assert twin.columns.memory.tobytes() == memory.tobytes()
    twin.step(np.array([bad, good]))
    assert twin.columns.elapsed.tolist() == [0, 4]


def test_id_without_time_limit_is_never_truncated() -> None:
    bare, classes = "Test/Bare-v0", gym.spec("PhysCartPoleSwingUp-v0")
    gym.register(bare, classes.entry_point, vector_entry_point=classes.vector_entry_point)
    try:
        envs = gym.make_vec(bare, num_envs=1, task="swing_up")
    finally:
        del gym.registry[bare]
    envs.reset(options={"state": [0.0, 0.0, np.pi, 0.0]})
    for _ in range(501):
        assert not envs.step(np.zeros((1, 1), np.float32))[3].any()


def test_environments_do_not_share_spaces_or_metadata() -> None:
    envs: Any = gym.make_vec(ENV, num_envs=3, render_mode="rgb_array")
    envs.reset(seed=0)
    for name in ("action_space", "observation_space", "metadata", "spec"):
        own = envs.get_attr(name)
        assert own[0] == own[1] == own[2]
        assert len({id(value) for value in own}) == 3, name
    spaces = envs.call("action_space")
    for i, space in enumerate(spaces):
        space.seed(i)
    assert len({float(space.sample()[0]) for space in spaces}) == 3
    one = gym.make(ENV).unwrapped
    one.metadata["render_modes"].append("ansi")
    assert "ansi" not in gym.make(ENV).metadata["render_modes"]
