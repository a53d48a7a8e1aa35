"""What counts as balancing: start states, reward and the end of an episode. Knows no integrator."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cartpole_phys.compiled import inlined
from cartpole_phys.physics import State
from cartpole_phys.random_stream import PUSH, START, uniforms

START_BOUND = 0.05  # every start variable is uniform in ± this (m, m/s, rad, rad/s), as in CartPole-v1
REWARD = 1.0  # for every step, the one that ends the episode included


@dataclass(frozen=True)
class Balance:
    """Keep the pole up and the cart on its track; the defaults are those of Gymnasium's CartPole-v1."""

    x_threshold: float = 2.4  # m
    theta_threshold: float = 12 * 2 * math.pi / 360  # rad
    max_episode_steps: int = 500


@inlined
def has_fallen(x: float, theta: float, x_threshold: float, theta_threshold: float) -> bool:
    """Whether the state ends the episode: the cart left the track (m) or the pole tilted too far (rad)."""
    return (x < -x_threshold) | (x > x_threshold) | (theta < -theta_threshold) | (theta > theta_threshold)


@inlined
def push_force(key: np.uint64, episode: int, step: int, probability: float, size: float) -> float:
    """The random push on the cart during a step, in newtons: mostly 0, else uniform in ± ``size``."""
    chance, where, _, _ = uniforms(key, episode, step, PUSH)
    return (2.0 * where - 1.0) * size if chance < probability else 0.0


@inlined
def start_state(key: np.uint64, episode: int, low: float, high: float) -> State:
    """The start state of an episode, each variable uniform between ``low`` and ``high``."""
    a, b, c, d = uniforms(key, episode, 0, START)
    span = high - low
    return low + span * a, low + span * b, low + span * c, low + span * d
