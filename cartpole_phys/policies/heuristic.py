"""Policies from a formula: uniformly random, and proportional control on the tilt."""

from __future__ import annotations

import math

from cartpole_phys.errors import InputError
from cartpole_phys.rollout import play
from cartpole_phys.rollouts.laws import BERNOULLI, PROPORTIONAL, UNIFORM
from cartpole_phys.rollouts.policy import CompiledPolicy
from cartpole_phys.system import CartPole

UNIFORM_LOG_PROB = math.log(0.5)  # one of two actions, or the density 1/2 on [-1, 1]
LARGEST_GAIN = 1024.0  # 1/rad; the search for a gain stops here
BISECTIONS = 24
DAMPING_RATIO = 0.1  # s; D = this × K where the sign of K θ + D θ̇ is used


def uniform() -> CompiledPolicy:
    """Every action with equal probability."""
    return CompiledPolicy(UNIFORM, log_prob=UNIFORM_LOG_PROB)


def proportional(gain: float, continuous: bool, damping: float = 0.0) -> CompiledPolicy:
    """Proportional control on the tilt.

    Continuous: the force is K θ + D θ̇, as a share of ``force_mag``. Discrete: the sign of K θ would not
    depend on K, so the cart is pushed right with probability clip(½ + ½ K θ, 0, 1); with damping it is
    pushed by the sign of K θ + D θ̇.

    Args:
        gain: K, 1/rad.
        continuous: whether the environment takes forces or one of two pushes.
        damping: D, s/rad.
    """
    rule = PROPORTIONAL if continuous or damping else BERNOULLI
    return CompiledPolicy(rule, gains=(0.0, 0.0, gain, damping))


def calibrate(system: CartPole, target_return: float, episodes: int, seed: int) -> float:
    """The gain K (1/rad) whose mean return over fixed episodes is nearest ``target_return``.

    Doubling, then bisection: a stronger push on the tilt balances longer, until the force saturates.

    Raises:
        InputError: if even the largest gain does not reach the target.
    """

    def mean_return(gain: float) -> float:
        return float(play(system, proportional(gain, system.continuous), episodes, seed).returns.mean())

    low, high = 0.0, 1.0
    while mean_return(high) < target_return:
        low, high = high, 2.0 * high
        if high > LARGEST_GAIN:
            raise InputError(
                f"Expected proportional control to reach a mean return of {target_return:.1f}, but no gain "
                "does in this environment; choose another tier or physical parameters nearer the defaults."
            )
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if mean_return(middle) < target_return else (low, middle)
    return high
