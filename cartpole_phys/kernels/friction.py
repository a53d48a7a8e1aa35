"""Coulomb friction of the cart within one integration step: it can stop the cart, but never drive it.

A cart at rest sticks as long as the force along the track is at most μ_c |N|; the pole then swings about a
fixed pivot. A moving cart slides, with a friction force of μ_c |N| against its motion in the equations of
motion. If that would reverse the cart within a step, or leave more energy than the same step without
friction, the step is taken without friction, and a friction impulse acts at its end, at most large enough to
stop the cart. Such an impulse dissipates kinetic energy for any step size; see J. J. Moreau, "Unilateral
contact and dry friction in finite freedom dynamics" (1988).
"""

from __future__ import annotations

from collections.abc import Callable

from cartpole_phys.numeric.compiled import inlined
from cartpole_phys.numeric.elementary import sin_cos
from cartpole_phys.physics import Constants, State, mechanical_energy, with_cart_friction


@inlined
def with_friction(
    integrate: Callable[..., State],
    integrate_held: Callable[..., State],
    same: bool,
    x: float,
    x_dot: float,
    theta: float,
    theta_dot: float,
    force: float,
    constants: Constants,
) -> State:
    """One step of ``integrate`` with cart friction.

    ``integrate_held`` moves the pole of a cart at rest; ``same``: it is ``integrate``.
    """
    has_friction = constants.cart_friction != 0.0
    holds = has_friction & (x_dot == 0.0) & is_held(theta, theta_dot, force, constants)
    # Frictionless, or at rest if the same map applies: one call for both.
    free = integrate(x, x_dot, theta, theta_dot, force, _track(constants, False, holds & same))
    held = free if same else integrate_held(x, x_dot, theta, theta_dot, force, _track(constants, False, True))
    braked = integrate(x, x_dot, theta, theta_dot, force, _track(constants, True, False))
    stopped = _braked_at_the_end(free, theta, theta_dot, force, constants)
    brakes = has_friction & (x_dot != 0.0) & _only_brakes(braked, free, constants)
    return _select(holds, held, _select(brakes, braked, _select(has_friction, stopped, free)))


@inlined
def _select(condition: bool, first: State, second: State) -> State:
    """Select one of two computed states without a branch, so that loops over carts are vectorized."""
    return (
        first[0] if condition else second[0],
        first[1] if condition else second[1],
        first[2] if condition else second[2],
        first[3] if condition else second[3],
    )


@inlined
def frictionless(constants: Constants) -> Constants:
    """The constants without friction."""
    return _track(constants, False, False)


@inlined
def _track(constants: Constants, has_friction: bool, held: bool) -> Constants:
    """The constants with or without friction, or for a held cart, whose 1 / mass is 0."""
    return Constants(
        constants.gravity,
        constants.total_mass,
        0.0 if held else constants.inverse_total_mass,
        constants.mass_length,
        constants.half_length,
        constants.cart_friction if has_friction else 0.0,
        constants.spin_damping,
        constants.time_step,
        constants.near_upright,
        has_friction,
    )


@inlined
def is_held(theta: float, theta_dot: float, force: float, constants: Constants) -> bool:
    """Whether friction holds a cart at rest: the required force (N) is at most μ_c |N|."""
    sine, cosine = sin_cos(theta)
    torque = constants.gravity * sine - constants.spin_damping * theta_dot
    swing = constants.mass_length * torque / ((4.0 / 3.0) * constants.half_length)  # m l θ̈, kg·m/s²
    spin = constants.mass_length * theta_dot * theta_dot
    normal = constants.total_mass * constants.gravity - swing * sine - spin * cosine
    return abs(force + spin * sine - swing * cosine) <= constants.cart_friction * abs(normal)


@inlined
def _only_brakes(braked: State, free: State, constants: Constants) -> bool:
    """Whether a step with friction ends no faster, in the same direction and with no more energy."""
    _, x_dot, theta, theta_dot = braked
    _, free_x_dot, free_theta, free_theta_dot = free
    slower = (0.0 <= x_dot <= free_x_dot) | (free_x_dot <= x_dot <= 0.0)
    left = mechanical_energy(x_dot, theta, theta_dot, constants)
    return slower & (left <= mechanical_energy(free_x_dot, free_theta, free_theta_dot, constants))


@inlined
def _braked_at_the_end(
    free: State, theta: float, theta_dot: float, force: float, constants: Constants
) -> State:
    """The end state of a frictionless step from ``theta`` and ``theta_dot``, after a friction impulse.

    The impulse reduces the cart's speed by the deceleration at the start of the step,
    τ μ_c |N| (4/3) l / (Q (M+m)) with Q = (4/3) l − m l cos²θ / (M+m), at most to 0. It changes θ̇ by
    −¾ cosθ / l times that change of ẋ.
    """
    x, x_dot, end, end_dot = free
    length = (4.0 / 3.0) * constants.half_length
    _, cosine = sin_cos(theta)
    q = length - constants.mass_length * cosine * cosine * constants.inverse_total_mass
    _, _, normal = with_cart_friction(x_dot, theta, theta_dot, force, constants)
    deceleration = constants.cart_friction * abs(normal) * constants.inverse_total_mass * length / q
    lost = min(constants.time_step * deceleration, abs(x_dot))
    lost = lost if x_dot > 0.0 else -lost
    _, cosine = sin_cos(end)
    return x, x_dot - lost, end, end_dot + cosine / length * lost
