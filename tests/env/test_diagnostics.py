"""Diagnostics in infos: energy and margins to termination."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from cartpole_phys.physics import Params, energy
from tests.support.vector_comparison import DISCRETE, IDS, SWING_UP


def _make(env_id: str, **kwargs: Any) -> Any:
    return gym.make(env_id, disable_env_checker=True, diagnostics=True, **kwargs)


def _energy(state: np.ndarray, p: Params) -> float:
    """Compute ½ M ẋ² + ½ m v² + ½ I θ̇² + m g y with a uniform rod of length 2 l."""
    _, x_dot, theta, theta_dot = state
    velocity = (
        x_dot + p.half_length * theta_dot * math.cos(theta),
        -p.half_length * theta_dot * math.sin(theta),
    )
    inertia = p.pole_mass * (2 * p.half_length) ** 2 / 12
    linear = 0.5 * p.cart_mass * x_dot**2 + 0.5 * p.pole_mass * math.hypot(*velocity) ** 2
    return linear + 0.5 * inertia * theta_dot**2 + p.pole_mass * p.gravity * p.half_length * math.cos(theta)


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("kwargs", [{}, {"randomize": {"pole_mass": [0.1, 2.0], "gravity": [5.0, 15.0]}}])
def test_energy_of_a_cart_and_a_uniform_rod(env_id: str, kwargs: dict[str, Any]) -> None:
    env = _make(env_id, **kwargs)
    for state in np.random.default_rng(0).uniform(-4, 4, (20, 4)):
        _, info = env.reset(options={"state": state})
        for _ in range(2):
            now, params = env.unwrapped.state, env.unwrapped.params
            assert info["energy"] == energy(now, params)
            assert math.isclose(info["energy"], _energy(now, params), rel_tol=1e-12, abs_tol=1e-13)
            info = env.step(1 if env_id == DISCRETE else np.ones(1, np.float32))[4]


def test_energy_is_conserved_without_force_and_friction() -> None:
    def drift(**params: float) -> float:
        env = _make(SWING_UP, integrator="rk4", params=params)
        energies = [env.reset(options={"state": (0, 0, 2.0, 0)})[1]["energy"]]
        energies += [env.step(np.zeros(1, np.float32))[4]["energy"] for _ in range(100)]
        return float(np.ptp(energies)) if not params else float(energies[-1] - energies[0])

    assert drift() < 1e-5
    assert drift(pole_damping=0.01) < -0.01
    assert drift(cart_friction=0.01) < -0.001


@pytest.mark.parametrize("env_id", IDS)
def test_margins_are_signed_distances_to_the_thresholds(env_id: str) -> None:
    env = _make(env_id)
    limit = 12 * 2 * math.pi / 360
    for state in np.random.default_rng(0).uniform(-1, 1, (200, 4)) * [2.8, 1, 0.3, 1]:
        env.reset(options={"state": state})
        _, _, terminated, _, info = env.step(0 if env_id == DISCRETE else np.zeros(1, np.float32))
        x, _, theta, _ = env.unwrapped.state
        assert info["x_margin"] == 2.4 - abs(x)
        assert info.get("theta_margin", 1.0) == (1.0 if env_id == SWING_UP else limit - abs(theta))
        assert terminated == (min(info["x_margin"], info.get("theta_margin", 1.0)) < 0)


@pytest.mark.parametrize("env_id", IDS)
def test_infos_are_empty_by_default(env_id: str) -> None:
    env = gym.make(env_id, disable_env_checker=True)
    assert env.reset(seed=0)[1] == {}
    assert env.step(0 if env_id == DISCRETE else np.zeros(1, np.float32))[4] == {}
    names = {"energy", "x_margin"} | ({"theta_margin"} if env_id != SWING_UP else set())
    info = _make(env_id).reset(seed=0)[1]
    assert info.keys() == names
    assert {type(value) for value in info.values()} == {float}
