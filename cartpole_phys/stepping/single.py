"""The compiled step and start of one environment alone, in one call with few arguments each.

They do what ``block.py`` and ``starting.py`` do for many, from the same pieces and to the same bits, to which
tests/test_contract.py holds them; a call of those costs more than the whole step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cartpole_phys.integrators import FIRST_ANGLE_ONLY, advance
from cartpole_phys.memory import (
    ACTION,
    ELAPSED,
    EPISODE,
    FORCE_MAG,
    KEY,
    PUSH,
    THETA,
    THETA_DOT,
    X_DOT,
    FloatArray,
    Settings,
    X,
    params_of,
)
from cartpole_phys.numeric.compiled import inlined, quick_kernel
from cartpole_phys.numeric.trigonometry import QUARTER_PI
from cartpole_phys.physics import constants_of
from cartpole_phys.stepping.sensing import observation_in
from cartpole_phys.stepping.starting import begin_column
from cartpole_phys.task import has_fallen, push_force, reward_of


@inlined
def _observe(memory: FloatArray, settings: Any, observation: npt.NDArray[np.float32]) -> None:
    """Write what a policy sees of a single column into ``observation`` (obs,)."""
    seen = observation_in(memory, settings, 0)
    for j in range(len(observation)):
        observation[j] = seen[j]


@quick_kernel
def begin_one(
    memory: FloatArray, settings: Settings, low: float, high: float, observation: npt.NDArray[np.float32]
) -> None:
    """Start the next episode of a single column, and write its observation."""
    memory.view(np.int64)[EPISODE, 0] += 1
    begin_column(memory, settings[0], 0, low, high)
    _observe(memory, settings[0], observation)


@quick_kernel
def step_one(
    memory: FloatArray, settings: Settings, action: float, observation: npt.NDArray[np.float32]
) -> tuple[float, bool]:
    """Advance a single column under an action (a share of the full force), and write its observation.

    Returns:
        the reward, and whether the episode terminated
    """
    own = settings[0]
    counters, keys = memory.view(np.int64), memory.view(np.uint64)
    memory[ACTION, 0] = action
    if own.push_probability > 0.0:
        memory[PUSH, 0] = push_force(
            keys[KEY, 0], counters[EPISODE, 0], counters[ELAPSED, 0], own.push_probability, own.push_size
        )
    near_upright = (
        own.integrator in FIRST_ANGLE_ONLY and own.substeps == 1 and abs(memory[THETA, 0]) < QUARTER_PI
    )
    x, x_dot, theta, theta_dot = advance(
        memory[X, 0],
        memory[X_DOT, 0],
        memory[THETA, 0],
        memory[THETA_DOT, 0],
        action * memory[FORCE_MAG, 0] + memory[PUSH, 0],
        constants_of(params_of(memory, 0), own.substeps, near_upright),
        own.integrator,
        own.substeps,
    )
    memory[X, 0], memory[X_DOT, 0], memory[THETA, 0], memory[THETA_DOT, 0] = x, x_dot, theta, theta_dot
    counters[ELAPSED, 0] += 1
    _observe(memory, own, observation)
    fallen = has_fallen(x, theta, own.x_threshold, own.theta_threshold)
    return float(reward_of(own.task, x, theta, theta_dot, action)), bool(fallen)
