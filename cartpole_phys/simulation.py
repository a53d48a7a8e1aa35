"""The compiled closed loop: whole episodes under a policy that the kernel knows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cartpole_phys.compiled import kernel
from cartpole_phys.control import ENERGY_SHAPING, PROPORTIONAL, choose
from cartpole_phys.integrators import advance
from cartpole_phys.memory import (
    EPISODE,
    KEY,
    PARAMS,
    ROWS,
    THETA,
    THETA_DOT,
    X_DOT,
    FloatArray,
    Settings,
    X,
    params_of,
)
from cartpole_phys.physics import constants_of
from cartpole_phys.random_stream import ACTION, uniforms
from cartpole_phys.sensing import observation_of
from cartpole_phys.starting import begin_one
from cartpole_phys.task import START_BOUND, has_fallen, push_force, reward_of


@kernel
def simulate_episodes(
    key: np.uint64,
    first_episode: int,
    settings: Settings,
    params: FloatArray,
    continuous: bool,
    rule: int,
    law: FloatArray,
    noise: float,
    observations: npt.NDArray[np.float32],
    actions: npt.NDArray[np.float32],
    rewards: npt.NDArray[np.float32],
    states: FloatArray,
    pushes: FloatArray,
    final_observations: npt.NDArray[np.float32],
    episode_params: FloatArray,
    lengths: npt.NDArray[np.int64],
    fallen: npt.NDArray[np.bool_],
) -> None:
    """Run ``len(lengths)`` episodes, one after another, and write their rows (states before each step)."""
    own = settings[0]
    memory = np.zeros((ROWS, 1))
    for p in range(len(params)):
        memory[PARAMS + p, 0] = params[p]
    memory.view(np.uint64)[KEY, 0] = key
    random_actions = rule not in (PROPORTIONAL, ENERGY_SHAPING) or noise > 0.0
    row = 0
    for e in range(len(lengths)):
        episode = first_episode + e
        memory.view(np.int64)[EPISODE, 0] = episode
        begin_one(memory, own, 0, -START_BOUND, START_BOUND)
        for p in range(len(params)):
            episode_params[e, p] = memory[PARAMS + p, 0]
        constants = constants_of(params_of(memory, 0), own.substeps, False)
        force_mag = memory[PARAMS + 4, 0]
        x, x_dot, theta, theta_dot = memory[X, 0], memory[X_DOT, 0], memory[THETA, 0], memory[THETA_DOT, 0]
        seen = observation_of(own, (x, x_dot, theta, theta_dot), key, episode, 0)
        fell = False
        step = 0
        while step < own.max_episode_steps and not fell:
            random = uniforms(key, episode, step, ACTION)[0] if random_actions else 0.0
            action = np.float32(choose(rule, continuous, law, noise, seen, random))
            share = np.float64(action) if continuous else 2.0 * np.float64(action) - 1.0
            push = 0.0
            if own.push_probability > 0.0:
                push = push_force(key, episode, step, own.push_probability, own.push_size)
            states[row, 0], states[row, 1], states[row, 2], states[row, 3] = x, x_dot, theta, theta_dot
            for j in range(observations.shape[1]):
                observations[row, j] = seen[j]
            actions[row], pushes[row] = action, push
            x, x_dot, theta, theta_dot = advance(
                x, x_dot, theta, theta_dot, share * force_mag + push, constants, own.integrator, own.substeps
            )
            rewards[row] = reward_of(own.task, x, theta, theta_dot, share)
            fell = has_fallen(x, theta, own.x_threshold, own.theta_threshold)
            row += 1
            step += 1
            seen = observation_of(own, (x, x_dot, theta, theta_dot), key, episode, step)
        for j in range(observations.shape[1]):
            final_observations[e, j] = seen[j]
        lengths[e], fallen[e] = step, fell
