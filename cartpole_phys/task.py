"""The tasks: start states, random pushes, observation noise, reward and termination."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cartpole_phys.numeric.compiled import inlined
from cartpole_phys.numeric.elementary import sin_cos
from cartpole_phys.numeric.philox import NOISE, PUSH, START, uniforms
from cartpole_phys.physics import State
from cartpole_phys.utils.choices import unknown

START_BOUND = 0.05  # start variables are uniform in ± this (m, m/s, rad, rad/s), as in CartPole-v1

BALANCE, SWING_UP = range(2)

# Margins at which the swing-up's tolerances have decreased to 0.1, as in dm_control.
CENTER_MARGIN = 2.0  # m
SPIN_MARGIN = 5.0  # rad/s


@dataclass(frozen=True)
class Task:
    """Start, termination thresholds, time limit, observation size and reward of a task."""

    code: int  # BALANCE or SWING_UP
    start_angle: float  # rad, about which the pole starts
    theta_threshold: float  # rad; a larger |θ| terminates the episode
    observation_size: int
    x_threshold: float = 2.4  # m; a larger |x| terminates the episode
    max_episode_steps: int = 500


TASKS = {
    "balance": Task(BALANCE, 0.0, 12 * 2 * math.pi / 360, 4),  # the limits of Gymnasium's CartPole-v1
    "swing_up": Task(SWING_UP, math.pi, math.inf, 5),
}


def task_named(name: str) -> Task:
    """The task with this name.

    Raises:
        InputError: if no task has this name.
    """
    if not isinstance(name, str) or name not in TASKS:
        raise unknown("task", name, TASKS)
    return TASKS[name]


@inlined
def is_terminal(x: float, theta: float, x_threshold: float, theta_threshold: float) -> bool:
    """Whether the state is terminal: the cart left the track (m) or the pole tilted too far (rad)."""
    return (x < -x_threshold) | (x > x_threshold) | (theta < -theta_threshold) | (theta > theta_threshold)


@inlined
def reward_of(task: int, x: float, theta: float, theta_dot: float, action: float) -> float:
    """The reward for the state (m, rad, rad/s) reached with a normalized action.

    Balance: 1, also on the terminating step. Swing-up: the product of four factors in [0, 1] as in
    dm_control's cartpole (Tassa et al., "DeepMind Control Suite", 2018), with quadratic instead of Gaussian
    tolerances: upright, centered, small force, small angular velocity.
    """
    if task == BALANCE:
        return 1.0
    _, cosine = sin_cos(theta)
    # Tolerances in [0, 1], 1 where x, θ̇ and the action are 0.
    centered = max(0.0, 1.0 - 0.9 * (x / CENTER_MARGIN) * (x / CENTER_MARGIN))
    spin = max(0.0, 1.0 - 0.9 * (theta_dot / SPIN_MARGIN) * (theta_dot / SPIN_MARGIN))
    effort = 1.0 - action * action
    return 0.5 * (1.0 + cosine) * (0.5 * (1.0 + centered)) * (0.2 * (4.0 + effort)) * (0.5 * (1.0 + spin))


@inlined
def push_force(key: np.uint64, episode: int, step: int, probability: float, size: float) -> float:
    """The random push on the cart during a step (N): with ``probability`` uniform in ± ``size``, else 0."""
    chance, where, _, _ = uniforms(key, episode, step, PUSH)
    return (2.0 * where - 1.0) * size if chance < probability else 0.0


@inlined
def start_state(key: np.uint64, episode: int, angle: float, low: float, high: float) -> State:
    """The start state of an episode: upright or hanging, with uniform offsets in [low, high]."""
    a, b, c, d = uniforms(key, episode, 0, START)
    span = high - low
    return low + span * a, low + span * b, angle + (low + span * c), low + span * d


@inlined
def noisy_state(
    state: State, key: np.uint64, episode: int, step: int, noise: tuple[float, float, float, float]
) -> State:
    """The state with observation noise: a uniform error within ± ``noise`` added to each variable."""
    a, b, c, d = uniforms(key, episode, step, NOISE)
    return (
        state[0] + (2.0 * a - 1.0) * noise[0],
        state[1] + (2.0 * b - 1.0) * noise[1],
        state[2] + (2.0 * c - 1.0) * noise[2],
        state[3] + (2.0 * d - 1.0) * noise[3],
    )
