"""Integrators: order, energy drift, symplecticity, momentum and dissipation."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from cartpole_phys.batch import move
from cartpole_phys.kernels.integrators import INTEGRATORS
from cartpole_phys.linearize import linearize
from cartpole_phys.physics import Params, energy
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError

ORDERS = {"euler": 1, "semi_implicit_euler": 1, "symplectic_euler": 1, "rk4": 4}
SPAN = 2 * 0.1 * 0.5 * 9.8  # 2 m g l, J: the energy difference between hanging and upright

# Largest |ΔE| in % of 2 m g l over 1,000 and 50,000 free steps at 0.02 s, as bounds: rounded up from the
# results of an independent implementation of the same maps.
DRIFT = {
    "semi_implicit_euler": {np.pi - 0.5: (0.39, 3.7), 0.05: (5.4, 94.0), np.pi / 2: (5.7, 45.5)},
    "symplectic_euler": {np.pi - 0.5: (0.26, 0.26), 0.05: (2.9, 2.9), np.pi / 2: (1.75, 1.75)},
    "rk4": {np.pi - 0.5: (3e-5, 1.5e-3), 0.05: (3e-4, 1e-2), np.pi / 2: (2e-4, 1e-2)},
}


def _derivative(_: float, state: np.ndarray, force: float, p: Params) -> list[float]:
    """Solve Lagrange's two equations as a linear system with NumPy, independent of the kernel."""
    _, x_dot, theta, theta_dot = state
    ml = p.pole_mass * p.half_length
    mass_matrix = [[p.total_mass, ml * np.cos(theta)], [ml * np.cos(theta), 4 / 3 * ml * p.half_length]]
    right = [
        force + ml * theta_dot**2 * np.sin(theta),
        ml * p.gravity * np.sin(theta) - p.pole_damping * theta_dot,
    ]
    x_acceleration, theta_acceleration = np.linalg.solve(mass_matrix, right)
    return [x_dot, x_acceleration, theta_dot, theta_acceleration]


def _paths(system: CartPole, starts: np.ndarray, force: float, steps: int) -> np.ndarray:
    """Return the states (steps + 1, 4, n) from n start states (4, n) under a constant force."""
    states, forces = np.array(starts, dtype=np.float64), np.full(starts.shape[1], force)
    path = [states.copy()]
    for _ in range(steps):
        move(system, states, forces)
        path.append(states.copy())
    return np.array(path)


def _path(system: CartPole, start: list[float], force: float, steps: int) -> np.ndarray:
    """Return the states (steps + 1, 4) from one start state under a constant force."""
    return _paths(system, np.array(start).reshape(4, 1), force, steps)[:, :, 0]  # (4,) -> (4, 1)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("refined", ["time_step", "substeps"])
def test_order_of_convergence(integrator: str, refined: str) -> None:
    start, force, seconds = [0.1, -0.3, 2.0, 0.5], 3.0, 0.48
    exact = solve_ivp(
        _derivative,
        (0, seconds),
        start,
        "DOP853",
        args=(force, Params(pole_damping=0.02)),
        rtol=1e-12,
        atol=1e-12,
    ).y[:, -1]
    errors = []
    for factor in (16, 32, 64):
        time_step = 0.48 / factor if refined == "time_step" else 0.24
        substeps = 1 if refined == "time_step" else factor // 2
        system = CartPole(
            integrator=integrator, params=Params(time_step=time_step, pole_damping=0.02), substeps=substeps
        )
        errors.append(np.abs(_path(system, start, force, round(seconds / time_step))[-1] - exact).max())
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    np.testing.assert_allclose(orders, ORDERS[integrator], atol=0.3)


@pytest.mark.parametrize("integrator", DRIFT)
def test_energy_drift_of_a_free_pole(integrator: str) -> None:
    starts = np.zeros((4, len(DRIFT[integrator])))
    starts[2] = list(DRIFT[integrator])  # θ
    path = _paths(CartPole(integrator=integrator), starts, 0.0, 50_000)
    energies = energy(path.transpose(1, 0, 2), Params())  # (T, 4, n) -> (4, T, n)
    drift = 100 * np.abs(energies - energies[0]) / SPAN
    bounds = np.array(list(DRIFT[integrator].values()))  # (n, 2)
    assert (drift[:1_001].max(axis=0) <= bounds[:, 0]).all()
    assert (drift.max(axis=0) <= bounds[:, 1]).all()


