"""The environments' whole step in few compiled calls: actions to forces, forces to everything else."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cartpole_phys.compiled import inlined, kernel
from cartpole_phys.integrators import advance
from cartpole_phys.physics import unpack
from cartpole_phys.simulator import CartPole, FloatArray, push_forces, start_states, step_states
from cartpole_phys.task import REWARD, START_BOUND, has_fallen

Array = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]


@kernel
def continuous_forces(actions: npt.NDArray[np.float32], force_mag: float, forces: FloatArray) -> bool:
    """Write forces (N) for actions (n, 1), clipped; False if one is not finite."""
    good = True
    for i in range(len(forces)):
        action = actions[i, 0]
        good &= action - action == 0.0  # neither NaN nor infinite
        forces[i] = np.float64(min(max(action, np.float32(-1.0)), np.float32(1.0))) * force_mag
    return good


@kernel
def discrete_forces(actions: npt.NDArray[np.int64], force_mag: float, forces: FloatArray) -> bool:
    """Write forces (N) for actions (n,) of 0 and 1; False if there is another."""
    good = True
    for i in range(len(forces)):
        good &= (actions[i] == 0) | (actions[i] == 1)
        forces[i] = force_mag if actions[i] == 1 else -force_mag
    return good


def forces_of(system: CartPole, actions: Any, num_envs: int) -> FloatArray:
    """Forces (N), (n,), for whatever a caller gave as actions.

    Raises:
        InputError: on a wrong shape or kind of number, or an action outside the space.
    """
    given = np.asarray(actions)
    forces = np.empty(num_envs)
    if system.continuous and given.dtype == np.float32 and given.shape == (num_envs, 1):
        good = continuous_forces(given, system.params.force_mag, forces)
    elif not system.continuous and given.dtype == np.int64 and given.shape == (num_envs,):
        good = discrete_forces(given, system.params.force_mag, forces)
    else:
        good = False
    return forces if good else system.forces(system.check_actions(given, num_envs))


def force_of(system: CartPole, action: Any) -> float:
    """The force (N) for one environment's action, quickly for what policies usually give.

    Raises:
        InputError: on a wrong shape or kind of number, or an action outside the space.
    """
    if system.continuous:
        if type(action) is np.ndarray and action.shape == (1,) and action.dtype == np.float32:
            share = float(action[0])
            if -1.0 <= share <= 1.0:
                return share * system.params.force_mag
    elif type(action) in (int, np.int64) and 0 <= action <= 1:
        return system.params.force_mag if action else -system.params.force_mag
    return float(system.forces(system.check_actions(np.asarray(action)[None], 1))[0])


@kernel
def step_one(
    states: FloatArray,
    force: float,
    params: FloatArray,
    thresholds: FloatArray,
    integrator: int,
    substeps: int,
    observation: npt.NDArray[np.float32],
) -> bool:
    """Advance the single column of ``states`` in place, write its observation (4,), and say if it fell."""
    x, x_dot, theta, theta_dot = advance(
        states[0, 0],
        states[1, 0],
        states[2, 0],
        states[3, 0],
        force,
        unpack(params, substeps),
        integrator,
        substeps,
    )
    states[0, 0], states[1, 0], states[2, 0], states[3, 0] = x, x_dot, theta, theta_dot
    observation[0], observation[1], observation[2], observation[3] = x, x_dot, theta, theta_dot
    return has_fallen(x, theta, thresholds[0], thresholds[1])


@kernel
def begin_episodes(
    states: FloatArray,
    keys: npt.NDArray[np.uint64],
    episodes: npt.NDArray[np.int64],
    elapsed: npt.NDArray[np.int64],
    forces: FloatArray,
    pushes: FloatArray,
    mask: Flags,
) -> None:
    """Start the next episode of the masked environments."""
    for i in range(len(mask)):
        if mask[i]:
            episodes[i] += 1
            elapsed[i], forces[i], pushes[i] = 0, 0.0, 0.0
    start_states(states, keys, episodes, mask, -START_BOUND, START_BOUND)


@inlined
def finish_steps(
    elapsed: npt.NDArray[np.int64],
    done: Flags,
    limit: int,
    autoreset: bool,
    rewards: FloatArray,
    terminated: Flags,
    truncated: Flags,
) -> bool:
    """Count the step and write flags and rewards; a step that began an episode has neither."""
    any_done = False
    for i in range(len(done)):
        fresh = autoreset & done[i]
        elapsed[i] += 0 if fresh else 1
        terminated[i] = terminated[i] & (not fresh)
        truncated[i] = (elapsed[i] >= limit) & (not fresh)
        rewards[i] = 0.0 if fresh else REWARD
        done[i] = terminated[i] | truncated[i]
        any_done |= done[i]
    return any_done


@kernel
def step_batch(
    states: FloatArray,
    keys: npt.NDArray[np.uint64],
    episodes: npt.NDArray[np.int64],
    elapsed: npt.NDArray[np.int64],
    done: Flags,
    forces: FloatArray,
    pushes: FloatArray,
    params: FloatArray,
    thresholds: FloatArray,
    settings: npt.NDArray[np.int64],
    push_law: FloatArray,
    rewards: FloatArray,
    terminated: Flags,
    truncated: Flags,
) -> bool:
    """Advance all environments, start new episodes where that is asked for, and say whether any is done.

    ``states``, ``keys``, ``episodes``, ``elapsed`` and ``done`` are those of the environments and change in
    place; ``forces`` (N) are the actions'; ``pushes`` (N), ``rewards`` and the two flags are written.
    ``settings`` holds the integrator, the substeps, the step limit, and 1 if environments that are done
    begin anew; ``push_law`` the probability of a push in a step and its largest size in newtons.
    """
    total = forces
    if push_law[0] > 0.0:
        push_forces(pushes, keys, episodes, elapsed, push_law[0], push_law[1])
        total = forces + pushes
    step_states(states, total, params, thresholds, settings[0], settings[1], terminated)
    if settings[3]:
        begin_episodes(states, keys, episodes, elapsed, forces, pushes, done)
    return finish_steps(elapsed, done, settings[2], settings[3] != 0, rewards, terminated, truncated)
