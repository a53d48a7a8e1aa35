"""The linearized motion about any state, for linear controllers and for analysis."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from cartpole_phys.physics import Params
from cartpole_phys.utils.typing import FloatArray


class Linearization(NamedTuple):
    """d/dt (x, ẋ, θ, θ̇) ≈ f + A·(δx, δẋ, δθ, δθ̇) + B·δF about a state and a force."""

    state_matrix: FloatArray  # A, (4, 4)
    force_vector: FloatArray  # B, (4,), per newton
    derivative: FloatArray  # f, (4,), of the state itself


class _Gradient(NamedTuple):
    """A quantity and its derivatives with respect to θ, θ̇ and F."""

    value: float
    by_theta: float
    by_theta_dot: float
    by_force: float


def linearize(state: FloatArray, force: float = 0.0, params: Params | None = None) -> Linearization:
    """The analytic linearization of the motion about ``state`` (4,) and ``force`` (N).

    Cart friction keeps the direction that it has at the state. It is not differentiable at rest (ẋ = 0) and
    is omitted there, even for a cart that it holds: a regulator is designed for the motion about rest.
    """
    p = params or Params()
    theta, theta_dot = float(state[2]), float(state[3])
    slip = p.cart_friction * math.copysign(1.0, state[1]) if state[1] else 0.0
    if slip and _normal(theta, theta_dot, force, slip, p).value < 0.0:
        slip = -slip
    pole = _pole_acceleration(theta, theta_dot, force, slip, p)
    cart = _cart_acceleration(theta, theta_dot, force, slip, p)
    state_matrix = np.zeros((4, 4))
    state_matrix[0, 1] = state_matrix[2, 3] = 1.0
    state_matrix[1, 2:] = cart.by_theta, cart.by_theta_dot
    state_matrix[3, 2:] = pole.by_theta, pole.by_theta_dot
    return Linearization(
        state_matrix,
        np.array([0.0, cart.by_force, 0.0, pole.by_force]),
        np.array([float(state[1]), cart.value, theta_dot, pole.value]),
    )


def _pole_acceleration(theta: float, theta_dot: float, force: float, slip: float, p: Params) -> _Gradient:
    """θ̈ = P / Q, the solved equation of motion, and its derivatives by the quotient rule."""
    sine, cosine = math.sin(theta), math.cos(theta)
    mass, ml = p.total_mass, p.pole_mass * p.half_length
    carried = (-force - ml * theta_dot**2 * (sine + slip * cosine)) / mass + slip * p.gravity
    top = p.gravity * sine + cosine * carried - p.pole_damping * theta_dot / ml
    bottom = 4 / 3 * p.half_length - ml * cosine * (cosine - slip * sine) / mass
    top_by_theta = (
        p.gravity * cosine - sine * carried - cosine * ml * theta_dot**2 * (cosine - slip * sine) / mass
    )
    top_by_theta_dot = -2 * cosine * ml * theta_dot * (sine + slip * cosine) / mass - p.pole_damping / ml
    bottom_by_theta = ml / mass * (math.sin(2 * theta) + slip * math.cos(2 * theta))
    value = top / bottom
    return _Gradient(
        value,
        (top_by_theta - value * bottom_by_theta) / bottom,
        top_by_theta_dot / bottom,
        -cosine / mass / bottom,
    )


def _normal(theta: float, theta_dot: float, force: float, slip: float, p: Params) -> _Gradient:
    """N = (M+m) g − m l (θ̈ sinθ + θ̇² cosθ)."""
    sine, cosine, ml = math.sin(theta), math.cos(theta), p.pole_mass * p.half_length
    pole = _pole_acceleration(theta, theta_dot, force, slip, p)
    return _Gradient(
        p.total_mass * p.gravity - ml * (pole.value * sine + theta_dot**2 * cosine),
        -ml * (pole.by_theta * sine + pole.value * cosine - theta_dot**2 * sine),
        -ml * (pole.by_theta_dot * sine + 2 * theta_dot * cosine),
        -ml * pole.by_force * sine,
    )


def _cart_acceleration(theta: float, theta_dot: float, force: float, slip: float, p: Params) -> _Gradient:
    """ẍ = (F + m l (θ̇² sinθ − θ̈ cosθ) − slip · N) / (M+m)."""
    sine, cosine = math.sin(theta), math.cos(theta)
    mass, ml = p.total_mass, p.pole_mass * p.half_length
    pole = _pole_acceleration(theta, theta_dot, force, slip, p)
    normal = _normal(theta, theta_dot, force, slip, p)
    spin, bend = theta_dot**2 * sine - pole.value * cosine, theta_dot**2 * cosine + pole.value * sine
    return _Gradient(
        (force + ml * spin - slip * normal.value) / mass,
        (ml * (bend - pole.by_theta * cosine) - slip * normal.by_theta) / mass,
        (ml * (2 * theta_dot * sine - pole.by_theta_dot * cosine) - slip * normal.by_theta_dot) / mass,
        (1 - ml * pole.by_force * cosine - slip * normal.by_force) / mass,
    )
