"""The compiled start of episodes: states, and parameters where they are randomised."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from cartpole_phys.kernels import layout as m
from cartpole_phys.kernels.layout import Settings
from cartpole_phys.kernels.observe import is_state, observe_column
from cartpole_phys.numeric.compiled import inlined, kernel
from cartpole_phys.numeric.philox import PARAMS as PARAMS_DRAW
from cartpole_phys.numeric.philox import uniforms
from cartpole_phys.task import start_state
from cartpole_phys.utils.typing import FloatArray

Draw = Callable[[FloatArray, Any, int], None]

BLOCK = 2_048  # columns that are worked on together, so that they stay in the processor's own cache
VECTOR = 8  # numbers that a processor may work on at once
WHO, KEYS, EPISODES, STATES, FORCES = 0, 1, 2, 3, 7  # rows of the scratch memory; four of states


@inlined
def draw_params(memory: FloatArray, settings: Any, i: int) -> None:
    """Draw the randomised parameters of the episode whose key and number stand in column ``i``."""
    key, episode = m.key_of(memory, i), memory.view(np.int64)[m.EPISODE, i]
    draws = uniforms(key, episode, 0, PARAMS_DRAW), uniforms(key, episode, 1, PARAMS_DRAW)
    for half in range(2):
        for j in range(4):
            p = 4 * half + j
            if settings.lowest[p] == settings.lowest[p]:  # not NaN: this one is drawn
                span = settings.highest[p] - settings.lowest[p]
                memory[m.PARAMS + p, i] = settings.lowest[p] + span * draws[half][j]


@inlined
def keep_params(memory: FloatArray, settings: Any, i: int) -> None:
    """In place of ``draw_params`` where none is randomized: the compiler has less to do."""


@inlined
def begin_column(draw: Draw, memory: FloatArray, settings: Any, i: int, low: float, high: float) -> None:
    """Start the episode whose key and number stand in column ``i``."""
    counters = memory.view(np.int64)
    key, episode = m.key_of(memory, i), counters[m.EPISODE, i]
    counters[m.ELAPSED, i], counters[m.DONE, i] = 0, 0
    memory[m.ACTION, i], memory[m.PUSH, i] = 0.0, 0.0
    memory[m.X, i], memory[m.X_DOT, i], memory[m.THETA, i], memory[m.THETA_DOT, i] = start_state(
        key, episode, settings.start_angle, low, high
    )
    if settings.randomized:
        draw(memory, settings, i)


@inlined
def empty_scratch(columns: int) -> FloatArray:
    """Room to work on a block of columns: a row each for who restarts, keys, episodes, states and forces."""
    return np.empty((FORCES + 1, columns + VECTOR))


@inlined
def _begin_block(
    draw: Draw,
    memory: FloatArray,
    settings: Any,
    count: int,
    ahead: int,
    low: float,
    high: float,
    scratch: FloatArray,
) -> None:
    """Begin episodes in the columns that the first ``count`` numbers in the row WHO of ``scratch`` name.

    All start states are drawn first, which so can be vectorized, and then placed as ``begin_column`` does
    (through a shared function a step took a tenth longer). The episodes are ``ahead`` of those in the memory.
    """
    counters, numbers = memory.view(np.int64), scratch.view(np.int64)
    keys, episodes, elapsed, done = (
        counters[m.KEY],
        counters[m.EPISODE],
        counters[m.ELAPSED],
        counters[m.DONE],
    )
    who, key, episode = numbers[WHO], numbers[KEYS], numbers[EPISODES]
    x, x_dot = scratch[STATES], scratch[STATES + 1]
    theta, theta_dot = scratch[STATES + 2], scratch[STATES + 3]
    for k in range(count):
        key[k], episode[k] = keys[who[k]], episodes[who[k]] + ahead
    for k in range((count + VECTOR - 1) // VECTOR * VECTOR):  # what is beyond the last is not used
        x[k], x_dot[k], theta[k], theta_dot[k] = start_state(
            np.uint64(key[k]), episode[k], settings.start_angle, low, high
        )
    for k in range(count):
        i = who[k]
        episodes[i], elapsed[i], done[i] = episode[k], 0, 0
        memory[m.ACTION, i], memory[m.PUSH, i] = 0.0, 0.0
        memory[m.X, i], memory[m.X_DOT, i] = x[k], x_dot[k]
        memory[m.THETA, i], memory[m.THETA_DOT, i] = theta[k], theta_dot[k]
        if settings.randomized:
            draw(memory, settings, i)


@inlined
def restart_block(
    draw: Draw, memory: FloatArray, settings: Any, first: int, last: int, bound: float, scratch: FloatArray
) -> int:
    """Begin the next episode of those columns from ``first`` to ``last`` that are done.

    Returns:
        how many they are; the row WHO of ``scratch`` names them
    """
    done, who, count = memory.view(np.int64)[m.DONE], scratch.view(np.int64)[WHO], 0
    for i in range(first, last):
        who[count] = i  # without a branch, which the processor would often guess wrongly
        count += done[i]
    _begin_block(draw, memory, settings, count, 1, -bound, bound, scratch)
    return count


def draw_of(randomized: bool) -> Draw:
    """What draws the parameters of an episode."""
    return draw_params if randomized else keep_params


@cache
def begin_kernel(randomized: bool) -> Callable[..., None]:
    """The kernel that starts episodes in masked columns, with start variables from ``low`` to ``high``."""
    draw = draw_of(randomized)

    @kernel
    def begin_columns(
        memory: FloatArray, settings: Settings, mask: npt.NDArray[np.bool_], low: float, high: float
    ) -> None:
        scratch = empty_scratch(min(BLOCK, len(mask)))
        who = scratch.view(np.int64)[WHO]
        for first in range(0, len(mask), BLOCK):
            count = 0
            for i in range(first, min(first + BLOCK, len(mask))):
                who[count] = i
                count += mask[i]
            _begin_block(draw, memory, settings[0], count, 0, low, high, scratch)

    return begin_columns


@cache
def restart_kernel(randomized: bool) -> Callable[..., None]:
    """The kernel that starts the next episodes of the k columns that are done.

    It writes what is seen of them into their rows of the observations (n, obs), and what stood there before
    into ``replaced`` (k, obs).
    """
    draw = draw_of(randomized)

    @kernel
    def restart_columns(
        memory: FloatArray,
        settings: Settings,
        bound: float,
        observations: npt.NDArray[np.float32],
        replaced: npt.NDArray[np.float32],
    ) -> None:
        columns, row, sees_state = memory.shape[1], 0, is_state(settings[0])
        scratch = empty_scratch(min(BLOCK, columns))
        who = scratch.view(np.int64)[WHO]
        for block in range(0, columns, BLOCK):
            count = restart_block(
                draw, memory, settings[0], block, min(block + BLOCK, columns), bound, scratch
            )
            for k in range(count):
                i = who[k]
                for j in range(observations.shape[1]):
                    replaced[row, j] = observations[i, j]
                row += 1
                observe_column(memory, settings[0], i, observations, sees_state)

    return restart_columns
