"""Integrators: maps from one state to the next, with the force held constant.

How to choose: ``semi_implicit_euler`` (default) is cheap and stable for control; ``euler`` is that of
CartPole-v1 and gains energy; ``symplectic_euler`` keeps the energy error bounded over any time, given enough
substeps for a heavy pole; ``rk4`` is the most accurate, with an error that grows slowly with time. The mass
matrix depends on θ, so the semi-implicit map, which uses velocities, is not symplectic and slowly loses
energy; the symplectic one uses momenta. Cart friction is the same with all (``friction.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from cartpole_phys.kernels.friction import frictionless, with_friction
from cartpole_phys.numeric.compiled import inlined
from cartpole_phys.numeric.elementary import sin_cos
from cartpole_phys.physics import Constants, State, acceleration
from cartpole_phys.utils.choices import unknown

Integrator = Callable[[float, float, float, float, float, Constants], State]

EULER, SEMI_IMPLICIT_EULER, SYMPLECTIC_EULER, RK4 = range(4)
FIRST_ANGLE_ONLY = ("euler", "semi_implicit_euler")  # evaluate sines only at the initial angle of a step
INTEGRATORS = {
    "euler": EULER,
    "semi_implicit_euler": SEMI_IMPLICIT_EULER,
    "symplectic_euler": SYMPLECTIC_EULER,
    "rk4": RK4,
}


def integrator_code(name: str) -> int:
    """The code of an integrator in kernels.

    Raises:
        InputError: if no integrator has this name.
    """
    if not isinstance(name, str) or name not in INTEGRATORS:
        raise unknown("integrator", name, INTEGRATORS)
    return INTEGRATORS[name]


@inlined
def euler(
    x: float, x_dot: float, theta: float, theta_dot: float, force: float, constants: Constants
) -> State:
    """Explicit Euler: positions are updated with the old velocities."""
    h = constants.time_step
    x_acceleration, theta_acceleration = acceleration(x_dot, theta, theta_dot, force, constants)
    return (
        x + h * x_dot,
        x_dot + h * x_acceleration,
        theta + h * theta_dot,
        theta_dot + h * theta_acceleration,
    )


@inlined
def semi_implicit_euler(
    x: float, x_dot: float, theta: float, theta_dot: float, force: float, constants: Constants
) -> State:
    """Semi-implicit Euler: velocities are updated first, then positions with the new velocities."""
    h = constants.time_step
    x_acceleration, theta_acceleration = acceleration(x_dot, theta, theta_dot, force, constants)
    new_x_dot, new_theta_dot = x_dot + h * x_acceleration, theta_dot + h * theta_acceleration
    return x + h * new_x_dot, new_x_dot, theta + h * new_theta_dot, new_theta_dot


@inlined
def symplectic_euler(
    x: float, x_dot: float, theta: float, theta_dot: float, force: float, constants: Constants
) -> State:
    """Symplectic Euler in momenta: p' = p − h ∂H/∂q(q, p'), q' = q + h ∂H/∂p(q, p').

    With a = M+m, b = m l, d = (4/3) m l², D = a d − b² cos²θ, the momenta are p_x = a ẋ + b cosθ θ̇ and
    p_θ = b cosθ ẋ + d θ̇, and H = (d p_x² − 2 b cosθ p_x p_θ + a p_θ²) / (2 D) + b g cosθ. The new p_x is
    explicit; the new p_θ solves A p_θ² − B p_θ + C = 0, with the root that tends to C/B. Forces that are not
    in H (push, friction) act explicitly. Source: Hairer, Lubich and Wanner, "Geometric Numerical
    Integration", section VI.3. Without such a root the step is explicit, and the energy may drift: at about
    one revolution per step with the default parameters, at a few hundredths of a revolution with a heavy pole
    on a light cart. More substeps prevent it.
    """
    h, a, b = constants.time_step, constants.total_mass, constants.mass_length
    d = (4.0 / 3.0) * b * constants.half_length
    sine, cosine = sin_cos(theta)
    bc = b * cosine
    big_d = a * d - bc * bc
    outer_x, outer_theta = _outer_forces(x_dot, theta, theta_dot, force, constants)
    p_x = a * x_dot + bc * theta_dot + h * outer_x
    p_theta = bc * x_dot + d * theta_dot + h * outer_theta
    bend = h * b * bc * sine / (big_d * big_d)
    quadratic = bend * a
    linear = 1.0 + h * b * sine * p_x / big_d + 2.0 * bend * bc * p_x
    constant = p_theta + h * b * constants.gravity * sine + bend * d * p_x * p_x
    discriminant = linear * linear - 4.0 * quadratic * constant
    implicit = 2.0 * constant / (linear + math.sqrt(max(discriminant, 0.0)))
    explicit = constant + (quadratic * p_theta - (linear - 1.0)) * p_theta
    p_theta = implicit if (discriminant >= 0.0) & (linear > 0.5) else explicit
    new_x = x + h * (d * p_x - bc * p_theta) / big_d
    new_theta = theta + h * (a * p_theta - bc * p_x) / big_d
    _, new_cosine = sin_cos(new_theta)
    bc = b * new_cosine
    big_d = a * d - bc * bc
    return new_x, (d * p_x - bc * p_theta) / big_d, new_theta, (a * p_theta - bc * p_x) / big_d


@inlined
def _outer_forces(
    x_dot: float, theta: float, theta_dot: float, force: float, constants: Constants
) -> tuple[float, float]:
    """Nonconservative generalized forces: on x (N) and on θ (N·m)."""
    pivot = -constants.spin_damping * constants.mass_length * theta_dot
    if not constants.has_friction:
        return force, pivot
    sine, cosine = sin_cos(theta)
    x_acceleration, theta_acceleration = acceleration(x_dot, theta, theta_dot, force, constants)
    inertia = constants.mass_length * (theta_acceleration * cosine - theta_dot * theta_dot * sine)
    return constants.total_mass * x_acceleration + inertia, pivot


@inlined
def rk4(x: float, x_dot: float, theta: float, theta_dot: float, force: float, constants: Constants) -> State:
    """The classical Runge-Kutta method of order 4.

    All stages use the friction direction of the initial ẋ, so that their equations are smooth.
    """
    h = constants.time_step
    half = 0.5 * h
    a1, b1 = acceleration(x_dot, theta, theta_dot, force, constants)
    v2, w2 = x_dot + half * a1, theta_dot + half * b1
    a2, b2 = acceleration(x_dot, theta + half * theta_dot, w2, force, constants)
    v3, w3 = x_dot + half * a2, theta_dot + half * b2
    a3, b3 = acceleration(x_dot, theta + half * w2, w3, force, constants)
    v4, w4 = x_dot + h * a3, theta_dot + h * b3
    a4, b4 = acceleration(x_dot, theta + h * w3, w4, force, constants)
    sixth = h / 6.0
    return (
        x + sixth * (x_dot + 2.0 * v2 + 2.0 * v3 + v4),
        x_dot + sixth * (a1 + 2.0 * a2 + 2.0 * a3 + a4),
        theta + sixth * (theta_dot + 2.0 * w2 + 2.0 * w3 + w4),
        theta_dot + sixth * (b1 + 2.0 * b2 + 2.0 * b3 + b4),
    )


def _without_friction(integrate: Integrator) -> Integrator:
    """Specialize an integrator to carts without friction."""

    @inlined
    def smooth(
        x: float, x_dot: float, theta: float, theta_dot: float, force: float, constants: Constants
    ) -> State:
        return integrate(x, x_dot, theta, theta_dot, force, frictionless(constants))

    return smooth


def _with_friction(integrate: Integrator, integrate_held: Integrator) -> Integrator:
    """Add cart friction to an integrator; ``integrate_held`` moves the pole of a cart held by friction."""
    same = integrate is integrate_held

    @inlined
    def braked(
        x: float, x_dot: float, theta: float, theta_dot: float, force: float, constants: Constants
    ) -> State:
        return with_friction(integrate, integrate_held, same, x, x_dot, theta, theta_dot, force, constants)

    return braked


WITHOUT_FRICTION = {
    "euler": _without_friction(euler),
    "semi_implicit_euler": _without_friction(semi_implicit_euler),
    "symplectic_euler": _without_friction(symplectic_euler),
    "rk4": _without_friction(rk4),
}
# On a held cart the pole's inertia is constant, and semi-implicit Euler is symplectic too.
WITH_FRICTION = {
    "euler": _with_friction(euler, euler),
    "semi_implicit_euler": _with_friction(semi_implicit_euler, semi_implicit_euler),
    "symplectic_euler": _with_friction(symplectic_euler, semi_implicit_euler),
    "rk4": _with_friction(rk4, rk4),
}
