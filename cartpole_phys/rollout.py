"""Closed-loop rollouts: a policy and a system in, episodes out.

Collecting data and evaluating a policy are the same thing, so both are done here. Episode number e of
seed s has the same start state and the same policy randomness however the work is batched: it is the
e-th episode of ``env.reset(seed=s)`` followed by plain resets.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count as count_from

import numpy as np

from cartpole_phys.episodes import Episodes, concatenate
from cartpole_phys.errors import InputError
from cartpole_phys.lockstep import BATCH_SIZE, run_lockstep
from cartpole_phys.policy import CompiledPolicy, Policy
from cartpole_phys.random_stream import key_from_seed
from cartpole_phys.recording import Recording, episodes_of
from cartpole_phys.simulation import simulate_episodes
from cartpole_phys.simulator import CartPole


def run_compiled(
    system: CartPole, policy: CompiledPolicy, key: np.uint64, first: int, count: int
) -> Episodes:
    """Episodes ``first`` to ``first + count`` under a policy that the kernel knows."""
    capacity, size = count * system.task.max_episode_steps, system.task.observation_size
    observations, actions = np.empty((capacity, size), np.float32), np.empty(capacity, np.float32)
    rewards, states, pushes = np.empty(capacity, np.float32), np.empty((capacity, 4)), np.empty(capacity)
    final_observations, episode_params = np.empty((count, size), np.float32), np.empty((count, 8))
    lengths, fallen = np.empty(count, np.int64), np.empty(count, np.bool_)
    simulate_episodes(
        key,
        first,
        system.settings,
        np.array(system.params.values),
        system.continuous,
        policy.rule,
        policy.law,
        policy.noise,
        observations,
        actions,
        rewards,
        states,
        pushes,
        final_observations,
        episode_params,
        lengths,
        fallen,
    )
    rows = int(lengths.sum())
    recording = Recording(
        observations=observations[:rows],
        actions=actions[:rows, None] if system.continuous else actions[:rows].astype(np.int64),  # (N, 1)
        rewards=rewards[:rows],
        states=states[:rows],
        pushes=pushes[:rows],
        final_observations=final_observations,
        episode_params=episode_params,
        lengths=lengths,
        fallen=fallen,
        infos={} if policy.log_prob is None else {"action_log_probs": np.full(rows, policy.log_prob, "f4")},
    )
    return episodes_of(recording, system, key, first)


def run_batches(
    system: CartPole, policy: Policy | CompiledPolicy, seed: int, last: int | None = None
) -> Iterator[Episodes]:
    """The first ``last`` episodes of a seed, or all without end, at most ``BATCH_SIZE`` at a time, in order.

    Compiled policies run on all processors; a policy in Python has a memory of its own, so it runs alone.
    """
    key = key_from_seed(seed)
    size = BATCH_SIZE if last is None else min(BATCH_SIZE, last)
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
