"""Compiled closed-loop rollouts: whole episodes under a compiled policy.

Many episodes run in parallel lanes, so that their steps can be vectorized; when an episode ends, its lane
starts the next one. Steps are recorded in a log of steps × lanes, from which ``gather_rows`` extracts the
episodes in order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cartpole_phys.kernels import layout as m
from cartpole_phys.kernels.control_laws import NETWORK, choose_all
from cartpole_phys.kernels.layout import Settings
from cartpole_phys.kernels.mlp import Network
from cartpole_phys.kernels.observe import observe_column
from cartpole_phys.kernels.policy_call import call_network
from cartpole_phys.kernels.reset import begin_column
from cartpole_phys.kernels.step import NO_RESTART, Kind, Parts, parts_of, step_range
from cartpole_phys.numeric.compiled import inlined, inlined_once, kernel
from cartpole_phys.tasks.base import START_BOUND
from cartpole_phys.utils.typing import Flags, FloatArray, IntArray, Observations

LANES = 128
IDLE = -1  # episode index of a lane without an episode


class Law(NamedTuple):
    """A compiled policy in the kernel's format."""

    continuous: bool
    rule: int
    numbers: FloatArray  # (4,) or (13,)
    noise: float
    network: Network  # for NETWORK
    network_address: int


class Log(NamedTuple):
    """Log of T steps in LANES lanes, with the position of each of E episodes.

    Memory traffic costs as much as the physics, so arrays that can be derived have T = 0: observations equal
    to the state in float32, rewards of 1, pushes of 0, and the infos of networks for other policies.
    """

    states: FloatArray  # (T, 4, LANES), before each step
    actions: npt.NDArray[np.float32]  # (T, LANES)
    observations: Observations  # (T or 0, LANES, obs), before each step
    rewards: npt.NDArray[np.float32]  # (T or 0, LANES)
    pushes: FloatArray  # (T or 0, LANES), N
    raw_actions: npt.NDArray[np.float32]  # (T or 0, LANES)
    log_probs: npt.NDArray[np.float32]  # (T or 0, LANES)
    lanes: IntArray  # (E,)
    starts: IntArray  # (E,), index of an episode's first step in the log


class Ends(NamedTuple):
    """Final observations, parameters, lengths and terminations of E episodes."""

    observations: npt.NDArray[np.float32]  # (E, obs), after the last step
    params: FloatArray  # (E, 8)
    lengths: IntArray  # (E,)
    terminated: Flags  # (E,)


class Lanes(NamedTuple):
    """The state of episodes running in parallel lanes."""

    memory: FloatArray  # (ROWS, lanes)
    seen: Observations  # (lanes, obs)
    random: FloatArray  # (lanes,), for the next action
    rewards: FloatArray  # (lanes,), of the last step
    terminated: Flags  # (lanes,)
    truncated: Flags  # (lanes,)
    index_of: IntArray  # (lanes,), of the episode among those to play, or IDLE


@inlined
def _act(lanes: Lanes, law: Law, log: Log, now: int) -> None:
    """Choose every lane's action, and log actions, states and observations before the step."""
    seen, count = lanes.seen, len(lanes.seen)
    actions, normalized = log.actions[now, :count], lanes.memory[m.ACTION]
    if law.rule == NETWORK:
        raw_actions, log_probs = log.raw_actions[now, :count], log.log_probs[now, :count]
        call_network(law.network_address, lanes.memory, law.network, seen, actions, raw_actions, log_probs)
    else:
        choose_all(
            lanes.memory, law.continuous, law.rule, law.numbers, law.noise, seen, lanes.random, actions
        )
    for lane in range(count):
        normalized[lane] = (
            np.float64(actions[lane]) if law.continuous else 2.0 * np.float64(actions[lane]) - 1.0
        )
    for j in range(4):
        row, states = lanes.memory[j], log.states[now, j]
        for lane in range(count):
            states[lane] = row[lane]
    for lane in range(count if len(log.observations) else 0):
        for j in range(seen.shape[1]):
            log.observations[now, lane, j] = seen[lane, j]


@inlined
def _start_episode(
    parts: Parts,
    lanes: Lanes,
    settings: Any,
    lane: int,
    first_episode: int,
    index: int,
    log: Log,
    ends: Ends,
    now: int,
) -> None:
    """Start the episode with index ``index`` in a lane."""
    lanes.index_of[lane] = index
    lanes.memory.view(np.int64)[m.EPISODE, lane] = first_episode + index
    begin_column(parts.draw, lanes.memory, settings, lane, -START_BOUND, START_BOUND)
    observe_column(parts.sensor, lanes.memory, settings, lane, lanes.seen)
    for p in range(ends.params.shape[1]):
        ends.params[index, p] = lanes.memory[m.PARAMS + p, lane]
    log.lanes[index], log.starts[index] = lane, now


