"""The compiled step: actions in, everything that an environment returns out.

Every kernel works on columns ``first`` to ``last`` of the memory (``memory.py``), so that threads can
share the work; no column depends on another. There is a kernel for each integrator and ``Kind``, compiled
when it is first used: one for all takes as long to compile as all of them, and its branches cost 8 to 19 % of
the speed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from cartpole_phys.kernels import layout as m
from cartpole_phys.kernels.integrators import FIRST_ANGLE_ONLY, WITH_FRICTION, WITHOUT_FRICTION, Integrator
from cartpole_phys.kernels.layout import Settings
from cartpole_phys.kernels.observe import observe_range
from cartpole_phys.kernels.reset import BLOCK, FORCES, WHO, Draw, draw_of, empty_scratch, restart_block
from cartpole_phys.numeric.compiled import inlined, inlined_once, kernel
from cartpole_phys.numeric.elementary import QUARTER_PI
from cartpole_phys.physics import Constants, constants_of
from cartpole_phys.task import BALANCE, has_fallen, push_force, reward_of
from cartpole_phys.utils.typing import Flags, FloatArray, Observations

NO_RESTART = -1.0  # in place of a bound of start variables

Outputs = tuple[Observations, FloatArray, Flags, Flags]  # and rewards, terminated, truncated
Rows = tuple[FloatArray, FloatArray, FloatArray, FloatArray]  # x, ẋ, θ, θ̇ of a block
Move = Callable[[Integrator, bool, FloatArray, FloatArray, int, int, Any], None]


class Kind(NamedTuple):
    """What a kernel is compiled for; code for friction and for different carts costs time."""

    alike: bool  # all carts have the same parameters in every episode
    friction: bool  # a cart may have friction


KINDS = tuple(Kind(alike, friction) for alike in (True, False) for friction in (False, True))


@inlined
def _near_upright(theta: FloatArray) -> bool:
    near = True
    for i in range(len(theta)):
        near &= abs(theta[i]) < QUARTER_PI
    return near


@inlined
def _rows_of(memory: FloatArray, first: int, last: int) -> Rows:
    return (
        memory[m.X, first:last],
        memory[m.X_DOT, first:last],
        memory[m.THETA, first:last],
        memory[m.THETA_DOT, first:last],
    )


@inlined
def _move_all(integrate: Integrator, rows: Rows, forces: FloatArray, constants: Constants) -> None:
    x, x_dot, theta, theta_dot = rows
    for i in range(len(x)):
        x[i], x_dot[i], theta[i], theta_dot[i] = integrate(
            x[i], x_dot[i], theta[i], theta_dot[i], forces[i], constants
        )


@inlined
def _move_alike(
    integrate: Integrator,
    one_angle: bool,
    memory: FloatArray,
    forces: FloatArray,
    first: int,
    last: int,
    settings: Any,
) -> None:
    """Advance a block of equal carts by one time step.

    ``one_angle``: the integrator takes no sine but that of θ itself.
    """
    rows, params = _rows_of(memory, first, last), m.params_of(memory, 0)
    for _ in range(settings.substeps):
        if one_angle and _near_upright(rows[2]):
            _move_all(integrate, rows, forces, constants_of(params, settings.substeps, True))
        else:
            _move_all(integrate, rows, forces, constants_of(params, settings.substeps, False))


@inlined
def _move_each(
    integrate: Integrator,
    one_angle: bool,
    memory: FloatArray,
    forces: FloatArray,
    first: int,
    last: int,
    settings: Any,
) -> None:
    """Advance a block of carts that may differ by one time step."""
    x, x_dot, theta, theta_dot = _rows_of(memory, first, last)
    gravity, cart_mass, pole_mass, half_length, force_mag, time_step, friction, damping = m.param_rows(
        memory, first, last
    )
    for _ in range(settings.substeps):
        for i in range(len(x)):
            params = (
                gravity[i],
                cart_mass[i],
                pole_mass[i],
                half_length[i],
                force_mag[i],
                time_step[i],
                friction[i],
                damping[i],
            )
            constants = constants_of(params, settings.substeps, False)
            x[i], x_dot[i], theta[i], theta_dot[i] = integrate(
                x[i], x_dot[i], theta[i], theta_dot[i], forces[i], constants
            )


@inlined
def _push_block(memory: FloatArray, settings: Any, first: int, last: int) -> None:
    keys, counters = memory.view(np.uint64), memory.view(np.int64)
    for i in range(first, last):
        memory[m.PUSH, i] = push_force(
            keys[m.KEY, i],
            counters[m.EPISODE, i],
            counters[m.ELAPSED, i],
            settings.push_probability,
            settings.push_size,
        )


@inlined
def _sum_forces(memory: FloatArray, alike: bool, first: int, last: int, forces: FloatArray) -> None:
    """Write the forces on a block's carts, N."""
    actions, pushes, magnitudes = (
        memory[m.ACTION, first:last],
        memory[m.PUSH, first:last],
        memory[m.FORCE_MAG, first:last],
    )
    if alike:
        magnitude = memory[m.FORCE_MAG, 0]
        for i in range(len(actions)):
            forces[i] = actions[i] * magnitude + pushes[i]
    else:
        for i in range(len(actions)):
            forces[i] = actions[i] * magnitudes[i] + pushes[i]