def test_substeps_keep_the_energy_of_a_heavy_pole_bounded() -> None:
    params = Params(cart_mass=0.2, pole_mass=0.5, half_length=0.1)
    drifts = {}
    for substeps in (1, 2):
        path = _path(
            CartPole(integrator="symplectic_euler", params=params, substeps=substeps),
            [0, 0, 0.05, 0],
            0.0,
            10_000,
        )
        energies = energy(path.T, params)
        drift = np.abs(energies - energies[0]) / (2 * 0.5 * 0.1 * 9.8)
        drifts[substeps] = drift[:1_001].max(), drift.max()
    assert drifts[1][1] > 1.2 * drifts[1][0]
    assert drifts[2][1] < 1.01 * drifts[2][0] < 0.06


def test_explicit_euler_gains_and_semi_implicit_loses_energy() -> None:
    for integrator, sign in (("euler", 1), ("semi_implicit_euler", -1)):
        energies = energy(
            _path(CartPole(integrator=integrator), [0, 0, np.pi / 2, 0], 0.0, 1_000).T, Params()
        )
        assert sign * (energies[-1] - energies[0]) > 0.01 * SPAN


def _canonical(state: np.ndarray, p: Params) -> np.ndarray:
    """Convert (x, ẋ, θ, θ̇) to canonical coordinates (x, θ, p_x, p_θ)."""
    x, x_dot, theta, theta_dot = state
    b, d = p.pole_mass * p.half_length, 4 / 3 * p.pole_mass * p.half_length**2
    momentum = p.total_mass * x_dot + b * np.cos(theta) * theta_dot
    return np.array([x, theta, momentum, b * np.cos(theta) * x_dot + d * theta_dot])


def _from_canonical(z: np.ndarray, p: Params) -> np.ndarray:
    x, theta, p_x, p_theta = z
    b, d = p.pole_mass * p.half_length, 4 / 3 * p.pole_mass * p.half_length**2
    mass_matrix = np.array([[p.total_mass, b * np.cos(theta)], [b * np.cos(theta), d]])
    x_dot, theta_dot = np.linalg.solve(mass_matrix, [p_x, p_theta])
    return np.array([x, x_dot, theta, theta_dot])


def _asymmetry(integrator: str) -> float:
    """Compute ‖DᵀJD − J‖ of one step in canonical coordinates, D by central differences."""
    p, system, width = Params(), CartPole(integrator=integrator), 1e-5

    def step(z: np.ndarray) -> np.ndarray:
        states = _from_canonical(z, p).reshape(4, 1)
        move(system, states, np.zeros(1))
        return _canonical(states[:, 0], p)

    center = _canonical(np.array([0.1, 0.4, 1.1, -1.5]), p)
    columns = [(step(center + width * e) - step(center - width * e)) / (2 * width) for e in np.eye(4)]
    derivative = np.array(columns).T
    j = np.block([[np.zeros((2, 2)), np.eye(2)], [-np.eye(2), np.zeros((2, 2))]])
    return float(np.linalg.norm(derivative.T @ j @ derivative - j))


def test_only_the_momentum_form_is_symplectic() -> None:
    assert _asymmetry("symplectic_euler") < 1e-8
    assert _asymmetry("rk4") < 1e-4
    assert _asymmetry("semi_implicit_euler") > 1e-4
    assert _asymmetry("euler") > 1e-2


@pytest.mark.parametrize("integrator", ["symplectic_euler", "rk4"])
def test_momentum_is_conserved_without_force_and_friction(integrator: str) -> None:
    path = _path(CartPole(integrator=integrator), [0, 0.3, 2.0, 1.0], 0.0, 1_000)
    momenta = np.array([_canonical(state, Params())[2] for state in path])
    drift = np.abs(momenta - momenta[0]).max()
    assert drift < (1e-12 if integrator == "symplectic_euler" else 1e-4)


