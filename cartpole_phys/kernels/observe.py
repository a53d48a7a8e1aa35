"""Compiled observations and diagnostics of the state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cartpole_phys.kernels import layout as m
from cartpole_phys.kernels.layout import Settings
from cartpole_phys.numeric.compiled import inlined, kernel
from cartpole_phys.numeric.elementary import sin_cos
from cartpole_phys.physics import State, constants_of, mechanical_energy
from cartpole_phys.task import BALANCE, noisy_state
from cartpole_phys.utils.typing import FloatArray, Observations

Seen = tuple[np.float32, np.float32, np.float32, np.float32, np.float32]
See = Callable[[FloatArray, Any, int], Sequence[np.float32]]
Observe = Callable[[FloatArray, Any, int, int, Observations], None]


@inlined
def observation_of(settings: Any, state: State, key: np.uint64, episode: int, elapsed: int) -> Seen:
    """The observation of a state: four numbers and a 0, or (swing-up) five numbers."""
    if settings.noisy:
        noise = settings.noise[0], settings.noise[1], settings.noise[2], settings.noise[3]
        state = noisy_state(state, key, episode, elapsed, noise)
    x, x_dot, theta, theta_dot = state
    if settings.task == BALANCE:
        return np.float32(x), np.float32(x_dot), np.float32(theta), np.float32(theta_dot), np.float32(0.0)
    sine, cosine = sin_cos(theta)
    return np.float32(x), np.float32(x_dot), np.float32(cosine), np.float32(sine), np.float32(theta_dot)


@inlined
def observation_in(memory: FloatArray, settings: Any, i: int) -> Seen:
    """The observation of column ``i``."""
    counters = memory.view(np.int64)
    state = memory[m.X, i], memory[m.X_DOT, i], memory[m.THETA, i], memory[m.THETA_DOT, i]
    return observation_of(
        settings, state, m.key_of(memory, i), counters[m.EPISODE, i], counters[m.ELAPSED, i]
    )


@inlined
def _state_in(memory: FloatArray, settings: Any, i: int) -> tuple[np.float32, ...]:
    """The state in column ``i``, in float32."""
    return (
        np.float32(memory[m.X, i]),
        np.float32(memory[m.X_DOT, i]),
        np.float32(memory[m.THETA, i]),
        np.float32(memory[m.THETA_DOT, i]),
    )


def see_of(plain: bool) -> See:
    """The function that returns the observation of a column."""
    return _state_in if plain else observation_in


@inlined
def is_state(settings: Any) -> bool:
    """Whether observations are the state itself, in float32."""
    return settings.task == BALANCE and not settings.noisy


@inlined
def observe_column(
    memory: FloatArray, settings: Any, i: int, observations: Observations, sees_state: bool
) -> None:
    """Write the observation of column ``i`` into row ``i`` of ``observations`` (n, obs).

    ``sees_state`` is ``is_state`` of the settings, computed once for all columns.
    """
    if sees_state:
        observations[i, 0], observations[i, 1] = memory[m.X, i], memory[m.X_DOT, i]
        observations[i, 2], observations[i, 3] = memory[m.THETA, i], memory[m.THETA_DOT, i]
    else:
        seen = observation_in(memory, settings, i)
        for j in range(observations.shape[1]):
            observations[i, j] = seen[j]


@inlined
def _observe_states(
    memory: FloatArray, settings: Any, first: int, last: int, observations: Observations
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
def _observe_any(
    memory: FloatArray, settings: Any, first: int, last: int, observations: Observations
) -> None:
    """Write the observations of columns ``first`` to ``last`` into the same rows of ``observations``."""
    if is_state(settings):
        _observe_states(memory, settings, first, last, observations)
    else:
        for i in range(first, last):
            observe_column(memory, settings, i, observations, False)


def observe_of(plain: bool) -> Observe:
    """The function that writes the observations of a block of columns."""
    return _observe_states if plain else _observe_any


@kernel
def observe_columns(memory: FloatArray, settings: Settings, observations: Observations) -> None:
    """Write the observations (n, obs) of all columns."""
    _observe_any(memory, settings[0], 0, memory.shape[1], observations)


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