@inlined
def _finish_block(
    memory: FloatArray,
    settings: Any,
    first: int,
    last: int,
    rewards: FloatArray,
    terminated: Flags,
    truncated: Flags,
) -> None:
    """Count the step and write rewards and flags."""
    elapsed = memory.view(np.int64)[m.ELAPSED, first:last]
    x, theta, theta_dot, actions = (
        memory[m.X, first:last],
        memory[m.THETA, first:last],
        memory[m.THETA_DOT, first:last],
        memory[m.ACTION, first:last],
    )
    limit, x_threshold, theta_threshold = (
        settings.max_episode_steps,
        settings.x_threshold,
        settings.theta_threshold,
    )
    fell, late, gained = terminated[first:last], truncated[first:last], rewards[first:last]
    for i in range(len(elapsed)):
        elapsed[i] += 1
        fell[i] = has_fallen(x[i], theta[i], x_threshold, theta_threshold)
        late[i] = elapsed[i] >= limit
    if settings.task == BALANCE:
        gained[:] = 1.0
    else:
        for i in range(len(elapsed)):
            gained[i] = reward_of(settings.task, x[i], theta[i], theta_dot[i], actions[i])


@inlined_once
def step_range(
    move: Move,
    integrate: Integrator,
    one_angle: bool,
    draw: Draw,
    memory: FloatArray,
    settings: Settings,
    first: int,
    last: int,
    restart_bound: float,
    outputs: Outputs,
) -> bool:
    """Advance columns ``first`` to ``last`` by one time step, and say whether any episode is over.

    Pushes are drawn where there are random ones and else taken as they stand in the memory.
    ``restart_bound``: the bound of start variables where episodes that were over begin anew instead of
    stepping; NO_RESTART where none do. ``outputs`` are written.
    """
    observations, rewards, terminated, truncated = outputs
    counters = memory.view(np.int64)
    scratch = empty_scratch(min(BLOCK, last - first))
    forces, who = scratch[FORCES], scratch.view(np.int64)[WHO]
    any_done = False
    for block in range(first, last, BLOCK):
        end = min(block + BLOCK, last)
        if settings[0].push_probability > 0.0:
            _push_block(memory, settings[0], block, end)
        _sum_forces(memory, settings[0].alike != 0, block, end, forces)
        move(integrate, one_angle, memory, forces, block, end, settings[0])
        _finish_block(memory, settings[0], block, end, rewards, terminated, truncated)
        # What was done before this step begins anew, and the step counts for nothing.
        if restart_bound >= 0.0:
            for k in range(restart_block(draw, memory, settings[0], block, end, restart_bound, scratch)):
                i = who[k]
                rewards[i], terminated[i], truncated[i] = 0.0, False, False
        done, fell, late = counters[m.DONE, block:end], terminated[block:end], truncated[block:end]
        for i in range(len(done)):
            done[i] = fell[i] | late[i]
            any_done |= fell[i] | late[i]
        observe_range(memory, settings, block, end, observations)
    return any_done


@kernel
def draw_pushes(memory: FloatArray, settings: Settings) -> None:
    """Write the random push of the next step on every cart, for callers who add pushes of their own."""
    _push_block(memory, settings[0], 0, memory.shape[1])


def parts_of(integrator: str, kind: Kind) -> tuple[Move, Integrator, bool, Draw]:
    """The functions that ``step_range`` consists of, its first arguments."""
    integrate = (WITH_FRICTION if kind.friction else WITHOUT_FRICTION)[integrator]
    move = _move_alike if kind.alike else _move_each
    one_angle = integrator in FIRST_ANGLE_ONLY and not kind.friction
    return move, integrate, one_angle, draw_of(not kind.alike)


@cache
def step_kernel(integrator: str, kind: Kind) -> Callable[..., bool]:
    """The kernel that advances columns by one time step; see ``step_range``."""
    move, integrate, one_angle, draw = parts_of(integrator, kind)

    @kernel
    def step(
        memory: FloatArray,
        settings: Settings,
        first: int,
        last: int,
        bound: float,
        observations: Observations,
        rewards: FloatArray,
        terminated: Flags,
        truncated: Flags,
    ) -> bool:
        outputs = observations, rewards, terminated, truncated
        return step_range(move, integrate, one_angle, draw, memory, settings, first, last, bound, outputs)

    return step
