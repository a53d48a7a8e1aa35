"""Closed-loop rollouts: a policy and a system in, episodes out.

Collecting data and evaluating a policy are the same thing, so both are done here. Episode number e of
seed s is the e-th episode of ``env.reset(seed=s)`` followed by plain resets: its start state, parameters,
pushes and sensor errors do not depend on how the work is batched.

Nor does the randomness of a compiled policy. A policy in Python has one generator for each batch that it
plays, so its random actions do depend on the batches. ``collect`` always runs it in batches of
``BATCH_SIZE`` episodes: its rows are the same however many are asked for. ``play`` does so from
``BATCH_SIZE`` episodes on; fewer are a single batch of just that size, so the episodes of a policy that
samples then depend on how many are played. Either gives the same again for the same arguments.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import count as count_from

import numpy as np

from cartpole_phys.episodes import Episodes, concatenate
from cartpole_phys.kernels.closed_loop import (
    LANES,
    Ends,
    Law,
    Log,
    gather_rows,
    simulate_kernel,
)
from cartpole_phys.kernels.mlp import NO_NETWORK, recorded
from cartpole_phys.kernels.policy_call import network_address
from cartpole_phys.kernels.step import Kind
from cartpole_phys.numeric.philox import key_from_seed
from cartpole_phys.rollouts.lockstep import BATCH_SIZE, Recording, episodes_of, run_lockstep
from cartpole_phys.rollouts.policy import CompiledPolicy, Policy
from cartpole_phys.system import FRICTION, CartPole
from cartpole_phys.task import BALANCE
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.parallel import processors

COMPILED_BATCH_SIZE = 512  # episodes; their log still fits the processor's outer cache

_Kind = tuple[CartPole, int, bool]  # of a log: for which system, how many episodes, under a network or not
_spare: list[tuple[_Kind, Log]] = []  # logs to write again: fresh memory would cost more than the steps


@contextmanager
def _log(system: CartPole, episodes: int, under_network: bool) -> Generator[Log, None, None]:
    """A log with room for so many episodes, which is this thread's own until the end of the block.

    It has room for a full batch at least, so that batches of all sizes share it: what is never written
    takes no memory.
    """
    kind, log = (system, max(episodes, COMPILED_BATCH_SIZE), under_network), None
    with suppress(IndexError):  # there is none, or another thread took the last
        while log is None:
            found, spare = _spare.pop()
            log = spare if found == kind else None
    log = empty_log(*kind) if log is None else log
    yield log
    _spare.append((kind, log))


def run_compiled(
    system: CartPole, policy: CompiledPolicy, key: np.uint64, first: int, count: int
) -> Episodes:
    """Episodes ``first`` to ``first + count`` under a policy that the kernel knows.

    Raises:
        InputError: if the policy is a network for other observations or actions.
    """
    policy.check_fits(system)
    ends = Ends(
        np.empty((count, system.task.observation_size), np.float32),
        np.empty((count, 8)),
        np.empty(count, np.int64),
        np.empty(count, np.bool_),
    )
    law = _law(system, policy)
    params = np.array(system.params.values)
    with _log(system, count, policy.network is not None) as log:
        simulation_of(system)(key, first, system.settings, params, law, log, ends)
        recording = _recording(system, policy, log, ends)
    return episodes_of(recording, system, key, first)


def _law(system: CartPole, policy: CompiledPolicy) -> Law:
    """What a policy does, as kernels read it."""
    network, address = NO_NETWORK, 0
    if policy.network is not None:
        network, address = policy.network, network_address()
    return Law(system.continuous, policy.rule, policy.law, policy.noise, network, address)


def _recording(system: CartPole, policy: CompiledPolicy, log: Log, ends: Ends) -> Recording:
    """The rows that a log holds, episode after episode."""
    rows, size = int(ends.lengths.sum()), system.task.observation_size
    observations, actions = np.empty((rows, size), np.float32), np.empty(rows, np.float32)
    rewards, pushes = np.empty(rows, np.float32), np.empty(rows)
    qpos, qvel = np.empty((rows, 2)), np.empty((rows, 2))
    raw, probable = recorded(policy.network)
    raw_actions = np.empty(rows if raw else 0, np.float32)
    log_probs = np.empty(rows if probable else 0, np.float32)
    gather_rows(log, ends.lengths, observations, actions, rewards, qpos, qvel, pushes, raw_actions, log_probs)
    if policy.network is None:
        log_probs = np.empty(rows, np.float32)
    return Recording(
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
        infos=policy.infos(observations, actions, raw_actions, log_probs),
    )


def compiled_batches(
    system: CartPole,
    policy: CompiledPolicy,
    key: np.uint64,
    needed: Callable[[int, int], int],
    jobs: int | None = None,
) -> Generator[Episodes, None, None]:
    """Episodes of a compiled policy, in order, from ``jobs`` threads or all processors, a batch at a time.

    ``needed`` says how many episodes it takes in all, from how many there are and their steps. It is asked
    again after each batch, and no more than it says is begun.
    """
    workers = processors() if jobs is None else jobs
    pool, running = ThreadPoolExecutor(workers), deque[Future[Episodes]]()
    begun = played = rows = 0
    try:
        while played < (wanted := needed(played, rows)):
            while begun < wanted and len(running) <= workers:
                count = min(COMPILED_BATCH_SIZE, wanted - begun)
                running.append(pool.submit(run_compiled, system, policy, key, begun, count))
                begun += count
            part = running.popleft().result()
            played, rows = played + len(part), rows + part.steps
            yield part
    finally:
        pool.shutdown(cancel_futures=True)


def _lockstep_batches(
    system: CartPole, policy: Policy, key: np.uint64, episodes: int | None
) -> Generator[Episodes, None, None]:
    """So many episodes of a Python policy, or all without end, in order, a batch at a time.

    The policy has a memory of its own, so it plays one batch after another.
    """
    size = BATCH_SIZE if episodes is None else min(BATCH_SIZE, episodes)
    for first in count_from(0, size) if episodes is None else range(0, episodes, size):
        count = size if episodes is None else min(size, episodes - first)
        yield run_lockstep(system, policy, key, first, count, size)


def episodes_for(steps: int, max_episode_steps: int, played: int, rows: int) -> int:
    """How many episodes so many steps will take, seen that the first ``played`` took ``rows``.

    At first it is the fewest that can do. Kernels have whole sets of lanes, so whole sets are asked for.
    """
    episodes = -(-steps * played // rows) if rows else -(-steps // max_episode_steps)
    return -(-episodes // LANES) * LANES


def cut(batches: Generator[Episodes, None, None], steps: int) -> Generator[Episodes, None, None]:
    """Exactly ``steps`` transitions of a stream; the last episode is marked as cut where it does not fit."""
    missing = steps
    with closing(batches):  # at once, also where an exception's traceback would keep them
        for batch in batches:
            part = batch.head(missing)
            missing -= part.steps
            yield part
            if not missing:
                return
    raise AssertionError("batches end only with enough steps")


def collect(system: CartPole, policy: Policy | CompiledPolicy, steps: int, seed: int) -> Episodes:
    """Exactly ``steps`` transitions; the last episode is cut where it does not fit and marked as cut.

    Raises:
        InputError: if ``steps`` is below 1, or the seed no integer of at least 0.
    """
    if steps < 1:
        raise InputError(f"Expected at least 1 step, got {steps}.")
    key = key_from_seed(seed)
    if isinstance(policy, CompiledPolicy):
        needed = partial(episodes_for, steps, system.task.max_episode_steps)
        return concatenate(list(cut(compiled_batches(system, policy, key, needed), steps)))
    return concatenate(list(cut(_lockstep_batches(system, policy, key, None), steps)))


def play(system: CartPole, policy: Policy | CompiledPolicy, episodes: int, seed: int) -> Episodes:
    """The first ``episodes`` episodes of a seed, in full: what an evaluation needs.

    Raises:
        InputError: if ``episodes`` is below 1, or the seed no integer of at least 0.
    """
    if episodes < 1:
        raise InputError(f"Expected at least 1 episode, got {episodes}.")
    key = key_from_seed(seed)
    if isinstance(policy, CompiledPolicy):
        return concatenate(list(compiled_batches(system, policy, key, lambda *_: episodes)))
    return concatenate(list(_lockstep_batches(system, policy, key, episodes)))


def empty_log(system: CartPole, episodes: int, under_network: bool) -> Log:
    """A log with room for any course of episodes, since no lane waits while there are episodes to play."""
    limit, size = system.task.max_episode_steps, system.task.observation_size
    plain = system.task.code == BALANCE
    steps = episodes * limit // LANES + 2 * limit
    return Log(
        np.empty((steps, 4, LANES)),
        np.empty((steps, LANES), np.float32),
        np.empty((0 if plain and not system.noisy else steps, LANES, size), np.float32),
        np.empty((0 if plain else steps, LANES), np.float32),
        np.empty((steps if system.push_rate else 0, LANES)),
        np.empty((steps if under_network else 0, LANES), np.float32),
        np.empty((steps if under_network else 0, LANES), np.float32),
        np.empty(episodes, np.int64),
        np.empty(episodes, np.int64),
    )


def simulation_of(system: CartPole) -> Callable[..., None]:
    """The kernel that runs episodes of a system."""
    friction = system.randomizes(FRICTION) or system.params.cart_friction > 0.0
    return simulate_kernel(system.integrator, Kind(not system.randomize, friction))
