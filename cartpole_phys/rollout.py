"""Closed-loop rollouts: a policy and a system in, episodes out.

Collecting data and evaluating a policy are the same thing, so both are done here. Episode number e of
seed s has the same start state and the same policy randomness however the work is batched: it is the
e-th episode of ``env.reset(seed=s)`` followed by plain resets.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count as count_from

import numpy as np

from cartpole_phys.episodes import Episodes, concatenate
from cartpole_phys.errors import InputError
from cartpole_phys.numeric.random_stream import key_from_seed
from cartpole_phys.rollouts.closed_loop import SIMULATIONS, Ends, Law, Log, empty_log, gather_rows
from cartpole_phys.rollouts.lockstep import BATCH_SIZE, run_lockstep
from cartpole_phys.rollouts.policy import CompiledPolicy, Policy
from cartpole_phys.rollouts.recording import Recording, episodes_of
from cartpole_phys.system import CartPole

COMPILED_BATCH_SIZE = 512  # episodes; their log still fits the processor's outer cache

_scratch = threading.local()  # a log for each thread: fresh memory would cost more than the steps


def _log(system: CartPole, episodes: int) -> Log:
    """This thread's log for so many episodes."""
    if getattr(_scratch, "kind", None) != (system, episodes):
        _scratch.kind, _scratch.log = (system, episodes), empty_log(system, episodes)
    log: Log = _scratch.log
    return log


def run_compiled(
    system: CartPole, policy: CompiledPolicy, key: np.uint64, first: int, count: int
) -> Episodes:
    """Episodes ``first`` to ``first + count`` under a policy that the kernel knows."""
    size, log = system.task.observation_size, _log(system, count)
    ends = Ends(
        np.empty((count, size), np.float32),
        np.empty((count, 8)),
        np.empty(count, np.int64),
        np.empty(count, np.bool_),
    )
    law = Law(system.continuous, policy.rule, policy.law, policy.noise)
    params = np.array(system.params.values)
    SIMULATIONS[system.integrator](key, first, system.settings, params, law, log, ends)
    rows = int(ends.lengths.sum())
    observations, actions = np.empty((rows, size), np.float32), np.empty(rows, np.float32)
    rewards, pushes = np.empty(rows, np.float32), np.empty(rows)
    qpos, qvel = np.empty((rows, 2)), np.empty((rows, 2))
    gather_rows(log, ends.lengths, observations, actions, rewards, qpos, qvel, pushes)
    recording = Recording(
        observations=observations,
        actions=actions[:, None] if system.continuous else actions.astype(np.int64),  # (N,) -> (N, 1)
        rewards=rewards,
        qpos=qpos,
        qvel=qvel,
        pushes=pushes,
        final_observations=ends.observations,
        episode_params=ends.params,
        lengths=ends.lengths,
        fallen=ends.fallen,
        infos={} if policy.log_prob is None else {"action_log_probs": np.full(rows, policy.log_prob, "f4")},
    )
    return episodes_of(recording, system, key, first)


def run_batches(
    system: CartPole, policy: Policy | CompiledPolicy, seed: int, last: int | None = None
) -> Iterator[Episodes]:
    """The first ``last`` episodes of a seed, or all without end, in order, a batch at a time.

    Compiled policies run on all processors; a policy in Python has a memory of its own, so it runs alone.
    """
    key = key_from_seed(seed)
    size = COMPILED_BATCH_SIZE if isinstance(policy, CompiledPolicy) else BATCH_SIZE
    size = size if last is None else min(size, last)
    firsts = count_from(0, size) if last is None else iter(range(0, last, size))
    batches = ((first, size if last is None else min(size, last - first)) for first in firsts)
    if not isinstance(policy, CompiledPolicy):
        for first, count in batches:
            yield run_lockstep(system, policy, key, first, count, size)
        return
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        running: deque[Future[Episodes]] = deque()
        for first, count in batches:
            running.append(pool.submit(run_compiled, system, policy, key, first, count))
            if len(running) > workers:
                yield running.popleft().result()
        yield from (batch.result() for batch in running)


def collect(
    system: CartPole,
    policy: Policy | CompiledPolicy,
    steps: int,
    seed: int,
    on_progress: Callable[[int], None] | None = None,
) -> Episodes:
    """Exactly ``steps`` transitions; the last episode is cut where it does not fit and marked as cut.

    Raises:
        InputError: if ``steps`` is below 1.
    """
    if steps < 1:
        raise InputError(f"Expected at least 1 step, got {steps}.")
    parts, rows = [], 0
    for part in run_batches(system, policy, seed):
        parts.append(part)
        rows += part.steps
        if on_progress is not None:
            on_progress(min(rows, steps))
        if rows >= steps:
            return concatenate(parts).head(steps)
    raise AssertionError("run_batches never ends")


def play(system: CartPole, policy: Policy | CompiledPolicy, episodes: int, seed: int) -> Episodes:
    """The first ``episodes`` episodes of a seed, in full: what an evaluation needs.

    Raises:
        InputError: if ``episodes`` is below 1.
    """
    if episodes < 1:
        raise InputError(f"Expected at least 1 episode, got {episodes}.")
    return concatenate(list(run_batches(system, policy, seed, episodes)))
