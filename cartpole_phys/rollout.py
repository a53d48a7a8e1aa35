"""Closed-loop rollouts: a policy and a system in, episodes out.

Collecting data and evaluating a policy are the same thing, so both are done here. Episode number e of
seed s has the same start state and the same policy randomness however the work is batched: it is the
e-th episode of ``env.reset(seed=s)`` followed by plain resets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from cartpole_phys.compiled import inlined, kernel
from cartpole_phys.episodes import Episodes, concatenate
from cartpole_phys.errors import InputError
from cartpole_phys.integrators import advance
from cartpole_phys.physics import unpack
from cartpole_phys.random_stream import ACTION, key_from_seed, uniforms
from cartpole_phys.simulator import CartPole, FloatArray, observe
from cartpole_phys.task import REWARD, START_BOUND, has_fallen, push_force, start_state

Array = npt.NDArray[Any]

BATCH_SIZE = 256  # episodes in lockstep; fixed, because a matrix product's bits depend on its shape

UNIFORM = 0  # any action with equal probability
PROPORTIONAL = 1  # u = gains · observation: as a force, or by its sign
BERNOULLI = 2  # discrete: to the right with probability clip(½ + ½ u, 0, 1)


class ActionBatch(NamedTuple):
    """Actions of n environments, and what else is to be recorded with them."""

    actions: Array  # (n, act) float32 or (n,) int64
    infos: dict[str, Array]  # each (n, …), for example the log-probabilities of the actions


class Policy(Protocol):
    """Chooses actions for a batch of episodes that run in lockstep from their first step on."""

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        """Forget all earlier episodes; draw whatever is random from ``generator``."""
        ...

    def act(self, observations: npt.NDArray[np.float32], rewards: FloatArray) -> ActionBatch:
        """Actions for observations (n, obs), after the rewards (n,) of the previous step (0 at first)."""
        ...


@dataclass(frozen=True)
class CompiledPolicy:
    """A policy that the rollout kernel runs itself, without a call to Python."""

    rule: int  # UNIFORM, PROPORTIONAL or BERNOULLI
    gains: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)  # on x, ẋ, θ, θ̇; dimensionless output
    log_prob: float | None = None  # of every action, where it is the same for all


@inlined
def choose(
    rule: int, continuous: bool, gains: FloatArray, state: tuple[float, float, float, float], random: float
) -> float:
    """The action of a compiled policy: in [−1, 1], or 0 or 1; ``random`` is uniform on (0, 1)."""
    if rule == UNIFORM:
        return 2.0 * random - 1.0 if continuous else (1.0 if random >= 0.5 else 0.0)
    u = 0.0
    for i in range(4):
        u += gains[i] * np.float64(np.float32(state[i]))
    if continuous:
        return min(max(u, -1.0), 1.0)
    if rule == PROPORTIONAL:
        return 1.0 if u > 0.0 else 0.0
    return 1.0 if random < 0.5 + 0.5 * u else 0.0


@kernel
def simulate_episodes(
    key: np.uint64,
    first_episode: int,
    max_episode_steps: int,
    params: FloatArray,
    thresholds: FloatArray,
    integrator: int,
    substeps: int,
    continuous: bool,
    rule: int,
    gains: FloatArray,
    push_probability: float,
    push_size: float,
    start_bound: float,
    states: FloatArray,
    actions: npt.NDArray[np.float32],
    pushes: FloatArray,
    final_states: FloatArray,
    lengths: npt.NDArray[np.int64],
    fallen: npt.NDArray[np.bool_],
) -> None:
    """Run ``len(lengths)`` episodes, one after another, and write their rows (states before each step)."""
    constants = unpack(params, substeps)
    force_mag = params[4]
    row = 0
    for e in range(len(lengths)):
        episode = first_episode + e
        x, x_dot, theta, theta_dot = start_state(key, episode, -start_bound, start_bound)
        fell = False
        step = 0
        while step < max_episode_steps and not fell:
            random = uniforms(key, episode, step, ACTION)[0] if rule != PROPORTIONAL else 0.0
            action = np.float32(choose(rule, continuous, gains, (x, x_dot, theta, theta_dot), random))
            states[row, 0], states[row, 1], states[row, 2], states[row, 3] = x, x_dot, theta, theta_dot
            actions[row] = action
            pushes[row] = 0.0
            if push_probability > 0.0:
                pushes[row] = push_force(key, episode, step, push_probability, push_size)
            force = np.float64(action) * force_mag if continuous else (2.0 * action - 1.0) * force_mag
            force += pushes[row]
            x, x_dot, theta, theta_dot = advance(
                x, x_dot, theta, theta_dot, force, constants, integrator, substeps
            )
            fell = has_fallen(x, theta, thresholds[0], thresholds[1])
            row += 1
            step += 1
        final_states[e, 0], final_states[e, 1], final_states[e, 2], final_states[e, 3] = (
            x,
            x_dot,
            theta,
            theta_dot,
        )
        lengths[e], fallen[e] = step, fell


def _assemble(
    states: FloatArray,
    actions: Array,
    pushes: FloatArray,
    final_states: FloatArray,
    lengths: npt.NDArray[np.int64],
    fallen: npt.NDArray[np.bool_],
    infos: dict[str, Array],
) -> Episodes:
    """Episodes from rows of states (N, 4), actions, pushes (N,), and what each episode ended with."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    rows = len(states)
    terminations, truncations = np.zeros(rows, dtype=np.bool_), np.zeros(rows, dtype=np.bool_)
    terminations[offsets[1:] - 1] = fallen
    truncations[offsets[1:] - 1] = ~fallen
    return Episodes(
        observations=states.astype(np.float32),
        actions=actions,
        rewards=np.full(rows, REWARD, dtype=np.float32),
        terminations=terminations,
        truncations=truncations,
        final_observations=final_states.astype(np.float32),
        offsets=offsets,
        infos={
            "qpos": states[:, [0, 2]],  # (N, 4) -> (N, 2): x, θ
            "qvel": states[:, [1, 3]],  # (N, 4) -> (N, 2): ẋ, θ̇
            "push": pushes,
            "collection_cut": np.zeros(rows, dtype=np.bool_),
            **infos,
        },
    )


