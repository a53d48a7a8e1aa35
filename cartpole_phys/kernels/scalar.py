"""Compiled step and start of a single environment, each one call with few arguments.

They equal ``step.py`` and ``reset.py`` bit for bit and share their parts (tests/env/test_contract.py verifies
it); the call overhead of those would exceed the cost of the whole step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from cartpole_phys.kernels import layout as m
from cartpole_phys.kernels.integrators import FIRST_ANGLE_ONLY, WITH_FRICTION, WITHOUT_FRICTION
from cartpole_phys.kernels.layout import Settings
from cartpole_phys.kernels.observe import Sensor, sensor_of
from cartpole_phys.kernels.reset import begin_column, draw_of
from cartpole_phys.kernels.step import Push, push_of
from cartpole_phys.numeric.compiled import inlined, quick_kernel
from cartpole_phys.numeric.elementary import QUARTER_PI
from cartpole_phys.physics import constants_of
from cartpole_phys.tasks.base import Observation, Reward, is_terminal
from cartpole_phys.utils.typing import FloatArray


@inlined
def _observe(sensor: Sensor, memory: FloatArray, settings: Any, observation: npt.NDArray[np.float32]) -> None:
    """Write the observation of a single column into ``observation`` (obs,)."""
    seen = sensor.read(sensor.observation, memory, settings, 0)
    for j in range(len(observation)):
        observation[j] = seen[j]


@cache
def begin_one_kernel(randomized: bool, observation: Observation, plain: bool) -> Callable[..., None]:
    """The kernel that starts the next episode of a single column, and writes its observation."""
    draw, sensor = draw_of(randomized), sensor_of(observation, plain)

    @quick_kernel
    def begin_one(
        memory: FloatArray, settings: Settings, low: float, high: float, observed: npt.NDArray[np.float32]
    ) -> None:
        memory.view(np.int64)[m.EPISODE, 0] += 1
        begin_column(draw, memory, settings[0], 0, low, high)
        _observe(sensor, memory, settings[0], observed)

    return begin_one


@inlined
def _force(push: Push, memory: FloatArray, settings: Any, action: float) -> float:
    """The force (N) on the cart in this step, from the action and the push."""
    memory[m.ACTION, 0] = action
    push(memory, settings, 0, 1)
    memory.view(np.int64)[m.ELAPSED, 0] += 1
    return action * memory[m.FORCE_MAG, 0] + memory[m.PUSH, 0]


@cache
def step_one_kernel(
    integrator: str, friction: bool, reward: Reward, observation: Observation, plain: bool
) -> Callable[..., tuple[float, bool]]:
    """The kernel that advances a single column under an action, and writes its observation.

    It takes the memory, the settings, the normalized action and the array (obs,) to write the observation
    into. It returns the reward, and whether the state is terminal.
    """
    integrate = (WITH_FRICTION if friction else WITHOUT_FRICTION)[integrator]
    one_angle, push, sensor = integrator in FIRST_ANGLE_ONLY, push_of(plain), sensor_of(observation, plain)

    @quick_kernel
    def step_one(
        memory: FloatArray, settings: Settings, action: float, observed: npt.NDArray[np.float32]
    ) -> tuple[float, bool]:
        own, force = settings[0], _force(push, memory, settings[0], action)
        x, x_dot, theta, theta_dot = (
            memory[m.X, 0],
            memory[m.X_DOT, 0],
            memory[m.THETA, 0],
            memory[m.THETA_DOT, 0],
        )
        near_upright = one_angle and own.substeps == 1 and abs(theta) < QUARTER_PI
        constants = constants_of(m.params_of(memory, 0), own.substeps, near_upright)
        for _ in range(own.substeps):
            x, x_dot, theta, theta_dot = integrate(x, x_dot, theta, theta_dot, force, constants)
        memory[m.X, 0], memory[m.X_DOT, 0], memory[m.THETA, 0], memory[m.THETA_DOT, 0] = (
            x,
            x_dot,
            theta,
            theta_dot,
        )
        _observe(sensor, memory, own, observed)
        terminated = is_terminal(x, theta, own.x_threshold, own.theta_threshold)
        return float(reward(x, x_dot, theta, theta_dot, action)), bool(terminated)

    return step_one
