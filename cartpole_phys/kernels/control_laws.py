"""Control laws of compiled policies: from an observation and a random number to an action."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cartpole_phys.kernels import layout as m
from cartpole_phys.kernels.observe import Seen
from cartpole_phys.numeric.compiled import inlined, kernel
from cartpole_phys.numeric.elementary import log
from cartpole_phys.numeric.philox import ACTION, uniforms
from cartpole_phys.utils.typing import FloatArray, Observations

UNIFORM = 0  # any action with equal probability
PROPORTIONAL = 1  # u = gains · observation: clipped (continuous), or its sign (discrete)
BERNOULLI = 2  # discrete: to the right with probability clip(½ + ½ u, 0, 1)
ENERGY_SHAPING = 3  # swings the pole up, then PROPORTIONAL
NETWORK = 4  # a policy network, see ``action_distributions.py``

ENERGY_GAIN = 3.0  # full pumping until the energy is within 1/3 of m g l of its target, then proportional
CATCH_COSINE = 0.7  # switch to the proportional law above this cosθ …
CATCH_ACTION = 3.5  # … if its unclipped normalized action is below this


@inlined
def is_stochastic(rule: int, noise: float) -> bool:
    """Whether a control law depends on the random number."""
    return (rule != PROPORTIONAL and rule != ENERGY_SHAPING) or noise > 0.0


@inlined
def choose(rule: int, continuous: bool, law: FloatArray, noise: float, seen: Seen, random: float) -> float:
    """The action of a control law: in [−1, 1], or 0 or 1; ``random`` is uniform on (0, 1).

    ``law`` holds four gains, and for ENERGY_SHAPING nine further numbers; ``noise`` is the half-width of
    uniform noise on continuous actions.
    """
    if rule == UNIFORM:
        return 2.0 * random - 1.0 if continuous else (1.0 if random >= 0.5 else 0.0)
    if rule == ENERGY_SHAPING:
        u = _swing_up(law, seen)
    else:
        u = 0.0
        for i in range(4):
            u += law[i] * np.float64(seen[i])
    if continuous:
        return min(max(u + noise * (2.0 * random - 1.0), -1.0), 1.0)
    if rule == PROPORTIONAL:
        return 1.0 if u > 0.0 else 0.0
    return 1.0 if random < _probability_of_right(u) else 0.0


@inlined
def _probability_of_right(u: float) -> float:
    """The probability of action 1 under BERNOULLI."""
    return min(max(0.5 + 0.5 * u, 0.0), 1.0)


@kernel
def bernoulli_log_probs(
    gains: FloatArray,
    observations: Observations,
    actions: npt.NDArray[np.float32],
    log_probs: npt.NDArray[np.float32],
) -> None:
    """Write the log-probabilities (n,) of actions (n,) under BERNOULLI."""
    for i in range(len(actions)):
        u = 0.0
        for j in range(4):
            u += gains[j] * np.float64(observations[i, j])
        right = _probability_of_right(u)
        probability = right if actions[i] > 0.0 else 1.0 - right
        log_probs[i] = log(probability) if probability > 0.0 else -np.inf


@inlined
def choose_all(
    memory: FloatArray,
    continuous: bool,
    rule: int,
    law: FloatArray,
    noise: float,
    observations: Observations,
    random: FloatArray,
    actions: npt.NDArray[np.float32],
) -> None:
    """Write the actions (n,) of a control law for observations (n, obs) of the memory's n columns.

    ``random`` (n,) is scratch space for the random numbers, which are keyed by key, episode and step.
    """
    keys, counters = memory.view(np.uint64)[m.KEY], memory.view(np.int64)
    episodes, elapsed = counters[m.EPISODE], counters[m.ELAPSED]
    if is_stochastic(rule, noise):
        for i in range(len(actions)):
            random[i] = uniforms(keys[i], episodes[i], elapsed[i], ACTION)[0]
    last = observations.shape[1] - 1
    for i in range(len(actions)):
        seen = (
            observations[i, 0],
            observations[i, 1],
            observations[i, 2],
            observations[i, 3],
            observations[i, last],
        )
        actions[i] = choose(rule, continuous, law, noise, seen, random[i])


@inlined
def _swing_up(law: FloatArray, seen: Seen) -> float:
    """Energy shaping, then proportional control near the top; see ``controllers.swing_up_law`` for ``law``.

    A cart that accelerates by a changes the pole's energy E = ⅔ m l² θ̇² + m g l (cosθ − 1) at the rate
    dE/dt = −m l cosθ θ̇ a, so the sign of θ̇ cosθ decides which way to push. Sources: K. Åström and K. Furuta,
    "Swinging up a pendulum by energy control" (2000); M. Spong, "Energy based control of a class of
    underactuated mechanical systems" (1996), for the force that gives a wanted acceleration.
    """
    x, x_dot, cosine = np.float64(seen[0]), np.float64(seen[1]), np.float64(seen[2])
    sine, theta_dot = np.float64(seen[3]), np.float64(seen[4])
    balancing = law[0] * x + law[1] * x_dot + law[2] * sine + law[3] * theta_dot
    if cosine > CATCH_COSINE and abs(balancing) < CATCH_ACTION:
        return min(max(balancing, -1.0), 1.0)
    energy_of_spin, steepness, pump, stiffness, damping = law[4], law[5], law[6], law[7], law[8]
    gravity, effective_length, total_mass, mass_length = law[9], law[10], law[11], law[12]
    missing = energy_of_spin * theta_dot * theta_dot - steepness * (1.0 - cosine)
    strength = min(max(ENERGY_GAIN * missing, -1.0), 1.0)
    # Only the sign of θ̇ cosθ matters, and 0 counts as positive: the law pushes with full strength even if the
    # pole hangs exactly at rest, and the pole then moves so that the sign persists.
    pumping = strength * pump if theta_dot * cosine >= 0.0 else -strength * pump
    wanted = pumping - stiffness * x - damping * x_dot
    theta_acceleration = (gravity * sine - wanted * cosine) / effective_length
    inertia = mass_length * (theta_acceleration * cosine - theta_dot * theta_dot * sine)
    return min(max(total_mass * wanted + inertia, -1.0), 1.0)
