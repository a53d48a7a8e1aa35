"""Closed-loop rollouts of a policy in a system: ``collect`` for a number of steps, ``play`` for episodes.

Episode number e of seed s is the e-th episode of ``env.reset(seed=s)`` followed by resets without a seed: its
start state, parameters, pushes and observation noise do not depend on batching.

Neither does the randomness of a compiled policy. A Python policy has one generator per batch, so its random
actions depend on the batches. ``collect`` always runs it in batches of ``BATCH_SIZE`` episodes, so that its
rows do not depend on the number of steps. ``play`` does the same for at least ``BATCH_SIZE`` episodes; fewer
are a single batch of exactly that size, so the episodes of a stochastic policy then depend on their number.
Both are reproducible for equal arguments.
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
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.parallel import processors

COMPILED_BATCH_SIZE = 512  # episodes; their log fits the L3 cache

_Kind = tuple[CartPole, int, bool]  # of a log: system, number of episodes, whether the policy is a network
_spare: list[tuple[_Kind, Log]] = []  # logs for reuse: allocating memory would cost more than the steps


@contextmanager
def _log(system: CartPole, episodes: int, under_network: bool) -> Generator[Log, None, None]:
    """A log for this many episodes, used exclusively by this thread until the end of the block.

    It has room for at least a full batch, so that batches of all sizes can reuse it: memory that is never
    written is not allocated.
    """
    kind, log = (system, max(episodes, COMPILED_BATCH_SIZE), under_network), None
    with suppress(IndexError):  # there is no spare log, or another thread took the last one
        while log is None:
            found, spare = _spare.pop()
            log = spare if found == kind else None
    log = empty_log(*kind) if log is None else log
    yield log
    _spare.append((kind, log))


def run_compiled(
    system: CartPole, policy: CompiledPolicy, key: np.uint64, first: int, count: int
) -> Episodes:
    """Play episodes ``first`` to ``first + count`` under a compiled policy.

    Raises:
        InputError: if the policy is a network for other observations or actions.
    """
    policy.check_compatible(system)
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
    """A compiled policy in the kernels' format."""
    network, address = NO_NETWORK, 0
    if policy.network is not None:
        network, address = policy.network, network_address()
    return Law(system.continuous, policy.rule, policy.law, policy.noise, network, address)


def _recording(system: CartPole, policy: CompiledPolicy, log: Log, ends: Ends) -> Recording:
    """The rows of a log, in episode order."""
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
        terminated=ends.terminated,
        infos=policy.infos(observations, actions, raw_actions, log_probs),
    )


def compiled_batches(
    system: CartPole,
    policy: CompiledPolicy,
    key: np.uint64,
    needed: Callable[[int, int], int],
    jobs: int | None = None,
) -> Generator[Episodes, None, None]:
    """Episodes of a compiled policy, in order, batch by batch, from ``jobs`` threads or all processors.

    ``needed`` returns the total number of episodes to play, given the number and the steps of those played so
    far. It is called again after each batch, and no further batch is started than it requires.
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
    """Episodes of a Python policy, in order, batch by batch; without end if ``episodes`` is None.

    Batches run sequentially, because the policy may be stateful.
    """
    size = BATCH_SIZE if episodes is None else min(BATCH_SIZE, episodes)
    for first in count_from(0, size) if episodes is None else range(0, episodes, size):
        count = size if episodes is None else min(size, episodes - first)
        yield run_lockstep(system, policy, key, first, count, size)


def episodes_for(steps: int, max_episode_steps: int, played: int, rows: int) -> int:
    """Estimate the number of episodes for ``steps`` steps, given that the first ``played`` took ``rows``.

    The first estimate is the minimum. It is rounded up to a multiple of LANES, so that no lane idles.
    """
    episodes = -(-steps * played // rows) if rows else -(-steps // max_episode_steps)
    return -(-episodes // LANES) * LANES


def cut(batches: Generator[Episodes, None, None], steps: int) -> Generator[Episodes, None, None]:
    """Exactly ``steps`` transitions of a stream; an episode that does not fit is cut and marked as cut."""
    missing = steps
    with closing(batches):  # closes at once, even if an exception's traceback keeps a reference
        for batch in batches:
            part = batch.head(missing)
            missing -= part.steps
            yield part
            if not missing:
                return
    raise AssertionError("batches end only with enough steps")


def collect(system: CartPole, policy: Policy | CompiledPolicy, steps: int, seed: int) -> Episodes:
    """Collect exactly ``steps`` transitions; a last episode that does not fit is cut and marked as cut.

    Raises:
        InputError: if ``steps`` is below 1, or the seed is not an integer of at least 0.
    """
    if steps < 1:
        raise InputError(f"Expected at least 1 step, got {steps}.")
    key = key_from_seed(seed)
    if isinstance(policy, CompiledPolicy):
        needed = partial(episodes_for, steps, system.task.max_episode_steps)
        return concatenate(list(cut(compiled_batches(system, policy, key, needed), steps)))
    return concatenate(list(cut(_lockstep_batches(system, policy, key, None), steps)))


def play(system: CartPole, policy: Policy | CompiledPolicy, episodes: int, seed: int) -> Episodes:
    """Play the first ``episodes`` episodes of a seed to their ends, as for an evaluation.

    Raises:
        InputError: if ``episodes`` is below 1, or the seed is not an integer of at least 0.
    """
    if episodes < 1:
        raise InputError(f"Expected at least 1 episode, got {episodes}.")
    key = key_from_seed(seed)
    if isinstance(policy, CompiledPolicy):
        return concatenate(list(compiled_batches(system, policy, key, lambda *_: episodes)))
    return concatenate(list(_lockstep_batches(system, policy, key, episodes)))


def empty_log(system: CartPole, episodes: int, under_network: bool) -> Log:
    """Allocate a log that is large enough for any episode lengths: no lane idles before the last episode."""
    task = system.task
    limit, size = task.max_episode_steps, task.observation_size
    steps = episodes * limit // LANES + 2 * limit
    return Log(
        np.empty((steps, 4, LANES)),
        np.empty((steps, LANES), np.float32),
        np.empty((0 if system.observes_state else steps, LANES, size), np.float32),
        np.empty((0 if task.counts_steps else steps, LANES), np.float32),
        np.empty((steps if system.push_rate else 0, LANES)),
        np.empty((steps if under_network else 0, LANES), np.float32),
        np.empty((steps if under_network else 0, LANES), np.float32),
        np.empty(episodes, np.int64),
        np.empty(episodes, np.int64),
    )


def simulation_of(system: CartPole) -> Callable[..., None]:
    """The kernel that runs closed-loop episodes of a system."""
    friction = system.randomizes(FRICTION) or system.params.cart_friction > 0.0
    task = system.task
    plain = system.plain and not task.observes_state  # plain code for states made rollouts a fifth slower
    kind = Kind(not system.randomize, friction, task.reward, task.observation, plain)
    return simulate_kernel(system.integrator, kind)
