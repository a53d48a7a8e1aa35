"""Policies from a formula: uniformly random, and proportional control on the tilt."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from cartpole_phys.errors import InputError
from cartpole_phys.numeric.random_stream import key_from_seed
from cartpole_phys.rollout import compiled_batches
from cartpole_phys.rollouts.laws import BERNOULLI, PROPORTIONAL, UNIFORM
from cartpole_phys.rollouts.policy import CompiledPolicy
from cartpole_phys.system import CartPole

UNIFORM_LOG_PROB = math.log(0.5)  # one of two actions, or the density 1/2 on [-1, 1]
LARGEST_STRENGTH = 1024.0  # the search for a strength stops here
BISECTIONS = 12
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
    """The strength at which a family of policies has the mean return ``target_return`` over fixed episodes.

    Doubling, then bisection: the stronger a policy of the family, the better it is.

    Args:
        system: physics and task.
        family: the policy of a strength, such as a gain.
        target_return: the mean return that is wanted.
        episodes: how many are played for each strength.
        seed: of these episodes.

    Raises:
        InputError: if even the largest strength does not reach the target.
    """

    def mean_return(strength: float) -> float:
        played = compiled_batches(system, family(strength), key_from_seed(seed), lambda *_: episodes)
        return float(np.concatenate([batch.returns for batch in played]).mean())

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