@inlined
def _finish_step(lanes: Lanes, any_done: bool, log: Log, ends: Ends, now: int) -> int:
    """Log the results of a step and the ends of episodes; return the number of ended episodes."""
    counters, pushes, left = lanes.memory.view(np.int64), lanes.memory[m.PUSH], 0
    for lane in range(len(pushes) if len(log.rewards) else 0):
        log.rewards[now, lane] = lanes.rewards[lane]
    for lane in range(len(pushes) if len(log.pushes) else 0):
        log.pushes[now, lane] = pushes[lane]
    for lane in range(len(lanes.rewards) if any_done else 0):
        index = lanes.index_of[lane]
        if counters[m.DONE, lane] and index >= 0:
            ends.lengths[index], ends.terminated[index] = counters[m.ELAPSED, lane], lanes.terminated[lane]
            for j in range(lanes.seen.shape[1]):
                ends.observations[index, j] = lanes.seen[lane, j]
            lanes.index_of[lane] = IDLE
            left += 1
    return left


@inlined
def _empty_lanes(count: int, key: np.uint64, params: FloatArray, observation_size: int) -> Lanes:
    memory = np.zeros((m.ROWS, count))
    for p in range(len(params)):
        for lane in range(count):
            memory[m.PARAMS + p, lane] = params[p]
    for lane in range(count):
        memory.view(np.uint64)[m.KEY, lane] = key
    return Lanes(
        memory,
        np.empty((count, observation_size), np.float32),
        np.zeros(count),
        np.empty(count),
        np.empty(count, np.bool_),
        np.empty(count, np.bool_),
        np.full(count, IDLE),
    )


@inlined_once
def _simulate(
    parts: Parts,
    key: np.uint64,
    first_episode: int,
    settings: Settings,
    params: FloatArray,
    law: Law,
    log: Log,
    ends: Ends,
) -> None:
    """Run one episode per entry of ``ends``, from ``first_episode`` of a key on; write ``log`` and ``ends``.

    A lane without remaining episodes keeps stepping; its steps are ignored.
    """
    count = min(LANES, len(ends.lengths))
    lanes = _empty_lanes(count, key, params, log.observations.shape[2])
    outputs = lanes.seen, lanes.rewards, lanes.terminated, lanes.truncated
    playing, entered, free = len(ends.lengths), 0, count
    now = int(np.int64(0))  # typed, or numba would compile for a literal 0 and again for an integer
    while playing > 0:
        if free > 0 and entered < len(ends.lengths):
            for lane in range(count):
                if lanes.index_of[lane] == IDLE and entered < len(ends.lengths):
                    _start_episode(parts, lanes, settings[0], lane, first_episode, entered, log, ends, now)
                    entered += 1
        _act(lanes, law, log, now)
        any_done = step_range(parts, lanes.memory, settings, 0, count, NO_RESTART, outputs)
        free = _finish_step(lanes, any_done, log, ends, now)
        playing -= free
        now += 1


@cache
def simulate_kernel(integrator: str, kind: Kind) -> Callable[..., None]:
    """The kernel that runs episodes; see ``_simulate``."""
    parts = parts_of(integrator, kind)

    @kernel
    def simulate(
        key: np.uint64,
        first_episode: int,
        settings: Settings,
        params: FloatArray,
        law: Law,
        log: Log,
        ends: Ends,
    ) -> None:
        _simulate(parts, key, first_episode, settings, params, law, log, ends)

    return simulate


@kernel
def gather_rows(
    log: Log,
    lengths: IntArray,
    observations: Observations,
    actions: npt.NDArray[np.float32],
    rewards: npt.NDArray[np.float32],
    qpos: FloatArray,
    qvel: FloatArray,
    pushes: FloatArray,
    raw_actions: npt.NDArray[np.float32],
    log_probs: npt.NDArray[np.float32],
) -> None:
    """Write the N logged rows in episode order: (N, obs), (N,), …; qpos is x and θ, qvel ẋ and θ̇.

    ``raw_actions`` and ``log_probs`` have N rows, or none if they are not recorded.
    """
    row = 0
    for episode in range(len(lengths)):
        lane, start = log.lanes[episode], log.starts[episode]
        for now in range(start, start + lengths[episode]):
            states = log.states[now]
            qpos[row, 0], qpos[row, 1] = states[m.X, lane], states[m.THETA, lane]
            qvel[row, 0], qvel[row, 1] = states[m.X_DOT, lane], states[m.THETA_DOT, lane]
            actions[row] = log.actions[now, lane]
            if len(log.observations) == 0:
                for j in range(4):
                    observations[row, j] = states[j, lane]
            else:
                for j in range(observations.shape[1]):
                    observations[row, j] = log.observations[now, lane, j]
            rewards[row] = log.rewards[now, lane] if len(log.rewards) else np.float32(1.0)
            pushes[row] = log.pushes[now, lane] if len(log.pushes) else 0.0
            if len(raw_actions):
                raw_actions[row] = log.raw_actions[now, lane]
            if len(log_probs):
                log_probs[row] = log.log_probs[now, lane]
            row += 1
