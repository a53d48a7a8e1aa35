"""Coulomb friction: dissipation, sticking and sliding, with every integrator."""

from itertools import product
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import cartpole_phys
from cartpole_phys.batch import Columns, move
from cartpole_phys.kernels.integrators import INTEGRATORS
from cartpole_phys.physics import DAMPING_LIMIT, RANGES, Params
from cartpole_phys.system import PARAM_NAMES, CartPole
from cartpole_phys.tasks import TASKS
from tests.kernels.test_integrators import ORDERS

gym.register_envs(cartpole_phys)

FloatArray = Any
FRICTION = PARAM_NAMES.index("cart_friction")
by_integrator = pytest.mark.parametrize("integrator", INTEGRATORS)


def _damped(params: FloatArray, shares: FloatArray) -> FloatArray:
    """Append a pole damping, as a share (n,) of its maximum, to parameters (7, n), giving (8, n)."""
    _, _, pole_mass, half_length, _, time_step, _ = params
    return np.vstack([params, shares * DAMPING_LIMIT * pole_mass * half_length**2 / time_step])


def _corners() -> FloatArray:
    """Return the parameters at all corners of the documented ranges, (8, 256)."""
    ends = np.array(list(product((0, 1), repeat=8))).T
    low, high = np.array(list(RANGES.values())).T[..., None]
    return _damped(np.where(ends[:7], high, low), ends[7])


def _uniform(count: int) -> FloatArray:
    """Sample parameters uniformly in the documented ranges, (8, count)."""
    generator = np.random.default_rng(0)
    params = np.array([generator.uniform(*RANGES[name], count) for name in PARAM_NAMES[:7]])
    return _damped(params, generator.uniform(size=count))


def _with(integrator: str, params: FloatArray, states: FloatArray) -> Columns:
    """Create swing-up environments with parameters (8, n) and states (4, n)."""
    columns = Columns(CartPole(integrator=integrator, task=TASKS["swing_up"]), params.shape[1])
    columns.begin()
    columns.params[:], columns.states[:] = params, states
    columns.select_kernels()
    return columns


