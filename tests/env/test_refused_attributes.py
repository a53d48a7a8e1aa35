"""Rejection of CartPole-v1's attributes and of start states that are too large to have an angle."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import cartpole_phys
from cartpole_phys.physics import Params
from cartpole_phys.sb3 import PhysCartPoleVecEnv
from cartpole_phys.utils.errors import InputError

gym.register_envs(cartpole_phys)

BALANCE = "PhysCartPole-v0"
NAMES = ("gravity", "masscart", "masspole", "length", "tau", "force_mag", "total_mass", "polemass_length")


def _environments() -> list[Any]:
    vector = gym.make_vec(BALANCE, num_envs=2, autoreset_mode="SameStep")
    return [gym.make(BALANCE).unwrapped, vector, PhysCartPoleVecEnv(vector)]  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", range(3), ids=["scalar", "vector", "stable-baselines3"])
def test_attributes_of_cartpole_v1_are_rejected(kind: int) -> None:
    env, reference = _environments()[kind], gym.make("CartPole-v1").unwrapped
    for name in (*NAMES, "kinematics_integrator", "theta_threshold_radians", "x_threshold", *vars(Params())):
        assert hasattr(reference, name) or hasattr(Params(), name)
        with pytest.raises(InputError, match=f"Cannot set '{name}'.*(params|new one)"):
            setattr(env, name, 0.5)


@pytest.mark.parametrize(
    "options",
    [{"state": [0, 0, 1e19, 0]}, {"state": [0, 0, 0, -1e7]}, {"high": 1e7}, {"low": -1e7}],
    ids=str,
)
def test_too_large_start_states_are_rejected(options: dict[str, Any]) -> None:
    for env in (gym.make("PhysCartPoleSwingUp-v0"), gym.make_vec("PhysCartPoleSwingUp-v0", num_envs=2)):
        with pytest.raises(InputError, match=r"within ±1e\+06"):
            env.reset(options=options)


def test_error_shows_the_large_unsigned_action() -> None:
    envs: Any = gym.make_vec("PhysCartPoleDiscrete-v0", num_envs=2)
    envs.reset(seed=0)
    with pytest.raises(InputError, match=f"got {2**63}"):
        envs.step(np.array([0, 2**63], np.uint64))


@pytest.mark.parametrize("position", [3.5, -3.5, 4.7])
def test_cart_beyond_the_track_is_drawn_inside_the_frame(position: float) -> None:
    pytest.importorskip("pygame")
    env: Any = gym.make(BALANCE, render_mode="rgb_array", disable_env_checker=True).unwrapped
    env.reset(options={"state": [0.0, 0.0, 0.0, 0.0]})
    cart = env.render()[225, 300].astype(int)
    env.reset(options={"state": [position, 0.0, 0.0, 0.0]})
    columns = np.flatnonzero((np.abs(env.render().astype(int) - cart) < 8).all(axis=2).any(axis=0))
    assert 60 < len(columns) < 100
    assert columns.min() > 0
    assert columns.max() < 599
