"""Coulomb friction of the cart within one step of integration: it stops the cart, and never drives it.

A cart that stands is held as long as the force along the track is at most μ_c |N|; the pole then swings about
a fixed pivot. A cart that moves is braked, with μ_c |N| against its motion, in the equations of motion. In a
step in which that would turn the cart round, or leave more energy than the same step without friction, the
step is taken without friction, and the friction's impulse acts at its end: at most what stops the cart. Such
an impulse takes away kinetic energy whatever the step; see J. J. Moreau, "Unilateral contact and dry friction
in finite freedom dynamics" (1988).
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
    """One step of ``integrate`` with the friction of the cart.

    ``integrate_held`` moves the pole of a cart that is held; ``same``: it is ``integrate``.
    """
    rubs = constants.cart_friction != 0.0
    holds = rubs & (x_dot == 0.0) & is_held(theta, theta_dot, force, constants)
    # Free, or held where that takes no other map: one call for both.
    free = integrate(x, x_dot, theta, theta_dot, force, _track(constants, False, holds & same))
    held = free if same else integrate_held(x, x_dot, theta, theta_dot, force, _track(constants, False, True))
    braked = integrate(x, x_dot, theta, theta_dot, force, _track(constants, True, False))
    stopped = _braked_at_the_end(free, theta, theta_dot, force, constants)
    brakes = rubs & (x_dot != 0.0) & _only_brakes(braked, free, constants)
    return _chosen(holds, held, _chosen(brakes, braked, _chosen(rubs, stopped, free)))


@inlined
def _chosen(condition: bool, first: State, second: State) -> State:
    """One of two states; both are known, so that a loop over carts is vectorized."""
    return (
        first[0] if condition else second[0],
        first[1] if condition else second[1],
        first[2] if condition else second[2],
        first[3] if condition else second[3],
    )


@inlined
def frictionless(constants: Constants) -> Constants:
    """The same cart and pole on a track without friction."""
    return _track(constants, False, False)


@inlined
def _track(constants: Constants, rubs: bool, held: bool) -> Constants:
    """The same pole on a track that rubs or does not, or on a cart that no force moves: 1 / mass is 0."""
    return Constants(
        constants.gravity,
        constants.total_mass,
        0.0 if held else constants.inverse_total_mass,
        constants.mass_length,
        constants.half_length,
        constants.cart_friction if rubs else 0.0,
        constants.spin_damping,
        constants.time_step,
        constants.near_upright,
        rubs,
    )


@inlined
def is_held(theta: float, theta_dot: float, force: float, constants: Constants) -> bool:
    """Whether friction holds a cart that stands: the force that this takes (N) is at most μ_c |N|."""
    sine, cosine = sin_cos(theta)
    torque = constants.gravity * sine - constants.spin_damping * theta_dot
    swing = constants.mass_length * torque / ((4.0 / 3.0) * constants.half_length)  # m l θ̈, kg·m/s²
    spin = constants.mass_length * theta_dot * theta_dot
    normal = constants.total_mass * constants.gravity - swing * sine - spin * cosine
    return abs(force + spin * sine - swing * cosine) <= constants.cart_friction * abs(normal)


@inlined
def _only_brakes(braked: State, free: State, constants: Constants) -> bool:
    """Whether a step with friction ends no faster, the same way and with no more energy than without."""
    _, x_dot, theta, theta_dot = braked
    _, free_x_dot, free_theta, free_theta_dot = free
    slower = (0.0 <= x_dot <= free_x_dot) | (free_x_dot <= x_dot <= 0.0)
    left = mechanical_energy(x_dot, theta, theta_dot, constants)
    return slower & (left <= mechanical_energy(free_x_dot, free_theta, free_theta_dot, constants))


@inlined
def _braked_at_the_end(
    free: State, theta: float, theta_dot: float, force: float, constants: Constants
) -> State:
    """The end ``free`` of a step from ``theta`` and ``theta_dot``, after the impulse of friction.

    It takes from the cart the speed that Newton's equations take in a step from the place where it begins,
    τ μ_c |N| (4/3) l / (Q (M+m)) with Q = (4/3) l − m l cos²θ / (M+m), and at most all. Such an impulse
    changes θ̇ by −¾ cosθ / l times as much.
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
