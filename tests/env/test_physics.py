"""Physical parameters, and the discrete environment compared with Gymnasium's CartPole-v1."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from cartpole_phys.batch import move
from cartpole_phys.physics import Params
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError


def test_discrete_euler_matches_cartpole_v1() -> None:
    reference: Any = gym.make("CartPole-v1").unwrapped
    system = CartPole(continuous=False, integrator="euler")
    rng = np.random.default_rng(0)
    for episode in range(20):
        reference.reset(seed=episode)
        for _ in range(500):
            action = int(rng.integers(2))
            states = np.array(reference.state, dtype=np.float64).reshape(4, 1)
            terminated = move(system, states, np.array([10.0 if action else -10.0]))
            _, _, reference_terminated, _, _ = reference.step(action)
            np.testing.assert_allclose(states[:, 0], reference.state, rtol=0, atol=1e-12)
            assert bool(terminated[0]) == reference_terminated
            if reference_terminated:
                break


def test_semi_implicit_euler_uses_updated_velocities() -> None:
    system = CartPole(integrator="semi_implicit_euler")
    states = np.array([0.0, 0.2, 0.1, -0.1]).reshape(4, 1)
    before = states.copy()
    move(system, states, np.array([5.0]))
    step = system.params.time_step
    np.testing.assert_array_equal(states[[0, 2]], before[[0, 2]] + step * states[[1, 3]])


def test_total_mass_is_derived() -> None:
    assert Params(cart_mass=2.0, pole_mass=0.5).total_mass == 2.5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pole_weight": 1.0}, "Unknown physical parameter 'pole_weight'"),
        ({"pole_mass": -1.0}, "above 0, got -1.0"),
        ({"time_step": 0}, "above 0, got 0"),
        ({"gravity": float("nan")}, "finite"),
        ({"cart_friction": -0.1}, "at least 0, got -0.1"),
        ({"pole_damping": float("inf")}, "finite"),
        ({"gravity": "9.8"}, "as a number, got"),
    ],
)
def test_invalid_parameters_are_rejected(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Params.from_mapping(values)
