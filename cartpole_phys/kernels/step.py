"""Compiled step of many environments: from actions to observations, rewards and flags.

Every kernel works on columns ``first`` to ``last`` of the memory (``layout.py``), so that threads can share
the work; columns are independent. Each combination of integrator and ``Kind`` has its own kernel, compiled on
first use: one kernel for all would take as long to compile as all of them, and be 8 to 19 % slower because of
its branches.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from cartpole_phys.kernels import layout as m
from cartpole_phys.kernels.integrators import FIRST_ANGLE_ONLY, WITH_FRICTION, WITHOUT_FRICTION, Integrator
from cartpole_phys.kernels.layout import Settings
from cartpole_phys.kernels.observe import Observe, Sensor, observe_of, sensor_of
from cartpole_phys.kernels.reset import BLOCK, FORCES, RESTARTED, Draw, draw_of, empty_scratch, restart_block
from cartpole_phys.numeric.compiled import inlined, inlined_once, kernel
from cartpole_phys.numeric.elementary import QUARTER_PI
from cartpole_phys.numeric.philox import PUSH as PUSH_DRAW
from cartpole_phys.numeric.philox import uniforms
from cartpole_phys.physics import Constants, constants_of
from cartpole_phys.tasks.base import Observation, Reward, is_terminal, unit_reward
from cartpole_phys.utils.typing import Flags, FloatArray, Observations

NO_RESTART = -1.0  # passed instead of a bound of start variables

Outputs = tuple[Observations, FloatArray, Flags, Flags]  # observations, rewards, terminated, truncated
Rows = tuple[FloatArray, FloatArray, FloatArray, FloatArray]  # x, ẋ, θ, θ̇ of a block
Move = Callable[[Integrator, bool, FloatArray, FloatArray, int, int, Any], None]
Push = Callable[[FloatArray, Any, int, int], None]
WriteRewards = Callable[[Reward, FloatArray, int, int, FloatArray], None]


class Kind(NamedTuple):
    """The variant of a kernel; code for features that its environments do not have would make it slower."""

    alike: bool  # all carts have the same parameters in every episode
    friction: bool  # a cart may have friction
    reward: Reward  # of the task
    observation: Observation  # of the task
    plain: bool = False  # see ``CartPole.plain``


class Parts(NamedTuple):
    """The functions that a step consists of, for one integrator and kind."""

    push: Push
    move: Move
    integrate: Integrator
    one_angle: bool  # the integrator takes no sine but that of θ itself
    reward: Reward
    write_rewards: WriteRewards
    draw: Draw
    sensor: Sensor
    observe: Observe


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
    """Advance a block of equal carts by one time step, and write their forces (N)."""
    rows, params = _rows_of(memory, first, last), m.params_of(memory, 0)
    magnitude, actions, pushes = (
        memory[m.FORCE_MAG, 0],
        memory[m.ACTION, first:last],
        memory[m.PUSH, first:last],
    )
    for i in range(len(actions)):
        forces[i] = actions[i] * magnitude + pushes[i]
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
    """Advance a block of carts with different parameters by one time step, and write their forces (N)."""
    magnitudes, actions, pushes = (
        memory[m.FORCE_MAG, first:last],
        memory[m.ACTION, first:last],
        memory[m.PUSH, first:last],
    )
    for i in range(len(actions)):
        forces[i] = actions[i] * magnitudes[i] + pushes[i]
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
def _push_force(key: np.uint64, episode: int, step: int, probability: float, size: float) -> float:
    """The random push on the cart during a step (N): with ``probability`` uniform in ± ``size``, else 0."""
    chance, where, _, _ = uniforms(key, episode, step, PUSH_DRAW)
    return (2.0 * where - 1.0) * size if chance < probability else 0.0


@inlined
def _keep_pushes(memory: FloatArray, settings: Any, first: int, last: int) -> None:
    """In place of ``_push_block`` where there are no random pushes."""


@inlined
def _push_block(memory: FloatArray, settings: Any, first: int, last: int) -> None:
    """Write random pushes on a block's carts, if there are any."""
    if settings.push_probability <= 0.0:
        return
    counters = memory.view(np.int64)
    for i in range(first, last):
        memory[m.PUSH, i] = _push_force(
            m.key_of(memory, i),
            counters[m.EPISODE, i],
            counters[m.ELAPSED, i],
            settings.push_probability,
            settings.push_size,
        )


