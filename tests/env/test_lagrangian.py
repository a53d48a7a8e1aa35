"""The equations of motion against sympy derivations: Lagrange, and Newton–Euler with friction."""

from typing import Any

import numpy as np
import pytest
import sympy as sp

from cartpole_phys.numeric.compiled import kernel
from cartpole_phys.physics import Params, ParamValues, acceleration, constants_of, energy, sliding

M, m, ell, g, F = sp.symbols("M m ell g F", positive=True)
theta, theta_dot, x_dot = sp.symbols("theta theta_dot x_dot", real=True)
x_acceleration, theta_acceleration = sp.symbols("x_acceleration theta_acceleration", real=True)
slip, damping = sp.symbols("slip damping", real=True)
NAMES = (M, m, ell, g, F, theta, theta_dot, slip, damping)


@kernel
def _accelerations(states: np.ndarray, force: float, params: ParamValues) -> np.ndarray:
    out = np.empty((2, states.shape[1]))
    for i in range(states.shape[1]):
        out[0, i], out[1, i] = acceleration(
            states[1, i], states[2, i], states[3, i], force, constants_of(params, 1, False)
        )
    return out


@kernel
def _normal_force(states: np.ndarray, force: float, slipping: float, params: ParamValues) -> np.ndarray:
    out = np.empty(states.shape[1])
    for i in range(states.shape[1]):
        out[i] = sliding(states[2, i], states[3, i], force, slipping, constants_of(params, 1, False))[2]
    return out


def _time_derivative(expression: Any) -> Any:
    """Differentiate by the chain rule; no expression depends on x."""
    return (
        sp.diff(expression, theta) * theta_dot
        + sp.diff(expression, theta_dot) * theta_acceleration
        + sp.diff(expression, x_dot) * x_acceleration
    )


def _lagrangian() -> tuple[Any, Any]:
    """Kinetic and potential energy of a cart with a uniform rod of length 2 l."""
    along = x_dot + ell * theta_dot * sp.cos(theta)
    up = -ell * theta_dot * sp.sin(theta)
    inertia = m * (2 * ell) ** 2 / 12  # of a rod about its center
    kinetic = M * x_dot**2 / 2 + m * (along**2 + up**2) / 2 + inertia * theta_dot**2 / 2
    return kinetic, m * g * ell * sp.cos(theta)


def _lagrange_accelerations() -> dict[Any, Any]:
    kinetic, potential = _lagrangian()
    lagrangian = kinetic - potential
    equations = [
        _time_derivative(sp.diff(lagrangian, x_dot)) - F,
        _time_derivative(sp.diff(lagrangian, theta_dot)) - sp.diff(lagrangian, theta) + damping * theta_dot,
    ]
    return sp.solve(equations, [x_acceleration, theta_acceleration], dict=True)[0]


def _newton() -> tuple[Any, Any]:
    """Newton–Euler equations of cart and pole with the pin force and friction from the normal force.

    Linear equations A·u = b with u = (ẍ, θ̈, N, and the two components of the pin force on the pole).
    """
    normal, pin_x, pin_y = sp.symbols("normal pin_x pin_y", real=True)
    pole_x = x_acceleration + ell * (theta_acceleration * sp.cos(theta) - theta_dot**2 * sp.sin(theta))
    pole_y = -ell * (theta_acceleration * sp.sin(theta) + theta_dot**2 * sp.cos(theta))
    torque = pin_y * ell * sp.sin(theta) - pin_x * ell * sp.cos(theta) - damping * theta_dot
    equations = [
        M * x_acceleration - (F - pin_x - slip * normal),
        normal - M * g - pin_y,
        m * pole_x - pin_x,
        m * pole_y - (pin_y - m * g),
        m * (2 * ell) ** 2 / 12 * theta_acceleration - torque,
    ]
    return sp.linear_eq_to_matrix(equations, [x_acceleration, theta_acceleration, normal, pin_x, pin_y])


def _solve_newton(params: Params, force: float, slips: np.ndarray) -> np.ndarray:
    """ẍ, θ̈ and N for every state, (3, n)."""
    matrix, right = (sp.lambdify(NAMES, part, "numpy") for part in _newton())
    solutions = []
    for i, each in enumerate(slips):
        values = _values(params, force, each, STATES[:, i])
        solutions.append(np.linalg.solve(matrix(*values), right(*values))[:3, 0])
    return np.array(solutions).T


STATES = np.random.default_rng(0).normal(size=(4, 200)) * np.array([[1.0], [2.0], [3.0], [8.0]])


def _values(p: Params, force: float, slips: Any, states: np.ndarray) -> tuple[Any, ...]:
    return (
        p.cart_mass,
        p.pole_mass,
        p.half_length,
        p.gravity,
        force,
        states[2],
        states[3],
        slips,
        p.pole_damping,
    )


@pytest.mark.parametrize("params", [Params(), Params(9.81, 2.0, 0.7, 0.3, pole_damping=0.05)])
def test_accelerations_match_lagrange_equations(params: Params) -> None:
    solution = _lagrange_accelerations()
    got = _accelerations(STATES, 3.0, params.values)
    for row, unknown in enumerate((x_acceleration, theta_acceleration)):
        expected = sp.lambdify(NAMES, solution[unknown], "numpy")(*_values(params, 3.0, 0.0, STATES))
        np.testing.assert_allclose(got[row], expected, rtol=1e-11, atol=1e-11)


def test_friction_matches_newton_and_reverses_with_normal_force() -> None:
    params = Params(9.81, 2.0, 0.7, 0.3, cart_friction=0.2, pole_damping=0.05)
    slips = params.cart_friction * np.sign(STATES[1])
    solution = _solve_newton(params, 3.0, slips)
    lifted = solution[2] < 0
    assert 0 < lifted.sum() < len(lifted) / 2
    expected = _solve_newton(params, 3.0, np.where(lifted, -slips, slips))
    got = _accelerations(STATES, 3.0, params.values)
    np.testing.assert_allclose(got, expected[:2], rtol=1e-10, atol=1e-10)
    right = _normal_force(STATES, 3.0, 0.2, params.values)
    np.testing.assert_allclose(
        right, _solve_newton(params, 3.0, np.full(200, 0.2))[2], rtol=1e-10, atol=1e-10
    )


def test_energy_matches_lagrangian_derivation() -> None:
    kinetic, potential = _lagrangian()
    function = sp.lambdify((M, m, ell, g, x_dot, theta, theta_dot), kinetic + potential, "numpy")
    p = Params(9.81, 2.0, 0.7, 0.3)
    expected = function(p.cart_mass, p.pole_mass, p.half_length, p.gravity, STATES[1], STATES[2], STATES[3])
    np.testing.assert_allclose(energy(STATES, p), expected, rtol=1e-12)
