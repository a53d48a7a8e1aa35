"""The linear-quadratic regulator about the upright: the best linear law for small deviations.

The motion is linearised at rest in the upright, sampled with the force held over each time step, and the
gains minimise the infinite sum of z·Q z + R u² over the steps, with z = (x, ẋ, θ, θ̇) and u the action as a
share of ``force_mag``. Q and R follow Bryson's rule: a weight is one over the square of the deviation that
is as bad as any other's. Source: B. Anderson and J. Moore, "Optimal Control: Linear Quadratic Methods"
(1990), chapters 2 and 6.
"""

from __future__ import annotations

import numpy as np

from cartpole_phys.errors import InputError
from cartpole_phys.linearize import linearize
from cartpole_phys.memory import FloatArray
from cartpole_phys.physics import Params
from cartpole_phys.rollouts.laws import PROPORTIONAL
from cartpole_phys.rollouts.policy import CompiledPolicy

Gains = tuple[float, float, float, float]  # of the action on x (1/m), ẋ (s/m), θ (1/rad), θ̇ (s/rad)

# Diagonal of Q: each is 1 / (tolerated deviation)². The cart may wander on its metres of track; the pole must
# stay within the tilt that ends an episode.
POSITION_WEIGHT = 1.0  # 1/m², tolerates 1 m
VELOCITY_WEIGHT = 0.25  # s²/m², tolerates 2 m/s
ANGLE_WEIGHT = 25.0  # 1/rad², tolerates 0.2 rad
SPIN_WEIGHT = 1.0  # s²/rad², tolerates 1 rad/s
ACTION_WEIGHT = 1.0  # R, dimensionless: tolerates the largest force
SIGNIFICANT_DIGITS = 6


def sampled_motion(params: Params) -> tuple[FloatArray, FloatArray]:
    """The linear motion about the upright over one time step, with the action held (zero-order hold).

    Returns:
        A (4, 4) and B (4, 1) of z' = A z + B u, with z = x (m), ẋ (m/s), θ (rad), θ̇ (rad/s).

    Source: the top rows of exp([[A_c, B_c], [0, 0]] h), C. Van Loan (1978).
    """
    from scipy.linalg import expm  # slow to import, and only this controller needs it

    model = linearize(np.zeros(4), 0.0, params)
    generator = np.zeros((5, 5))
    generator[:4, :4] = model.state_matrix
    generator[:4, 4] = model.force_vector * params.force_mag
    held = expm(generator * params.time_step)
    return held[:4, :4], held[:4, 4:]


def lqr_gains(params: Params) -> Gains:
    """Gains for which the action gains · (x, ẋ, θ, θ̇), as a share of ``force_mag``, costs least.

    A pole that leans to positive θ is caught by a positive action.

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
    pulled = action_matrix.T @ cost  # (1, 4)
    optimal = np.linalg.solve(ACTION_WEIGHT + pulled @ action_matrix, -pulled @ state_matrix)[0]
    # LAPACK's last bits differ between processors, and rollouts must not: the digits that are kept are far
    # above its rounding errors, and what is left out changes the cost by about 1e-12 of itself.
    x, x_dot, theta, theta_dot = (float(f"{gain:.{SIGNIFICANT_DIGITS}g}") for gain in optimal)
    return x, x_dot, theta, theta_dot


def regulator(params: Params) -> CompiledPolicy:
    """The regulator for one set of parameters: as a force, or where actions are discrete by its sign."""
    return CompiledPolicy(PROPORTIONAL, gains=lqr_gains(params))
