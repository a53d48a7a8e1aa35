"""The compiled start of episodes: states, and parameters where they are randomised."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cartpole_phys.compiled import inlined, kernel
from cartpole_phys.memory import (
    ACTION,
    DONE,
    ELAPSED,
    EPISODE,
    KEY,
    PARAMS,
    PUSH,
    THETA,
    THETA_DOT,
    X_DOT,
    FloatArray,
    Settings,
    X,
)
from cartpole_phys.random_stream import PARAMS as PARAMS_DRAW
from cartpole_phys.random_stream import uniforms
from cartpole_phys.sensing import observe_column
from cartpole_phys.task import start_state


@inlined
def draw_params(memory: FloatArray, settings: Any, i: int) -> None:
    """Draw the randomised parameters of the episode whose key and number stand in column ``i``."""
    key, episode = memory.view(np.uint64)[KEY, i], memory.view(np.int64)[EPISODE, i]
    draws = uniforms(key, episode, 0, PARAMS_DRAW), uniforms(key, episode, 1, PARAMS_DRAW)
    for half in range(2):
        for j in range(4):
            p = 4 * half + j
            if settings.lowest[p] == settings.lowest[p]:  # not NaN: this one is drawn
                span = settings.highest[p] - settings.lowest[p]
                memory[PARAMS + p, i] = settings.lowest[p] + span * draws[half][j]


@inlined
def begin_column(memory: FloatArray, settings: Any, i: int, low: float, high: float) -> None:
    """Start the episode whose key and number stand in column ``i``."""
    counters = memory.view(np.int64)
    key, episode = memory.view(np.uint64)[KEY, i], counters[EPISODE, i]
    counters[ELAPSED, i], counters[DONE, i] = 0, 0
    memory[ACTION, i], memory[PUSH, i] = 0.0, 0.0
    memory[X, i], memory[X_DOT, i], memory[THETA, i], memory[THETA_DOT, i] = start_state(
        key, episode, settings.start_angle, low, high
    )
    if settings.randomized:
        draw_params(memory, settings, i)


@kernel
def begin_columns(
    memory: FloatArray, settings: Settings, mask: npt.NDArray[np.bool_], low: float, high: float
) -> None:
    """Start the episodes of the masked columns, with start variables from ``low`` to ``high``."""
    for i in range(len(mask)):
        if mask[i]:
            begin_column(memory, settings[0], i, low, high)


@kernel
def restart_columns(
    memory: FloatArray,
    settings: Settings,
    mask: npt.NDArray[np.bool_],
    bound: float,
    observations: npt.NDArray[np.float32],
    replaced: npt.NDArray[np.float32],
) -> None:
    """Start the next episodes of the k masked columns, and write what is seen of them into their rows.

    ``replaced`` (k, obs) is written with what stood in those rows of ``observations`` (n, obs) before.
    """
    row = 0
    for i in range(len(mask)):
        if mask[i]:
            for j in range(observations.shape[1]):
                replaced[row, j] = observations[i, j]
            row += 1
            memory.view(np.int64)[EPISODE, i] += 1
            begin_column(memory, settings[0], i, -bound, bound)
            observe_column(memory, settings[0], i, observations[i])
