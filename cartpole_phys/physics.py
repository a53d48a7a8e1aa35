"""Cart-pole physics: parameters, accelerations and energy.

θ = 0 is upright, l is half the pole's length (a uniform rod), M the cart's mass, m the pole's, F the force
on the cart. Lagrange's equations, with f_c the friction of the cart and μ_p that of the pivot:

    (M+m) ẍ + m l θ̈ cosθ − m l θ̇² sinθ = F − f_c
    m l ẍ cosθ + (4/3) m l² θ̈ − m g l sinθ = −μ_p θ̇

The cart's friction is Coulomb's, f_c = μ_c |N| sgn(ẋ) with N = (M+m) g − m l (θ̈ sinθ + θ̇² cosθ) the normal
force: a pole that spins fast enough lifts the cart against the underside of its track.
``kernels/friction.py`` limits its effect within a step. Everything is float64 and in SI units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import NamedTuple, cast

import numpy as np

from cartpole_phys.numeric.compiled import inlined, kernel
from cartpole_phys.numeric.elementary import sin_cos, sin_cos_near_zero
from cartpole_phys.utils.choices import unknown
from cartpole_phys.utils.errors import InputError, is_number
from cartpole_phys.utils.typing import FloatArray

State = tuple[float, float, float, float]  # x (m), ẋ (m/s), θ (rad), θ̇ (rad/s)
ParamValues = tuple[float, float, float, float, float, float, float, float]  # ``Params`` in field order
MAY_BE_ZERO = ("cart_friction", "pole_damping")

# Within these ranges, corners included, random steps stay finite with every integrator
# (benchmarks/endurance.py). Values outside are accepted, but explicit integration may diverge: in 0.03 s a
# heavy pole on a light cart turns so far that even rk4 multiplies its energy.
RANGES = {
    "gravity": (1.0, 30.0),  # m/s²
    "cart_mass": (0.2, 20.0),  # kg
    "pole_mass": (0.01, 5.0),  # kg
    "half_length": (0.1, 5.0),  # m
    "force_mag": (0.1, 50.0),  # N
    "time_step": (0.001, 0.02),  # s
    "cart_friction": (0.0, 1.0),
}
DAMPING_LIMIT = 1.0 / 3.0  # of pole_damping × time_step in m l²


class Constants(NamedTuple):
    """The constants in the equations of motion."""

    gravity: float  # m/s²
    total_mass: float  # M + m, kg
    inverse_total_mass: float  # 1/kg
    mass_length: float  # m l, kg·m
    half_length: float  # l, m
    cart_friction: float  # μ_c, dimensionless
    spin_damping: float  # μ_p / (m l), m/(rad·s)
    time_step: float  # of one substep, s
    near_upright: bool  # guarantees |θ| < π/4: skips the angle's reduction, with the same bits
    has_friction: bool  # whether μ_c is not 0


@dataclass(frozen=True)
class Params:
    """Physical parameters of one cart and pole; the defaults are those of Gymnasium's CartPole-v1.

    Derived quantities are properties, so they are always up to date.
    """

    gravity: float = 9.8  # m/s²
    cart_mass: float = 1.0  # kg
    pole_mass: float = 0.1  # kg
    half_length: float = 0.5  # m, pivot to center of mass
    force_mag: float = 10.0  # N, the force of action 1
    time_step: float = 0.02  # s, the force is constant during it
    cart_friction: float = 0.0  # μ_c, Coulomb's coefficient between cart and track, dimensionless
    pole_damping: float = 0.0  # μ_p, viscous friction of the pivot, N·m·s/rad

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not is_number(value):
                raise InputError(f"Expected params[{name!r}] as a number, got {value!r}.")
            least = "of at least 0" if name in MAY_BE_ZERO else "above 0"
            if not (math.isfinite(value) and (value > 0 or (value == 0 and name in MAY_BE_ZERO))):
                raise InputError(f"Expected params[{name!r}] as a finite number {least}, got {value!r}.")
            object.__setattr__(self, name, float(value))

    @classmethod
    def from_mapping(cls, values: Mapping[str, float] | None) -> Params:
        """Parameters from names and values; omitted names keep their defaults.

        Raises:
            InputError: unless it maps known names to numbers in range.
        """
        return cls().changed({} if values is None else values)

    def changed(self, values: Mapping[str, float]) -> Params:
        """A copy with some parameters replaced, by name.

        Raises:
            InputError: unless it maps known names to numbers in range.
        """
        if not isinstance(values, Mapping):
            raise InputError(
                f'Expected params as names and numbers like {{"pole_mass": 0.2}}, got {values!r}.'
            )
        known = [field.name for field in fields(self)]
        others = sorted(set(values) - set(known))
        if others:
            raise unknown("physical parameter", others[0], known)
        return replace(self, **values)

    @property
    def total_mass(self) -> float:
        """Mass of cart and pole, kg."""
        return self.cart_mass + self.pole_mass

    def as_mapping(self) -> dict[str, float]:
        """Names and values, the inverse of ``from_mapping``."""
        return asdict(self)

    @property
    def values(self) -> ParamValues:
        """The values in field order, for the kernels."""
        return cast(ParamValues, tuple(getattr(self, field.name) for field in fields(self)))


@inlined
def constants_of(params: ParamValues, substeps: int, near_upright: bool) -> Constants:
    """The constants for one set of parameters and ``substeps`` integration steps per time step."""
    gravity, cart_mass, pole_mass, half_length, _, time_step, cart_friction, pole_damping = params
    total_mass, mass_length = cart_mass + pole_mass, pole_mass * half_length
    return Constants(
        gravity,
        total_mass,
        1.0 / total_mass,
        mass_length,
        half_length,
        cart_friction,
        pole_damping / mass_length,
        time_step / substeps,
        near_upright,
        cart_friction != 0.0,
    )


@inlined
def acceleration(
    x_dot: float, theta: float, theta_dot: float, force: float, constants: Constants
) -> tuple[float, float]:
    """Accelerations of the cart (m/s²) and of the pole (rad/s²) under a force in newtons.

    Only the sign of ``x_dot`` matters: it is the direction of motion that friction opposes. With friction it
    must not be 0.

    Source: Lagrange's equations above, solved for θ̈ first; without friction equal to equations 23 and 24 of
    R. Florian, "Correct equations for the dynamics of the cart-pole system" (2007).
    """
    if constants.has_friction:
        return with_cart_friction(x_dot, theta, theta_dot, force, constants)[:2]
    gravity, _, inverse_total_mass, mass_length, half_length, _, spin_damping, _, near_upright, _ = constants
    sine, cosine = sin_cos_near_zero(theta) if near_upright else sin_cos(theta)
    pushed = (force + mass_length * theta_dot * theta_dot * sine) * inverse_total_mass
    torque = gravity * sine - pushed * cosine - spin_damping * theta_dot
    effective_length = (4.0 / 3.0) * half_length - mass_length * cosine * cosine * inverse_total_mass
    theta_acceleration = torque / effective_length
    return pushed - mass_length * theta_acceleration * cosine * inverse_total_mass, theta_acceleration


@inlined
def with_cart_friction(
    x_dot: float, theta: float, theta_dot: float, force: float, constants: Constants
) -> tuple[float, float, float]:
    """Accelerations and normal force (N) with Coulomb friction on a moving cart.

    The normal force is first assumed positive; if it comes out negative, the cart presses against the
    underside of its track, and the friction on it still opposes the motion.
    """
    # Both directions for either sign of ẋ, so that the compiler computes them once for all callers.
    to_the_left = sliding(theta, theta_dot, force, constants.cart_friction, constants)
    to_the_right = sliding(theta, theta_dot, force, -constants.cart_friction, constants)
    carried = to_the_left[2] if x_dot > 0.0 else to_the_right[2]
    leftward = (x_dot > 0.0) != (carried < 0.0)  # direction of the friction term
    return (
        to_the_left[0] if leftward else to_the_right[0],
        to_the_left[1] if leftward else to_the_right[1],
        to_the_left[2] if leftward else to_the_right[2],
    )


@inlined
def sliding(
    theta: float, theta_dot: float, force: float, slip: float, constants: Constants
) -> tuple[float, float, float]:
    """Accelerations and normal force (N) with a friction of ``slip`` × the normal force in direction −x."""
    gravity, total_mass, inverse_total_mass, mass_length, half_length, _, spin_damping, _, _, _ = constants
    sine, cosine = sin_cos(theta)
    spin = mass_length * theta_dot * theta_dot
    carried = (-force - spin * (sine + slip * cosine)) * inverse_total_mass + slip * gravity
    torque = gravity * sine + cosine * carried - spin_damping * theta_dot
    coupling = mass_length * cosine * inverse_total_mass * (cosine - slip * sine)
    theta_acceleration = torque / ((4.0 / 3.0) * half_length - coupling)
    normal = total_mass * gravity - mass_length * theta_acceleration * sine - spin * cosine
    along = force + spin * sine - mass_length * theta_acceleration * cosine - slip * normal
    return along * inverse_total_mass, theta_acceleration, normal


@inlined
def mechanical_energy(x_dot: float, theta: float, theta_dot: float, constants: Constants) -> float:
    """E = ½ (M+m) ẋ² + m l ẋ θ̇ cosθ + ⅔ m l² θ̇² + m g l cosθ, in joules."""
    mass_length, half_length = constants.mass_length, constants.half_length
    _, cosine = sin_cos(theta)
    moving = 0.5 * constants.total_mass * x_dot * x_dot + mass_length * x_dot * theta_dot * cosine
    spinning = (2.0 / 3.0) * mass_length * half_length * theta_dot * theta_dot
    return moving + spinning + mass_length * constants.gravity * cosine


@kernel
def energies(states: FloatArray, params: ParamValues, energy: FloatArray) -> None:
    """Write the mechanical energies (J) of states (4, n)."""
    constants = constants_of(params, 1, False)
    for i in range(states.shape[1]):
        energy[i] = mechanical_energy(states[1, i], states[2, i], states[3, i], constants)


def energy(states: FloatArray, params: Params) -> FloatArray:
    """Mechanical energy in joules of states (4, …), shape (…); it is −m g l hanging at rest.

    E = ½ (M+m) ẋ² + m l ẋ θ̇ cosθ + ⅔ m l² θ̇² + m g l cosθ.
    """
    flat = np.ascontiguousarray(states, dtype=np.float64).reshape(4, -1)  # (4, …) -> (4, n)
    joules = np.empty(flat.shape[1])
    energies(flat, params.values, joules)
    return joules.reshape(np.shape(states)[1:])  # (n,) -> (…)
