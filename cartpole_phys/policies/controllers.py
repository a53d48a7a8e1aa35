"""Control laws as compiled policies: uniformly random, proportional, energy-shaping swing-up and LQR."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from cartpole_phys.kernels.control_laws import BERNOULLI, ENERGY_SHAPING, PROPORTIONAL, UNIFORM
from cartpole_phys.linearize import linearize
from cartpole_phys.numeric.philox import key_from_seed
from cartpole_phys.physics import Params
from cartpole_phys.rollouts.collect import compiled_batches
from cartpole_phys.rollouts.policy import CompiledPolicy
from cartpole_phys.system import CartPole
from cartpole_phys.tasks.swing_up import X_THRESHOLD
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import FloatArray

UNIFORM_LOG_PROB = math.log(0.5)  # of one of two actions, or of the density 1/2 on [-1, 1]
LARGEST_STRENGTH = 1024.0  # upper limit of the search for a strength
BISECTIONS = 12
DAMPING_RATIO = 0.1  # s, D / K if the action is the sign of K θ + D θ̇


def uniform() -> CompiledPolicy:
    """The uniformly random policy."""
    return CompiledPolicy(UNIFORM, log_prob=UNIFORM_LOG_PROB)


def proportional(gain: float, continuous: bool, damping: float = 0.0) -> CompiledPolicy:
    """Proportional control of the pole angle.

    Continuous: the normalized action is K θ + D θ̇. Discrete: the sign of K θ would not depend on K, so the
    cart is pushed right with probability clip(½ + ½ K θ, 0, 1); with damping, in the direction of
    K θ + D θ̇.

    Args:
        gain: K, 1/rad.
        continuous: whether the action space is continuous.
        damping: D, s/rad.
    """
    gains = (0.0, 0.0, gain, damping)
    if continuous:
        return CompiledPolicy(PROPORTIONAL, gains)
    return CompiledPolicy(PROPORTIONAL, gains, log_prob=0.0) if damping else CompiledPolicy(BERNOULLI, gains)


def calibrate(
    system: CartPole,
    family: Callable[[float], CompiledPolicy],
    target_return: float,
    episodes: int,
    seed: int,
) -> float:
    """Find the strength at which a family of policies reaches a mean return, over fixed episodes.

    Doubling, then bisection; the mean return must increase with the strength.

    Args:
        system: physics and task.
        family: returns the policy for a strength, such as a gain.
        target_return: the mean return to reach.
        episodes: number of episodes per strength.
        seed: random seed of these episodes.

    Raises:
        InputError: if even the largest strength does not reach the target.
    """

    def mean_return(strength: float) -> float:
        batches = compiled_batches(system, family(strength), key_from_seed(seed), lambda *_: episodes)
        return float(np.concatenate([batch.returns for batch in batches]).mean())

    low, high = 0.0, 1.0
    while mean_return(high) < target_return:
        low, high = high, 2.0 * high
        if high > LARGEST_STRENGTH:
            raise InputError(
                f"Expected the heuristic to reach a mean return of {target_return:.1f}, but no strength does "
                "in this environment; choose another tier or physical parameters nearer the defaults."
            )
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if mean_return(middle) < target_return else (low, middle)
    return high


# Dimensionless: lengths in units of half the track, times in units of the hanging pole's 1/ω, ω² = ¾ g / l.
STIFFNESS = 1.0 / 3.0  # of the pull to the center, in ω²
DAMPING = 0.7  # of the cart's velocity, in ω


def swing_up_law(params: Params, track: float = X_THRESHOLD) -> tuple[float, ...]:
    """The nine numbers of energy shaping on a track of ± ``track`` meters; see ``control_laws.py``."""
    frequency_squared = 0.75 * params.gravity / params.half_length
    frequency, stiffness = math.sqrt(frequency_squared), STIFFNESS * frequency_squared
    weight = params.pole_mass * params.gravity * params.half_length  # m g l, J
    return (
        (2.0 / 3.0) * params.half_length / params.gravity,  # energy: E / (m g l) = this × θ̇² + cosθ − 1
        # Rising with just enough energy, θ̇ = 2 ω sin(θ/2), the pole loses μ_p ∫ θ̇ dθ = 4 μ_p ω to pivot
        # friction; the target energy is that much higher at the bottom, and in proportion to 1 − cosθ above.
        1.0 + 2.0 * params.pole_damping * frequency / weight,
        # The largest pumping acceleration, m/s². The pull to the center balances it at the end of the track:
        # a cart with a large force would otherwise leave the track during the first push.
        min(params.force_mag / params.total_mass, stiffness * track),
        stiffness,  # 1/s²
        DAMPING * frequency,  # 1/s
        params.gravity,  # m/s²
        (4.0 / 3.0) * params.half_length,  # m
        params.total_mass / params.force_mag,  # s²/m
        params.pole_mass * params.half_length / params.force_mag,  # s²
    )


def swing_up(params: Params, noise: float = 0.0) -> CompiledPolicy:
    """The swing-up policy for one set of parameters, with uniform noise of ± ``noise`` on its actions.

    Raises:
        InputError: if the parameters are so extreme that no LQR gains exist.
    """
    return CompiledPolicy(ENERGY_SHAPING, lqr_gains(params), swing_up_law(params), noise)


Gains = tuple[float, float, float, float]  # of the action on x (1/m), ẋ (s/m), θ (1/rad), θ̇ (s/rad)

# Diagonal of Q: 1 / (tolerated deviation)². The cart may move meters along the track; the pole must stay
# within the terminal angle.
POSITION_WEIGHT = 1.0  # 1/m², tolerates 1 m
VELOCITY_WEIGHT = 0.25  # s²/m², tolerates 2 m/s
ANGLE_WEIGHT = 25.0  # 1/rad², tolerates 0.2 rad
SPIN_WEIGHT = 1.0  # s²/rad², tolerates 1 rad/s
ACTION_WEIGHT = 1.0  # R, dimensionless: tolerates the largest force
SIGNIFICANT_DIGITS = 6


def sampled_motion(params: Params) -> tuple[FloatArray, FloatArray]:
    """The discrete-time linear model about the upright, with the action held constant (zero-order hold).

    Returns:
        A (4, 4) and B (4, 1) of z' = A z + B u, with z = x (m), ẋ (m/s), θ (rad), θ̇ (rad/s).

    Source: the top rows of exp([[A_c, B_c], [0, 0]] h), C. Van Loan (1978).
    """
    from scipy.linalg import expm  # slow import, used by this controller only

    model = linearize(np.zeros(4), 0.0, params)
    generator = np.zeros((5, 5))
    generator[:4, :4] = model.state_matrix
    generator[:4, 4] = model.force_vector * params.force_mag
    held = expm(generator * params.time_step)
    return held[:4, :4], held[:4, 4:]


def lqr_gains(params: Params) -> Gains:
    """LQR gains: the normalized action is gains · (x, ẋ, θ, θ̇).

    The action has the sign of θ for a leaning pole at rest.

    Raises:
        InputError: if the parameters are so extreme that the Riccati equation cannot be solved.
    """
    from scipy.linalg import solve_discrete_are

    state_matrix, action_matrix = sampled_motion(params)
    weights = np.diag([POSITION_WEIGHT, VELOCITY_WEIGHT, ANGLE_WEIGHT, SPIN_WEIGHT])
    try:
        cost = solve_discrete_are(state_matrix, action_matrix, weights, np.array([[ACTION_WEIGHT]]))
    except (np.linalg.LinAlgError, ValueError) as error:
        raise InputError(f"Expected physical parameters that can be balanced, got {params}.") from error
    projected = action_matrix.T @ cost  # (1, 4)
    optimal = np.linalg.solve(ACTION_WEIGHT + projected @ action_matrix, -projected @ state_matrix)[0]
    # LAPACK's last bits differ between processors, but rollouts must not: the rounding to 6 digits is far
    # coarser than LAPACK's rounding errors, and changes the cost by a relative 1e-12.
    x, x_dot, theta, theta_dot = (float(f"{gain:.{SIGNIFICANT_DIGITS}g}") for gain in optimal)
    return x, x_dot, theta, theta_dot


def regulator(params: Params) -> CompiledPolicy:
    """The LQR policy for one set of parameters; in discrete action spaces, the sign of its action."""
    return CompiledPolicy(PROPORTIONAL, gains=lqr_gains(params))