def _energies(params: FloatArray, states: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Compute the mechanical energies (n,) and the magnitude of their largest terms, J."""
    gravity, cart_mass, pole_mass, half_length = params[:4]
    _, x_dot, theta, theta_dot = states
    b, cosine = pole_mass * half_length, np.cos(theta)
    terms = np.array(
        [
            (cart_mass + pole_mass) * x_dot**2 / 2,
            b * x_dot * theta_dot * cosine,
            2 / 3 * b * half_length * theta_dot**2,
            b * gravity * cosine,
        ]
    )
    return terms.sum(axis=0), np.abs(terms).max(axis=0)


@by_integrator
@pytest.mark.parametrize("sample", ["corners", "uniform"])
def test_friction_dissipates_and_does_not_reverse_motion(integrator: str, sample: str) -> None:
    """Compare each step with the same step without friction, or with the cart at rest."""
    params = np.repeat(_corners(), 8, axis=1) if sample == "corners" else _uniform(2_048)
    without = params.copy()
    without[FRICTION] = 0.0
    generator = np.random.default_rng(1)
    states = _with(integrator, params, np.zeros((4, params.shape[1]))).states
    held_steps = stopped = 0
    for _ in range(200):
        away = (np.abs(states[0]) > 2.4) | (np.abs(states[2]) > 1e5)
        states[:, away] = generator.uniform(-2, 2, (4, away.sum())) * [[1.0], [1.0], [3.0], [5.0]]
        rubbing, free = _with(integrator, params, states), _with(integrator, without, states)
        actions = generator.uniform(-1, 1, (params.shape[1], 1)).astype(np.float32)
        for columns in (rubbing, free):
            columns.set_actions(actions)
            columns.step()
        after = rubbing.states
        held = (states[1] == 0.0) & (after[1] == 0.0) & (after[0] == states[0])
        assert (np.abs(after[1]) <= np.abs(free.states[1]))[~held].all()
        assert (after[1] * free.states[1] >= 0.0)[~held].all()
        (left, size), (energy, free_size) = _energies(params, after), _energies(params, free.states)
        assert (left <= energy + 1e-9 * (size + free_size))[~held].all()
        held_steps += int((held & (params[FRICTION] > 0.0)).sum())
        stopped += int(((after[1] == 0.0) & (states[1] != 0.0)).sum())
        states = after.copy()
    assert held_steps > 1_000
    assert stopped > 1_000


@by_integrator
def test_observations_and_rewards_are_finite_at_every_corner(integrator: str) -> None:
    params, generator = np.repeat(_corners(), 16, axis=1), np.random.default_rng(1)
    columns = _with(integrator, params, np.zeros((4, params.shape[1])))
    for actions in generator.uniform(-1, 1, (300, params.shape[1], 1)).astype(np.float32):
        columns.set_actions(actions)
        stepped = columns.step(restart=True)
        assert np.isfinite(columns.states).all()
        assert np.isfinite(stepped.observations).all()
        assert ((stepped.rewards >= 0.0) & (stepped.rewards <= 1.0)).all()


def test_heavy_pole_on_a_light_cart_with_friction_stays_finite() -> None:
    params = {"gravity": 30, "cart_mass": 0.2, "pole_mass": 5, "half_length": 0.1, "cart_friction": 1}
    env = gym.make("PhysCartPoleSwingUp-v0", integrator="rk4", params={**params, "time_step": 0.04})
    env.reset(seed=1)
    env.action_space.seed(1)
    for _ in range(500):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert np.isfinite(observation).all()
        assert 0.0 <= float(reward) <= 1.0
        if terminated or truncated:
            env.reset()


@by_integrator
@pytest.mark.parametrize("share", [0.2, 0.8])
def test_friction_stops_and_holds_a_slow_cart(integrator: str, share: float) -> None:
    params = Params(cart_friction=0.1, pole_mass=0.01)
    speed = share * params.cart_friction * params.gravity * params.time_step
    system, states = CartPole(integrator=integrator, params=params), np.array([[0], [speed], [np.pi], [0.0]])
    move(system, states, np.zeros(1))
    assert states[1] == 0.0
    position = states[0].copy()
    for _ in range(50):
        move(system, states, np.zeros(1))
        assert (states[0], states[1]) == (position, 0.0)


@by_integrator
def test_static_friction_holds_the_cart_while_the_pole_swings(
    integrator: str,
) -> None:
    params = Params(cart_friction=0.5, pole_damping=0.01)
    weight = params.cart_friction * params.total_mass * params.gravity
    angles = np.linspace(-3, 3, 50)
    for force in (0.8 * weight, -0.8 * weight):  # the reaction of the pole is below the remaining 20 %
        states = np.array([0 * angles + 0.3, 0 * angles, angles, 0 * angles])
        alone = states.copy()
        for _ in range(3):
            move(CartPole(integrator=integrator, params=params), states, np.full(50, force))
            # Reference: the same pole on a cart of 1e9 kg, which is effectively fixed.
            heavy = Params(cart_mass=1e9, pole_damping=0.01)
            move(CartPole(integrator=integrator, params=heavy), alone, 0 * angles)
        np.testing.assert_array_equal(states[:2], np.array([0 * angles + 0.3, 0 * angles]))
        np.testing.assert_allclose(states[2:], alone[2:], rtol=0, atol=1e-6)
    states = np.array([[0.3], [0.0], [np.pi], [0.0]])
    for force in (1.05 * weight, -1.05 * weight):
        pushed = states.copy()
        move(CartPole(integrator=integrator, params=params), pushed, np.array([force]))
        assert 0 < pushed[1] * np.sign(force) < 0.05 * weight * params.time_step


@by_integrator
def test_sticking_condition_matches_newtons_equations(integrator: str) -> None:
    """Including negative normal forces, when a fast pole presses the cart against the track's underside."""
    params, generator = Params(cart_friction=0.3, pole_mass=0.5), np.random.default_rng(3)
    theta, theta_dot = generator.uniform(-3, 3, 2_000), generator.uniform(-12, 12, 2_000)
    b, sine, cosine = params.pole_mass * params.half_length, np.sin(theta), np.cos(theta)
    swing = b * params.gravity * sine / (4 / 3 * params.half_length)  # m l θ̈ about a fixed pivot
    normal = params.total_mass * params.gravity - swing * sine - b * theta_dot**2 * cosine
    assert (normal < 0).sum() > 200
    most = params.cart_friction * np.abs(normal) * np.where(generator.uniform(size=2_000) < 0.5, -1, 1)
    position = np.full(2_000, 0.3)
    for share in (0.999, 1.3):
        states = np.array([position, 0 * position, theta, theta_dot])
        move(
            CartPole(integrator=integrator, params=params),
            states,
            share * most - b * theta_dot**2 * sine + swing * cosine,
        )
        held = (states[0] == position) & (states[1] == 0.0)
        assert held.all() if share < 1 else held.mean() < 0.1, held.mean()


def _newton(state: FloatArray, force: float, p: Params, slip: float) -> tuple[float, float, float]:
    """Solve Newton's equations with friction ``slip`` × N against +x for ẍ, θ̈ and N."""
    _, _, theta, theta_dot = state
    sine, cosine, b = np.sin(theta), np.cos(theta), p.pole_mass * p.half_length
    matrix = [
        [p.total_mass, b * cosine, slip],
        [b * cosine, 4 / 3 * b * p.half_length, 0.0],
        [0.0, b * sine, 1.0],
    ]
    spin = b * theta_dot**2
    right = [force + spin * sine, b * p.gravity * sine, p.total_mass * p.gravity - spin * cosine]
    x_acceleration, theta_acceleration, normal = np.linalg.solve(matrix, right)
    return x_acceleration, theta_acceleration, normal


def _derivative(_: float, state: FloatArray, force: float, p: Params) -> list[float]:
    """Compute the state derivative of a cart sliding to the right with a positive normal force."""
    x_acceleration, theta_acceleration, _ = _newton(state, force, p, p.cart_friction)
    return [state[1], x_acceleration, state[3], theta_acceleration]


@by_integrator
def test_friction_with_negative_normal_force_matches_newton(integrator: str) -> None:
    """The pole lifts the cart; friction on the underside of the track opposes its motion."""
    params, generator = Params(cart_friction=0.3, pole_mass=0.5, time_step=1e-6), np.random.default_rng(4)
    signs = generator.choice([-1.0, 1.0], (2, 200))
    speeds = signs * generator.uniform([[0.5], [10.0]], [[3.0], [14.0]], (2, 200))
    states = np.array([0 * speeds[0], speeds[0], generator.uniform(-0.8, 0.8, 200), speeds[1]])
    forces = generator.uniform(-5, 5, 200)
    exact = np.array(
        [
            _newton(state, force, params, -params.cart_friction * np.sign(state[1]))
            for state, force in zip(states.T, forces, strict=True)
        ]
    ).T
    assert (exact[2] < 0.0).all()
    after = states.copy()
    move(CartPole(integrator=integrator, params=params), after, forces)
    np.testing.assert_allclose((after[[1, 3]] - states[[1, 3]]) / params.time_step, exact[:2], atol=0.01)


@by_integrator
def test_order_of_convergence_with_sliding_friction(integrator: str) -> None:
    start, force, seconds = [0.1, 2.0, 2.0, 0.5], 3.0, 0.48
    params = Params(cart_friction=0.2)
    exact = solve_ivp(
        _derivative, (0, seconds), start, "DOP853", args=(force, params), rtol=1e-12, atol=1e-12
    ).y[:, -1]
    errors = []
    for substeps in (16, 32, 64):
        states = np.array(start).reshape(4, 1)
        once = Params(cart_friction=0.2, time_step=seconds)
        move(CartPole(integrator=integrator, params=once, substeps=substeps), states, np.array([force]))
        errors.append(np.abs(states[:, 0] - exact).max())
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    np.testing.assert_allclose(orders, ORDERS[integrator], atol=0.3)


@by_integrator
def test_energy_decreases_without_force(integrator: str) -> None:
    params = np.hstack([_corners(), _uniform(256)])
    params = params[:, params[FRICTION] > 0.0]
    generator = np.random.default_rng(2)
    states = generator.uniform(-1, 1, (4, params.shape[1])) * [[1.0], [1.0], [3.0], [2.0]]
    system = CartPole(integrator=integrator, task=TASKS["swing_up"], substeps=100)
    columns = Columns(system, params.shape[1])
    columns.begin()
    columns.params[:], columns.states[:] = params, states
    columns.select_kernels()
    before, size = _energies(params, states)
    largest = size.copy()
    for _ in range(20):
        columns.step()
        energy, size = _energies(params, columns.states)
        largest = np.maximum(largest, size)
        assert (energy <= before + 0.02 * largest).all()
        before = np.minimum(before, energy)
