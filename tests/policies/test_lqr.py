"""The LQR is optimal, stable, and balances for full episodes."""

import itertools

import numpy as np
import pytest
from scipy.signal import cont2discrete

from cartpole_phys.kernels.control_laws import PROPORTIONAL
from cartpole_phys.kernels.integrators import INTEGRATORS
from cartpole_phys.linearize import linearize
from cartpole_phys.physics import Params
from cartpole_phys.policies import controllers as lqr
from cartpole_phys.policies.controllers import lqr_gains, regulator
from cartpole_phys.rollouts.collect import play
from cartpole_phys.rollouts.policy import CompiledPolicy
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError

FULL_RETURN = 500
STATE_WEIGHTS = np.diag([lqr.POSITION_WEIGHT, lqr.VELOCITY_WEIGHT, lqr.ANGLE_WEIGHT, lqr.SPIN_WEIGHT])
POLES, LENGTHS, CARTS = (0.02, 0.1, 1.0), (0.2, 0.5, 1.5), (0.3, 1.0, 5.0)  # kg, m, kg
GRID = [
    Params(pole_mass=pole, half_length=length, cart_mass=cart)
    for pole, length, cart in itertools.product(POLES, LENGTHS, CARTS)
]
ODD = Params(gravity=3.7, force_mag=4.0, time_step=0.05, pole_damping=0.02)
PARAMS = [Params(), GRID[0], GRID[-1], ODD]


def _sampled(p: Params) -> tuple[np.ndarray, np.ndarray]:
    """A (4, 4) and B (4, 1) of one time step under a held action, by SciPy's own discretization."""
    model = linearize(np.zeros(4), 0.0, p)
    force = (model.force_vector * p.force_mag)[:, None]
    system = (model.state_matrix, force, np.eye(4), np.zeros((4, 1)))
    a, b, *_ = cont2discrete(system, p.time_step, method="zoh")
    return a, b


def _summed_cost(gains: np.ndarray, p: Params) -> float:
    """Σ z·Q z + R u² of the linear motion over 4,000 steps, summed over starts on each axis."""
    a, b = _sampled(p)
    states, cost = np.eye(4), 0.0  # one start in each column
    for _ in range(4_000):
        actions = gains @ states
        cost += float(np.sum(states * (STATE_WEIGHTS @ states)) + lqr.ACTION_WEIGHT * np.sum(actions**2))
        states = a @ states + b @ actions[None, :]
    return cost


@pytest.mark.parametrize("params", PARAMS)
def test_closed_loop_is_stable_and_open_loop_is_not(params: Params) -> None:
    a, b = _sampled(params)
    closed = a + b @ np.array([lqr_gains(params)])
    assert np.abs(np.linalg.eigvals(closed)).max() < 1
    assert np.abs(np.linalg.eigvals(a)).max() > 1


@pytest.mark.parametrize("params", PARAMS)
def test_riccati_equation_holds_for_the_cost_of_the_gains(params: Params) -> None:
    a, b = _sampled(params)
    gains = np.array([lqr_gains(params)])
    closed, stage = a + b @ gains, STATE_WEIGHTS + lqr.ACTION_WEIGHT * gains.T @ gains
    # The cost-to-go z·P z of any stabilizing gains solves P = closedᵀ P closed + stage: 16 linear equations.
    p = np.linalg.solve(np.eye(16) - np.kron(closed.T, closed.T), stage.ravel()).reshape(4, 4)
    through = b.T @ p @ a  # (1, 4)
    riccati = a.T @ p @ a - through.T @ through / (lqr.ACTION_WEIGHT + b.T @ p @ b) + STATE_WEIGHTS
    np.testing.assert_allclose(riccati, p, atol=1e-8 * np.abs(p).max())
    best = -through / (lqr.ACTION_WEIGHT + b.T @ p @ b)
    np.testing.assert_allclose(gains, best, rtol=1e-5)


@pytest.mark.parametrize("params", PARAMS)
def test_any_other_gain_costs_more(params: Params) -> None:
    gains = np.array(lqr_gains(params))
    least = _summed_cost(gains, params)
    for i, factor in itertools.product(range(4), (0.95, 1.05)):
        other = gains.copy()
        other[i] *= factor
        assert _summed_cost(other, params) > least * (1 + 1e-7), (i, factor)


def test_force_points_to_the_side_of_the_tilt() -> None:
    assert all(gain > 0 for gain in lqr_gains(Params()))


@pytest.mark.parametrize("params", GRID)
def test_gains_have_six_digits(params: Params) -> None:
    gains = lqr_gains(params)
    assert all(type(gain) is float for gain in gains)
    assert gains == tuple(float(f"{gain:.5e}") for gain in gains)


@pytest.mark.parametrize("continuous", [True, False])
def test_balances_from_every_start(continuous: bool) -> None:
    system = CartPole(continuous=continuous)
    episodes = play(system, regulator(system.params), 1_000, seed=0)
    np.testing.assert_array_equal(episodes.returns, FULL_RETURN)
    last = episodes.final_observations
    assert np.abs(last[:, 2]).max() < (0.001 if continuous else 0.05)


@pytest.mark.parametrize("turned", range(4))
def test_a_gain_of_the_wrong_sign_loses_the_pole(turned: int) -> None:
    x, x_dot, theta, theta_dot = (
        -gain if i == turned else gain for i, gain in enumerate(lqr_gains(Params()))
    )
    policy = CompiledPolicy(PROPORTIONAL, gains=(x, x_dot, theta, theta_dot))
    assert play(CartPole(), policy, 20, seed=0).returns.mean() < 0.95 * FULL_RETURN


@pytest.mark.parametrize("continuous", [True, False])
@pytest.mark.parametrize("params", GRID)
def test_balances_light_and_heavy_short_and_long_poles(params: Params, continuous: bool) -> None:
    system = CartPole(continuous=continuous, params=params)
    episodes = play(system, regulator(params), 100, seed=1)
    np.testing.assert_array_equal(episodes.returns, FULL_RETURN)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_balances_under_pushes(integrator: str) -> None:
    system = CartPole(integrator=integrator, push_rate=5.0, push_size=10.0)
    episodes = play(system, regulator(system.params), 200, seed=2)
    np.testing.assert_array_equal(episodes.returns, FULL_RETURN)


def test_parameters_without_a_regulator_are_rejected() -> None:
    with pytest.raises(InputError, match="physical parameters that can be balanced"):
        lqr_gains(Params(force_mag=1e-300))
