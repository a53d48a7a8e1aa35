"""The motion of a cart with a pole: parameters, accelerations and integrators. Knows no reward.

θ = 0 is upright, l is half the pole's length (a uniform rod), M the cart's mass, m the pole's, F the force
on the cart. Lagrange's equations, without friction:

    (M+m) ẍ + m l θ̈ cosθ − m l θ̇² sinθ = F
    m l ẍ cosθ + (4/3) m l² θ̈ − m g l sinθ = 0

Everything is float64 and in SI units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np
import numpy.typing as npt

from cartpole_phys.compiled import inlined
from cartpole_phys.errors import InputError
from cartpole_phys.trigonometry import sin_cos

EULER = 0
SEMI_IMPLICIT_EULER = 1
INTEGRATORS = {"euler": EULER, "semi_implicit_euler": SEMI_IMPLICIT_EULER}

State = tuple[float, float, float, float]  # x (m), ẋ (m/s), θ (rad), θ̇ (rad/s)
Constants = tuple[float, float, float, float, float]


@dataclass(frozen=True)
class Params:
    """Physical parameters of one cart and pole; the defaults are those of Gymnasium's CartPole-v1.

    Quantities that follow from others are properties, so they can never be out of date.
    """

    gravity: float = 9.8  # m/s²
    cart_mass: float = 1.0  # kg
    pole_mass: float = 0.1  # kg
    half_length: float = 0.5  # m, pivot to centre of mass
    force_mag: float = 10.0  # N, the force of action 1
    time_step: float = 0.02  # s

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise InputError(f"params[{name!r}] must be a number, got {value!r}.")
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"params[{name!r}] must be finite and above 0, got {value!r}.")
            object.__setattr__(self, name, float(value))

    @classmethod
    def from_mapping(cls, values: Mapping[str, float] | None) -> Params:
        """Parameters from names and values; names left out keep their defaults.

        Raises:
            InputError: on an unknown name or a value that is not a positive number.
        """
        values = dict(values or {})
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise InputError(f"Unknown physical parameter {unknown[0]!r}; choose from {', '.join(known)}.")
        return cls(**values)

    @property
    def total_mass(self) -> float:
        """Mass of cart and pole, kg."""
        return self.cart_mass + self.pole_mass

    def as_array(self) -> npt.NDArray[np.float64]:
        """The values in field order, shape (6,), as the kernels read them."""
        return np.array([getattr(self, field.name) for field in fields(self)], dtype=np.float64)


def integrator_code(name: str) -> int:
    """The kernels' number for an integrator.

    Raises:
        InputError: if there is no integrator of that name.
    """
    if name not in INTEGRATORS:
        raise InputError(f"Unknown integrator {name!r}; choose from {', '.join(INTEGRATORS)}.")
    return INTEGRATORS[name]


@inlined
def unpack(params: npt.NDArray[np.float64]) -> Constants:
    """The numbers that the equations of motion use, from ``Params.as_array()``.

    Returns:
        gravity (m/s²), 1/(M+m) (1/kg), m·l (kg·m), l (m), time step (s)
    """
    gravity, cart_mass, pole_mass, half_length = params[0], params[1], params[2], params[3]
    return gravity, 1.0 / (cart_mass + pole_mass), pole_mass * half_length, half_length, params[5]


@inlined
def acceleration(theta: float, theta_dot: float, force: float, constants: Constants) -> tuple[float, float]:
    """Accelerations of the cart (m/s²) and of the pole (rad/s²) under a force in newtons.

    Source: Lagrange's equations above, solved for θ̈ first; equal to equations 23 and 24 of R. Florian,
    "Correct equations for the dynamics of the cart-pole system" (2007).
    """
    gravity, inverse_total_mass, mass_length, half_length, _ = constants
    sine, cosine = sin_cos(theta)
    pushed = (force + mass_length * theta_dot * theta_dot * sine) * inverse_total_mass
    effective_length = (4.0 / 3.0) * half_length - mass_length * cosine * cosine * inverse_total_mass
    theta_acceleration = (gravity * sine - pushed * cosine) / effective_length
    return pushed - mass_length * theta_acceleration * cosine * inverse_total_mass, theta_acceleration


@inlined
def advance(
    x: float,
    x_dot: float,
    theta: float,
    theta_dot: float,
    force: float,
    constants: Constants,
    integrator: int,
) -> State:
    """The state one time step later, with the force (N) held constant.

    ``euler`` moves the positions with the old velocities, ``semi_implicit_euler`` with the new ones.
    """
    time_step = constants[4]
    x_acceleration, theta_acceleration = acceleration(theta, theta_dot, force, constants)
    new_x_dot = x_dot + time_step * x_acceleration
    new_theta_dot = theta_dot + time_step * theta_acceleration
    explicit = integrator == EULER
    moving_x_dot = x_dot if explicit else new_x_dot
    moving_theta_dot = theta_dot if explicit else new_theta_dot
    return x + time_step * moving_x_dot, new_x_dot, theta + time_step * moving_theta_dot, new_theta_dot
