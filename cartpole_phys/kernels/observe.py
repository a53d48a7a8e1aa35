"""Compiled observations and diagnostics of the state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from cartpole_phys.kernels import layout as m
from cartpole_phys.kernels.layout import Settings
from cartpole_phys.numeric.compiled import inlined, kernel
from cartpole_phys.numeric.philox import NOISE, uniforms
from cartpole_phys.physics import State, constants_of, mechanical_energy
from cartpole_phys.tasks.base import Observation, observe_state
from cartpole_phys.utils.typing import FloatArray, Observations

Seen = tuple[np.float32, np.float32, np.float32, np.float32, np.float32]  # as control laws read it
Read = Callable[[Observation, FloatArray, Any, int], Sequence[np.float32]]


class Sensor(NamedTuple):
    """How to observe a column: ``read(observation, memory, settings, i)``."""

    observation: Observation  # of the task
    read: Read


Observe = Callable[[Sensor, FloatArray, Any, int, int, Observations], None]


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


@inlined
def _read_exactly(
    observation: Observation, memory: FloatArray, settings: Any, i: int
) -> tuple[np.float32, ...]:
    """The observation of column ``i`` without observation noise."""
    return observation(memory[m.X, i], memory[m.X_DOT, i], memory[m.THETA, i], memory[m.THETA_DOT, i])


@inlined
def _read(observation: Observation, memory: FloatArray, settings: Any, i: int) -> tuple[np.float32, ...]:
    """The observation of column ``i``, with observation noise if there is any."""
    state = memory[m.X, i], memory[m.X_DOT, i], memory[m.THETA, i], memory[m.THETA_DOT, i]
    if settings.noisy:
        counters = memory.view(np.int64)
        noise = settings.noise[0], settings.noise[1], settings.noise[2], settings.noise[3]
        state = noisy_state(state, m.key_of(memory, i), counters[m.EPISODE, i], counters[m.ELAPSED, i], noise)
    return observation(state[0], state[1], state[2], state[3])


def sensor_of(observation: Observation, plain: bool) -> Sensor:
    """The functions that return the observation of a column."""
    return Sensor(observation, _read_exactly if plain else _read)


@inlined
def observe_column(
    sensor: Sensor, memory: FloatArray, settings: Any, i: int, observations: Observations
) -> None:
    """Write the observation of column ``i`` into row ``i`` of ``observations`` (n, obs)."""
    seen = sensor.read(sensor.observation, memory, settings, i)
    for j in range(observations.shape[1]):
        observations[i, j] = seen[j]


@inlined
def _observe_states(
    sensor: Sensor, memory: FloatArray, settings: Any, first: int, last: int, observations: Observations
) -> None:
    """Write the states of columns ``first`` to ``last`` into the same rows of ``observations`` (n, 4)."""
    x, x_dot, theta, theta_dot = (
        memory[m.X, first:last],
        memory[m.X_DOT, first:last],
        memory[m.THETA, first:last],
        memory[m.THETA_DOT, first:last],
    )
    flat = observations[first:last].reshape(-1)  # (rows, 4) -> (rows × 4,), to vectorize the stores
    for i in range(len(x)):
        flat[4 * i], flat[4 * i + 1], flat[4 * i + 2], flat[4 * i + 3] = (
            x[i],
            x_dot[i],
            theta[i],
            theta_dot[i],
        )


@inlined
def _observe_each(
    sensor: Sensor, memory: FloatArray, settings: Any, first: int, last: int, observations: Observations
) -> None:
    """Write the observations of columns ``first`` to ``last`` into the same rows of ``observations``."""
    for i in range(first, last):
        observe_column(sensor, memory, settings, i, observations)


@inlined
def _observe_noisy_states(
    sensor: Sensor, memory: FloatArray, settings: Any, first: int, last: int, observations: Observations
) -> None:
    """Likewise, where observations are states except for observation noise."""
    if settings.noisy:
        _observe_each(sensor, memory, settings, first, last, observations)
    else:
        _observe_states(sensor, memory, settings, first, last, observations)


def observe_of(observation: Observation, plain: bool) -> Observe:
    """The function that writes the observations of a block of columns."""
    if observation is observe_state:
        return _observe_states if plain else _observe_noisy_states
    return _observe_each


@cache
def observe_kernel(observation: Observation, plain: bool) -> Callable[..., None]:
    """The kernel that writes the observations of all columns into ``observations`` (n, obs)."""
    sensor, observe = sensor_of(observation, plain), observe_of(observation, plain)

    @kernel
    def observe_columns(memory: FloatArray, settings: Settings, observations: Observations) -> None:
        observe(sensor, memory, settings[0], 0, memory.shape[1], observations)

    return observe_columns


@kernel
def diagnose_columns(memory: FloatArray, settings: Settings, diagnostics: FloatArray) -> None:
    """Write energy (J) and margins to the termination thresholds in x (m) and θ (rad), shape (3, n)."""
    own = settings[0]
    for i in range(memory.shape[1]):
        constants = constants_of(m.params_of(memory, i), 1, False)
        diagnostics[0, i] = mechanical_energy(
            memory[m.X_DOT, i], memory[m.THETA, i], memory[m.THETA_DOT, i], constants
        )
        diagnostics[1, i] = own.x_threshold - abs(memory[m.X, i])
        diagnostics[2, i] = own.theta_threshold - abs(memory[m.THETA, i])
