"""Laws of the equations of motion and of the integrators."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from cartpole_phys.errors import InputError
from cartpole_phys.physics import Params
from cartpole_phys.simulator import CartPole


def _derivative(_: float, state: np.ndarray, force: float, p: Params) -> list[float]:
    """Lagrange's two equations as a linear system, solved by NumPy: nothing shared with the kernel."""
    _, x_dot, theta, theta_dot = state
    ml = p.pole_mass * p.half_length
    mass_matrix = [[p.total_mass, ml * np.cos(theta)], [ml * np.cos(theta), 4 / 3 * ml * p.half_length]]
    right = [force + ml * theta_dot**2 * np.sin(theta), ml * p.gravity * np.sin(theta)]
    x_acceleration, theta_acceleration = np.linalg.solve(mass_matrix, right)
    return [x_dot, x_acceleration, theta_dot, theta_acceleration]


def _simulate(
    integrator: str, start: list[float], force: float, seconds: float, time_step: float
) -> np.ndarray:
    system = CartPole(integrator=integrator, params=Params(time_step=time_step))
    states = np.array(start).reshape(4, 1)
    for _ in range(round(seconds / time_step)):
        system.step(states, np.array([force]))
    return states[:, 0]


@pytest.mark.parametrize("integrator", ["euler", "semi_implicit_euler"])
def test_converges_to_lagranges_equations_with_order_one(integrator: str) -> None:
    start, force, seconds = [0.1, -0.3, 2.0, 0.5], 3.0, 0.5
    exact = solve_ivp(
        _derivative, (0, seconds), start, "DOP853", args=(force, Params()), rtol=1e-12, atol=1e-12
    ).y[:, -1]
    steps = [1e-3, 5e-4, 2.5e-4]
    errors = [np.abs(_simulate(integrator, start, force, seconds, step) - exact).max() for step in steps]
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    np.testing.assert_allclose(orders, 1.0, atol=0.05)


def test_discrete_euler_is_cartpole_v1_step_by_step() -> None:
    peer: Any = gym.make("CartPole-v1").unwrapped
    system = CartPole(continuous=False, integrator="euler")
    rng = np.random.default_rng(0)
    for episode in range(20):
        peer.reset(seed=episode)
        for _ in range(500):
            action = int(rng.integers(2))
            states = np.array(peer.state, dtype=np.float64).reshape(4, 1)
            fallen = system.step(states, system.forces(np.array([action])))
            _, _, terminated, _, _ = peer.step(action)
            np.testing.assert_allclose(states[:, 0], peer.state, rtol=0, atol=1e-12)
            assert bool(fallen[0]) == terminated
            if terminated:
                break


def test_semi_implicit_moves_with_the_new_velocity() -> None:
    system = CartPole(integrator="semi_implicit_euler")
    states = np.array([0.0, 0.2, 0.1, -0.1]).reshape(4, 1)
    before = states.copy()
    system.step(states, np.array([5.0]))
    step = system.params.time_step
    np.testing.assert_array_equal(states[[0, 2]], before[[0, 2]] + step * states[[1, 3]])


def test_mirror_symmetry_to_the_last_bit() -> None:
    system = CartPole()
    rng = np.random.default_rng(2)
    right, forces = rng.normal(size=(4, 100)), rng.normal(size=100) * 10
    left = -right
    for _ in range(100):
        system.step(right, forces)
        system.step(left, -forces)
    np.testing.assert_array_equal(left, -right)


def test_batch_size_does_not_change_a_bit() -> None:
    system = CartPole()
    rng = np.random.default_rng(3)
    together, forces = rng.normal(size=(4, 37)), rng.normal(size=37) * 10
    alone = together.copy()
    system.step(together, forces)
    for i in range(37):
        column = np.ascontiguousarray(alone[:, i : i + 1])
        system.step(column, forces[i : i + 1])
        np.testing.assert_array_equal(column[:, 0], together[:, i])


def test_derived_quantities_follow_their_sources() -> None:
    assert Params(cart_mass=2.0, pole_mass=0.5).total_mass == 2.5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pole_weight": 1.0}, "Unknown physical parameter 'pole_weight'"),
        ({"pole_mass": -1.0}, "above 0, got -1.0"),
        ({"time_step": 0}, "above 0, got 0"),
        ({"gravity": float("nan")}, "finite"),
        ({"gravity": "9.8"}, "must be a number"),
    ],
)
def test_bad_parameters_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Params.from_mapping(values)
