"""Compiled episode starts: start states and randomized parameters."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from cartpole_phys.kernels import layout as m
from cartpole_phys.kernels.layout import Settings
from cartpole_phys.kernels.observe import Sensor, observe_column
from cartpole_phys.numeric.compiled import inlined, kernel
from cartpole_phys.numeric.philox import PARAMS as PARAMS_DRAW
from cartpole_phys.numeric.philox import START, uniforms
from cartpole_phys.physics import State
from cartpole_phys.utils.typing import FloatArray

Draw = Callable[[FloatArray, Any, int], None]

BLOCK = 2_048  # columns per block: they fit the L2 cache
VECTOR = 8  # doubles in a SIMD vector, at most
RESTARTED, KEYS, EPISODES, STATES, FORCES = 0, 1, 2, 3, 7  # rows of the scratch memory; four of states


@inlined
def start_state(key: np.uint64, episode: int, angle: float, low: float, high: float) -> State:
    """The start state of an episode: ``angle`` and uniform offsets in [low, high]."""
    a, b, c, d = uniforms(key, episode, 0, START)
    span = high - low
    return low + span * a, low + span * b, angle + (low + span * c), low + span * d


@inlined
def draw_params(memory: FloatArray, settings: Any, i: int) -> None:
    """Draw the randomized parameters of the episode in column ``i``, from its key and episode number."""
    key, episode = m.key_of(memory, i), memory.view(np.int64)[m.EPISODE, i]
    draws = uniforms(key, episode, 0, PARAMS_DRAW), uniforms(key, episode, 1, PARAMS_DRAW)
    for half in range(2):
        for j in range(4):
            p = 4 * half + j
            if settings.lowest[p] == settings.lowest[p]:  # not NaN: randomized
                span = settings.highest[p] - settings.lowest[p]
                memory[m.PARAMS + p, i] = settings.lowest[p] + span * draws[half][j]


@inlined
def keep_params(memory: FloatArray, settings: Any, i: int) -> None:
    """Replace ``draw_params`` if no parameter is randomized, to save compile time."""


@inlined
def begin_column(draw: Draw, memory: FloatArray, settings: Any, i: int, low: float, high: float) -> None:
    """Start the episode with the key and number in column ``i``."""
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
    """Scratch memory for a block of columns: restarted columns, keys, episodes, states and forces."""
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
    """Start episodes in ``count`` columns, whose indices are in the row RESTARTED of ``scratch``.

    All start states are drawn first, in a vectorized loop, and then stored as ``begin_column`` does (a shared
    function made the step 10 % slower). The episode numbers are ``ahead`` of those in memory.
    """
    counters, numbers = memory.view(np.int64), scratch.view(np.int64)
    keys, episodes, elapsed, done = (
        counters[m.KEY],
        counters[m.EPISODE],
        counters[m.ELAPSED],
        counters[m.DONE],
    )
    restarted, key, episode = numbers[RESTARTED], numbers[KEYS], numbers[EPISODES]
    x, x_dot = scratch[STATES], scratch[STATES + 1]
    theta, theta_dot = scratch[STATES + 2], scratch[STATES + 3]
    for k in range(count):
        key[k], episode[k] = keys[restarted[k]], episodes[restarted[k]] + ahead
    for k in range((count + VECTOR - 1) // VECTOR * VECTOR):  # lanes beyond the last are unused
        x[k], x_dot[k], theta[k], theta_dot[k] = start_state(
            np.uint64(key[k]), episode[k], settings.start_angle, low, high
        )
    for k in range(count):
        i = restarted[k]
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
    """Start the next episode of every finished column from ``first`` to ``last``.

    Returns:
        their number; their indices are in the row RESTARTED of ``scratch``
    """
    done, restarted, count = memory.view(np.int64)[m.DONE], scratch.view(np.int64)[RESTARTED], 0
    for i in range(first, last):
        restarted[count] = i  # no branch, which would often be mispredicted
        count += done[i]
    _begin_block(draw, memory, settings, count, 1, -bound, bound, scratch)
    return count


def draw_of(randomized: bool) -> Draw:
    """The function that draws the parameters of an episode."""
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
        restarted = scratch.view(np.int64)[RESTARTED]
        for first in range(0, len(mask), BLOCK):
            count = 0
            for i in range(first, min(first + BLOCK, len(mask))):
                restarted[count] = i
                count += mask[i]
            _begin_block(draw, memory, settings[0], count, 0, low, high, scratch)

    return begin_columns


@cache
def restart_kernel(randomized: bool, sensor: Sensor) -> Callable[..., None]:
    """The kernel that starts the next episodes of the k finished columns.

    It writes their observations into their rows of ``observations`` (n, obs), and the replaced rows into
    ``replaced`` (k, obs).
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
        columns, row = memory.shape[1], 0
        scratch = empty_scratch(min(BLOCK, columns))
        restarted = scratch.view(np.int64)[RESTARTED]
        for block in range(0, columns, BLOCK):
            count = restart_block(
                draw, memory, settings[0], block, min(block + BLOCK, columns), bound, scratch
            )
            for k in range(count):
                i = restarted[k]
                for j in range(observations.shape[1]):
                    replaced[row, j] = observations[i, j]
                row += 1
                observe_column(sensor, memory, settings[0], i, observations)

    return restart_columns