@pytest.mark.parametrize("friction", [{"cart_friction": 0.05}, {"pole_damping": 0.01}])
@pytest.mark.parametrize("integrator", ["symplectic_euler", "rk4"])
def test_friction_only_dissipates(friction: dict[str, float], integrator: str) -> None:
    params = Params(**friction)
    system = CartPole(integrator=integrator, params=params, substeps=50)
    energies = energy(_path(system, [0, 1.0, 2.0, 3.0], 0.0, 500).T, params)
    assert np.diff(energies).max() < 1e-4 * SPAN
    assert energies[-1] < energies[0] - 0.1 * SPAN


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("friction", [0.0, 0.1])
def test_mirror_symmetry_and_batch_size_bit_for_bit(integrator: str, friction: float) -> None:
    system = CartPole(integrator=integrator, params=Params(cart_friction=friction, pole_damping=friction))
    rng = np.random.default_rng(2)
    right, forces = rng.normal(size=(4, 37)), rng.normal(size=37) * 10
    left, alone = -right, right.copy()
    for _ in range(20):
        move(system, right, forces)
        move(system, left, -forces)
    np.testing.assert_array_equal(left, -right)
    for i in range(37):
        column = np.ascontiguousarray(alone[:, i : i + 1])
        for _ in range(20):
            move(system, column, forces[i : i + 1])
        np.testing.assert_array_equal(column[:, 0], right[:, i])


def test_discrete_euler_trajectories_match_cartpole_v1() -> None:
    peer: Any = gym.make("CartPole-v1").unwrapped
    peer.reset(seed=3)
    system = CartPole(continuous=False, integrator="euler")
    states = np.array(peer.state, dtype=np.float64).reshape(4, 1)
    for step in range(100):
        action = int(states[2, 0] + 0.3 * states[3, 0] > 0)
        move(system, states, np.array([10.0 if action else -10.0]))
        assert not peer.step(action)[2], step
        np.testing.assert_allclose(states[:, 0], peer.state, rtol=0, atol=1e-9)


@pytest.mark.parametrize("params", [Params(), Params(cart_friction=0.2, pole_damping=0.03)])
def test_linearization_matches_numerical_derivatives(params: Params) -> None:
    rng = np.random.default_rng(5)
    time_step = 1e-5  # too short for friction to stop a cart
    system = CartPole(integrator="euler", params=Params(**{**vars(params), "time_step": time_step}))

    def derivative(state: np.ndarray, force: float) -> np.ndarray:
        states = state.reshape(4, 1).copy()
        move(system, states, np.array([force]))
        return (states[:, 0] - state) / time_step

    for _ in range(30):
        state, force, width = rng.normal(size=4) * 2, rng.normal() * 5, 1e-4
        found = linearize(state, force, params)
        expected = [
            (derivative(state + width * e, force) - derivative(state - width * e, force)) / (2 * width)
            for e in np.eye(4)
        ]
        by_force = (derivative(state, force + width) - derivative(state, force - width)) / (2 * width)
        np.testing.assert_allclose(found.state_matrix, np.array(expected).T, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found.force_vector, by_force, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found.derivative, derivative(state, force), rtol=1e-9, atol=1e-8)


def test_upright_linearization_matches_known_values() -> None:
    found = linearize(np.zeros(4))
    np.testing.assert_allclose(found.state_matrix[3, 2], 15.776, atol=1e-3)
    np.testing.assert_allclose(found.force_vector[[1, 3]], [0.9756, -1.4634], atol=1e-4)
    np.testing.assert_allclose(found.state_matrix[1, 2], -0.7171, atol=1e-4)


@pytest.mark.parametrize("substeps", [0, -1, 1.5, True, "2"])
def test_invalid_substeps_are_rejected(substeps: object) -> None:
    with pytest.raises(InputError, match="substeps as an integer from 1 to"):
        CartPole(substeps=substeps)  # type: ignore[arg-type]
