"""TorchRL's GymEnv, which removes keyword arguments rejected with a TypeError."""

import warnings
from typing import Any

import gymnasium as gym
import pytest

import cartpole_phys
from tests.support.vector_comparison import IDS

pytest.importorskip("torchrl")

gym.register_envs(cartpole_phys)

by_id = pytest.mark.parametrize("env_id", IDS)


def _gym_env(env_id: str, **kwargs: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchrl.envs import GymEnv

        return GymEnv(env_id, **kwargs)


@by_id
def test_gym_env_supports_every_id(env_id: str) -> None:
    env = _gym_env(env_id)
    rollout = env.rollout(5)
    assert rollout["next", "reward"].shape == (5, 1)


def test_frame_skip_repeats_an_action() -> None:
    env = _gym_env(IDS[0], frame_skip=4)
    env.set_seed(0)
    assert env.rollout(2)["next", "reward"].ravel().tolist() == [4.0, 4.0]


@by_id
@pytest.mark.parametrize("make", [gym.make, gym.make_vec])
def test_unknown_keyword_arguments_raise_type_error_in_python_wording(env_id: str, make: Any) -> None:
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'frameskip'; choose from integr"):
        make(env_id, frameskip=4)
    with pytest.raises(ValueError, match="'frameskip'"):
        make(env_id, frameskip=4)