def run_compiled(
    system: CartPole, policy: CompiledPolicy, key: np.uint64, first: int, count: int
) -> Episodes:
    """Episodes ``first`` to ``first + count`` under a policy that the kernel knows."""
    capacity = count * system.task.max_episode_steps
    states, pushes = np.empty((capacity, 4)), np.empty(capacity)
    actions = np.empty(capacity, dtype=np.float32)
    final_states, lengths, fallen = (
        np.empty((count, 4)),
        np.empty(count, dtype=np.int64),
        np.empty(count, np.bool_),
    )
    simulate_episodes(
        key,
        first,
        system.task.max_episode_steps,
        system.params_array,
        system.thresholds,
        system.integrator_code,
        system.substeps,
        system.continuous,
        policy.rule,
        np.array(policy.gains),
        system.push_probability,
        float(system.push_size),
        START_BOUND,
        states,
        actions,
        pushes,
        final_states,
        lengths,
        fallen,
    )
    rows = int(lengths.sum())
    chosen = actions[:rows, None] if system.continuous else actions[:rows].astype(np.int64)  # (N,) -> (N, 1)
    infos = {}
    if policy.log_prob is not None:
        infos["action_log_probs"] = np.full(rows, policy.log_prob, dtype=np.float32)
    return _assemble(states[:rows], chosen, pushes[:rows], final_states, lengths, fallen, infos)


