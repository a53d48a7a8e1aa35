"""Swinging the pole up: energy shaping until it is near the top, then the linear-quadratic regulator.

The law remembers nothing; its formula stands in ``rollouts/laws.py``, its numbers come from here.
"""

from __future__ import annotations

import math

from cartpole_phys.physics import Params
from cartpole_phys.policies.lqr import lqr_gains
from cartpole_phys.rollouts.laws import ENERGY_SHAPING
from cartpole_phys.rollouts.policy import CompiledPolicy
from cartpole_phys.task import TASKS

# Dimensionless: lengths count in the track's half, times in the hanging pole's 1/ω with ω² = ¾ g / l.
STIFFNESS = 1.0 / 3.0  # of the pull to the centre, in ω²
DAMPING = 0.7  # of the cart's speed, in ω


def swing_up_law(params: Params, track: float = TASKS["swing_up"].x_threshold) -> tuple[float, ...]:
    """The nine numbers of energy shaping on a track of ± ``track`` metres; see ``rollouts/laws.py``."""
    frequency_squared = 0.75 * params.gravity / params.half_length
    frequency, stiffness = math.sqrt(frequency_squared), STIFFNESS * frequency_squared
    weight = params.pole_mass * params.gravity * params.half_length  # m g l, J
    return (
        (2.0 / 3.0)
        * params.half_length
        / params.gravity,  # energy of spin: E / (m g l) = this × θ̇² + cosθ − 1
        # Rising with just enough energy, θ̇ = 2 ω sin(θ/2), the pole loses μ_p ∫ θ̇ dθ = 4 μ_p ω to its pivot;
        # that much more is wanted at the bottom, and in proportion to 1 − cosθ above it.
        1.0 + 2.0 * params.pole_damping * frequency / weight,
        # The largest pumping acceleration, m/s². The pull to the centre balances it at the end of the
        # track: a cart that is strong for its pole would otherwise leave it during the first push.
        min(params.force_mag / params.total_mass, stiffness * track),
        stiffness,  # 1/s²
        DAMPING * frequency,  # 1/s
        params.gravity,  # m/s²
        (4.0 / 3.0) * params.half_length,  # m
        params.total_mass / params.force_mag,  # s²/m
        params.pole_mass * params.half_length / params.force_mag,  # s²
    )


def swing_up(params: Params, noise: float = 0.0) -> CompiledPolicy:
    """The policy for one set of parameters, with uniform noise of ± ``noise`` on its actions.

    Raises:
        InputError: if the parameters are so extreme that no regulator can be found.
    """
    return CompiledPolicy(ENERGY_SHAPING, lqr_gains(params), swing_up_law(params), noise)