@inlined
def _write_ones(reward: Reward, memory: FloatArray, first: int, last: int, rewards: FloatArray) -> None:
    """Write rewards of 1."""
    rewards[first:last] = 1.0


@inlined
def _write_rewards(reward: Reward, memory: FloatArray, first: int, last: int, rewards: FloatArray) -> None:
    """Write the rewards of any task."""
    x, x_dot, theta, theta_dot = _rows_of(memory, first, last)
    actions, gained = memory[m.ACTION, first:last], rewards[first:last]
    for i in range(len(gained)):
        gained[i] = reward(x[i], x_dot[i], theta[i], theta_dot[i], actions[i])


@inlined
def _finish_block(
    memory: FloatArray, settings: Any, first: int, last: int, terminated: Flags, truncated: Flags
) -> None:
    """Count the step and write flags."""
    elapsed, x, theta = (
        memory.view(np.int64)[m.ELAPSED, first:last],
        memory[m.X, first:last],
        memory[m.THETA, first:last],
    )
    limit, x_threshold, theta_threshold = (
        settings.max_episode_steps,
        settings.x_threshold,
        settings.theta_threshold,
    )
    fell, late = terminated[first:last], truncated[first:last]
    for i in range(len(elapsed)):
        elapsed[i] += 1
        fell[i] = is_terminal(x[i], theta[i], x_threshold, theta_threshold)
        late[i] = elapsed[i] >= limit


@inlined_once
def step_range(
    parts: Parts,
    memory: FloatArray,
    settings: Settings,
    first: int,
    last: int,
    restart_bound: float,
    outputs: Outputs,
) -> bool:
    """Advance columns ``first`` to ``last`` by one time step, and return whether any episode is over.

    Pushes are drawn if the settings have random pushes, and otherwise read from memory.
    ``restart_bound``: the bound of start variables if finished columns start their next episode instead of
    stepping, else NO_RESTART. ``outputs`` are written.
    """
    observations, rewards, terminated, truncated = outputs
    counters = memory.view(np.int64)
    scratch = empty_scratch(min(BLOCK, last - first))
    forces, restarted = scratch[FORCES], scratch.view(np.int64)[RESTARTED]
    any_done = False
    for block in range(first, last, BLOCK):
        end = min(block + BLOCK, last)
        parts.push(memory, settings[0], block, end)
        parts.move(parts.integrate, parts.one_angle, memory, forces, block, end, settings[0])
        parts.write_rewards(parts.reward, memory, block, end, rewards)
        _finish_block(memory, settings[0], block, end, terminated, truncated)
        # Columns that were finished before this step restart, and their step is discarded.
        if restart_bound >= 0.0:
            for k in range(
                restart_block(parts.draw, memory, settings[0], block, end, restart_bound, scratch)
            ):
                i = restarted[k]
                rewards[i], terminated[i], truncated[i] = 0.0, False, False
        done, fell, late = counters[m.DONE, block:end], terminated[block:end], truncated[block:end]
        for i in range(len(done)):
            done[i] = fell[i] | late[i]
            any_done |= fell[i] | late[i]
        parts.observe(parts.sensor, memory, settings[0], block, end, observations)
    return any_done


@kernel
def draw_pushes(memory: FloatArray, settings: Settings) -> None:
    """Write the random push of the next step on every cart, for callers that add further pushes."""
    memory[m.PUSH] = 0.0  # which a block without random pushes keeps as it stands
    _push_block(memory, settings[0], 0, memory.shape[1])


def push_of(plain: bool) -> Push:
    """The function that draws the random pushes on a block of columns."""
    return _keep_pushes if plain else _push_block


def parts_of(integrator: str, kind: Kind) -> Parts:
    """The functions of ``step_range`` for an integrator and a kind."""
    return Parts(
        push_of(kind.plain),
        _move_alike if kind.alike else _move_each,
        (WITH_FRICTION if kind.friction else WITHOUT_FRICTION)[integrator],
        integrator in FIRST_ANGLE_ONLY and not kind.friction,
        kind.reward,
        _write_ones if kind.reward is unit_reward else _write_rewards,
        draw_of(not kind.alike),
        sensor_of(kind.observation, kind.plain),
        observe_of(kind.observation, kind.plain),
    )


@cache
def step_kernel(integrator: str, kind: Kind) -> Callable[..., bool]:
    """The kernel that advances columns by one time step; see ``step_range``."""
    parts = parts_of(integrator, kind)

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
        return step_range(parts, memory, settings, first, last, bound, outputs)

    return step