class _Recorder:
    """What happened to a batch of episodes in lockstep, put into episode order at the end."""

    def __init__(self, batch_size: int) -> None:
        self.states: list[FloatArray] = []  # each (B, 4)
        self.actions: list[Array] = []
        self.pushes: list[FloatArray] = []
        self.infos: dict[str, list[Array]] = {}
        self.lengths = np.zeros(batch_size, dtype=np.int64)
        self.fallen = np.zeros(batch_size, dtype=np.bool_)
        self.final_states = np.zeros((batch_size, 4))

    def add(self, states: FloatArray, batch: ActionBatch, pushes: FloatArray) -> None:
        """Keep the states (4, B) before a step, and the actions and pushes that act during it."""
        self.states.append(states.T.copy())  # (4, B) -> (B, 4)
        self.actions.append(batch.actions)
        self.pushes.append(pushes)
        for name, values in batch.infos.items():
            self.infos.setdefault(name, []).append(values)

    def end(self, ended: npt.NDArray[np.bool_], fallen: npt.NDArray[np.bool_], states: FloatArray) -> None:
        """Note that the episodes in ``ended`` are over with the states (4, B)."""
        self.lengths[ended] = len(self.states)
        self.fallen[ended] = fallen[ended]
        self.final_states[ended] = states.T[ended]

    def episodes(self, count: int) -> Episodes:
        """The first ``count`` episodes of the batch."""
        played = np.arange(len(self.states))[None, :] < self.lengths[:count, None]  # (count, T)

        def rows(steps: list[Array]) -> Array:
            return np.stack(steps, axis=1)[:count][played]  # T × (B, …) -> (B, T, …) -> (N, …)

        infos = {name: rows(steps) for name, steps in self.infos.items()}
        return _assemble(
            rows(self.states),
            rows(self.actions),
            rows(self.pushes),
            self.final_states[:count],
            self.lengths[:count],
            self.fallen[:count],
            infos,
        )


def run_lockstep(
    system: CartPole, policy: Policy, key: np.uint64, first: int, count: int, batch_size: int = BATCH_SIZE
) -> Episodes:
    """Episodes ``first`` to ``first + count`` under a Python policy, in a batch padded to ``batch_size``."""
    states, rewards = np.empty((4, batch_size)), np.zeros(batch_size)
    numbers = np.arange(first, first + batch_size, dtype=np.int64)
    keys = np.full(batch_size, key, dtype=np.uint64)
    system.start(states, keys, numbers)
    policy.begin(
        batch_size, np.random.Generator(np.random.Philox(key=np.array([key, first], dtype=np.uint64)))
    )
    recorder = _Recorder(batch_size)
    running = numbers < first + count
    for step in range(1, system.task.max_episode_steps + 1):
        chosen = policy.act(observe(states), rewards)
        actions = system.check_actions(chosen.actions, batch_size)
        pushes = system.pushes(keys, numbers, np.full(batch_size, step - 1))
        recorder.add(states, ActionBatch(actions, chosen.infos), pushes)
        fallen = system.step(states, system.forces(actions) + pushes)
        rewards = np.full(batch_size, REWARD)
        ended = running & (fallen | (step == system.task.max_episode_steps))
        recorder.end(ended, fallen, states)
        running &= ~ended
        if not running.any():
            break
    return recorder.episodes(count)


def run_batches(system: CartPole, policy: Policy | CompiledPolicy, seed: int) -> Iterator[Episodes]:
    """All episodes of a seed, without end, ``BATCH_SIZE`` at a time."""
    key, first = key_from_seed(seed), 0
    while True:
        if isinstance(policy, CompiledPolicy):
            yield run_compiled(system, policy, key, first, BATCH_SIZE)
        else:
            yield run_lockstep(system, policy, key, first, BATCH_SIZE)
        first += BATCH_SIZE


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
    key = key_from_seed(seed)
    if isinstance(policy, CompiledPolicy):
        return run_compiled(system, policy, key, 0, episodes)
    size = min(BATCH_SIZE, episodes)
    counts = [min(size, episodes - first) for first in range(0, episodes, size)]
    return concatenate(
        [run_lockstep(system, policy, key, i * size, count, size) for i, count in enumerate(counts)]
    )
