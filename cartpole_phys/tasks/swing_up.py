"""Swing the pole up from where it hangs, and keep it upright in the middle of the track."""

from __future__ import annotations

import math

import numpy as np

from cartpole_phys.numeric.compiled import inlined
from cartpole_phys.numeric.elementary import sin_cos
from cartpole_phys.tasks.base import Task

X_THRESHOLD = 2.4  # m

# Margins at which the tolerances have decreased to 0.1, as in dm_control.
CENTER_MARGIN = 2.0  # m
SPIN_MARGIN = 5.0  # rad/s


@inlined
def _reward(x: float, x_dot: float, theta: float, theta_dot: float, action: float) -> float:
    """The product of four factors in [0, 1]: upright, centered, small force, small angular velocity.

    As in dm_control's cartpole (Tassa et al., "DeepMind Control Suite", 2018), with quadratic instead
    of Gaussian tolerances.
    """
    _, cosine = sin_cos(theta)
    centered = max(0.0, 1.0 - 0.9 * (x / CENTER_MARGIN) * (x / CENTER_MARGIN))
    spin = max(0.0, 1.0 - 0.9 * (theta_dot / SPIN_MARGIN) * (theta_dot / SPIN_MARGIN))
    effort = 1.0 - action * action
    return 0.5 * (1.0 + cosine) * (0.5 * (1.0 + centered)) * (0.2 * (4.0 + effort)) * (0.5 * (1.0 + spin))


@inlined
def _observation(
    x: float, x_dot: float, theta: float, theta_dot: float
) -> tuple[np.float32, np.float32, np.float32, np.float32, np.float32]:
    """x, ẋ, cosθ, sinθ, θ̇: continuous where the pole turns over."""
    sine, cosine = sin_cos(theta)
    return np.float32(x), np.float32(x_dot), np.float32(cosine), np.float32(sine), np.float32(theta_dot)


SWING_UP = Task(
    name="swing_up",
    reward=_reward,
    observation=_observation,
    observation_bounds=(2 * X_THRESHOLD, math.inf, 1.0, 1.0, math.inf),
    start_angle=math.pi,
    x_threshold=X_THRESHOLD,
    controller="swing_up",
)
