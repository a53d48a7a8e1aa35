"""Keep the pole upright: the task of Gymnasium's CartPole-v1, with its limits."""

from __future__ import annotations

import math

from cartpole_phys.tasks.base import Task, observe_state, unit_reward

X_THRESHOLD = 2.4  # m
THETA_THRESHOLD = 12 * 2 * math.pi / 360  # rad

BALANCE = Task(
    name="balance",
    reward=unit_reward,
    observation=observe_state,
    observation_bounds=(2 * X_THRESHOLD, math.inf, 2 * THETA_THRESHOLD, math.inf),
    start_angle=0.0,
    theta_threshold=THETA_THRESHOLD,
    x_threshold=X_THRESHOLD,
    controller="proportional",
)
