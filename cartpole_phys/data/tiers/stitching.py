"""Stitching tier: an expert's episodes divided into pieces, each continued with random actions.

::

    expert         ├ swing-up ┤ balancing │ balancing │ … time limit
    episode 0      ├ swing-up ┤ random actions …
    episode 1                 ├ balancing ┤ random actions …
    episode 2                             ├ balancing ┤ random actions …

Each piece starts in the state in which the expert part of the previous piece ends, so the concatenated expert
parts equal the expert's episode bit for bit. No single episode solves the task: a policy that is learned from
them has to stitch trajectories.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cartpole_phys.arguments import Start
from cartpole_phys.backends.base import Backend
from cartpole_phys.data.checks.base import (
    Gate,
    GateFailure,
    NotApplicable,
    Unverifiable,
    declared_backend,
    require_arrays,
)
from cartpole_phys.data.hdf5.blocks import Block, flagged
from cartpole_phys.data.hdf5.file import Header
from cartpole_phys.data.score import references_of, score
from cartpole_phys.data.tiers.base import Part, Tier
from cartpole_phys.data.tiers.single import EXPERT
from cartpole_phys.episodes import Episodes, concatenate
from cartpole_phys.numeric.philox import key_from_seed
from cartpole_phys.policies.behavior import HEURISTIC
from cartpole_phys.policies.training.cache import Cache
from cartpole_phys.rollouts.collect import run_compiled
from cartpole_phys.rollouts.lockstep import run_lockstep
from cartpole_phys.rollouts.policy import ActionBatch, CompiledPolicy
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from cartpole_phys.data.recipe import Recipe
    from cartpole_phys.utils.progress import Progress

BALANCING_PIECES = 5  # of each expert episode, after the swing-up
ACTION_REPEAT = 8  # steps of each random action
UPRIGHT = 0.98  # cos θ above which the pole is upright
COSINE = 2  # index of cos θ in an observation
BATCH = 64  # episodes of the expert
MAX_EPISODE_SCORE, MIN_STITCHED_SCORE = 50.0, 90.0  # of a single episode, and of stitched expert parts


class _OpenLoop:
    """Open-loop policy: a fixed sequence of actions."""

    def __init__(self, actions: npt.NDArray[np.float32]) -> None:
        self._actions, self._step = actions, 0  # (B, T, 1)

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        """Start with the first actions."""
        self._step = 0

    def act(self, observations: npt.NDArray[np.float32], rewards: FloatArray) -> ActionBatch:
        """The next actions."""
        self._step += 1
        return ActionBatch(self._actions[:, self._step - 1], {})


def pieces(system: CartPole, expert: CompiledPolicy, steps: int, seed: int) -> Episodes:
    """Exactly ``steps`` transitions of pieces of the expert's episodes; the last one is cut.

    Args:
        system: a swing-up task that is deterministic after the start.
        expert: policy whose episodes are divided.
        steps: number of transitions.
        seed: random seed of the expert's start states and of the random actions.
    """
    key, rows = key_from_seed(seed), 0
    batches: list[Episodes] = []
    while rows < steps:
        first = len(batches) * BATCH
        generator = np.random.Generator(np.random.Philox(key=np.array([key, first], dtype=np.uint64)))
        batches.append(_divided(system, run_compiled(system, expert, key, first, BATCH), key, generator))
        rows += batches[-1].steps
    return concatenate(batches).head(steps)


def _divided(system: CartPole, expert: Episodes, key: np.uint64, generator: np.random.Generator) -> Episodes:
    """The pieces of the expert's episodes, in order."""
    steps = system.task.max_episode_steps
    firsts, ends = _bounds(expert)
    count = len(firsts)
    forces = generator.choice(np.array([-1.0, 1.0], np.float32), (count, -(-steps // ACTION_REPEAT), 1))
    actions = forces.repeat(ACTION_REPEAT, axis=1)[:, :steps]  # (B, T, 1)
    for piece, (first, end) in enumerate(zip(firsts, ends, strict=True)):
        actions[piece, : end - first] = expert.actions[first:end]
    (x, theta), (x_dot, theta_dot) = (expert.infos[name][firsts].T for name in ("qpos", "qvel"))
    start = Start(0.0, 0.0, np.stack([x, x_dot, theta, theta_dot]))  # (4, B)
    return run_lockstep(system, _OpenLoop(actions), key, 0, count, count, start)


def _bounds(expert: Episodes) -> tuple[IntArray, IntArray]:
    """First rows of the pieces in the expert's episodes, and the rows after their last ones, each (B,)."""
    firsts, ends = [], []
    for start, end in pairwise(expert.offsets):
        tilted = np.flatnonzero(expert.observations[start:end, COSINE] < UPRIGHT)
        upright = start + (tilted[-1] + 1 if len(tilted) else 0)
        bounds = [start, *np.linspace(upright, end, BALANCING_PIECES + 1).astype(np.int64)]
        firsts += bounds[:-1]
        ends += bounds[1:]
    return np.array(firsts, np.int64), np.array(ends, np.int64)


class StitchingGate(Gate):
    """Episodes score below ``MAX_EPISODE_SCORE``, stitched episodes at least ``MIN_STITCHED_SCORE``.

    A stitched episode is the concatenation of the first parts of consecutive episodes, each of which starts
    in a state of the previous one, up to the time limit. It is physically possible, since the gate ``replay``
    verifies that each state follows from the previous one.
    """

    name = "stitching"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        if header.metadata.get("tier") != STITCHING.name:
            raise NotApplicable(f"the tier of the file is not {STITCHING.name}")
        try:
            self._references = references_of(str(header.metadata.get("env_id")), None)
        except InputError as error:
            raise Unverifiable(str(error)) from error
        self._limit = declared_backend(header).max_episode_steps
        self._highest, self._lowest, self._stitched = -np.inf, np.inf, 0
        self._previous: tuple[FloatArray, FloatArray] | None = None  # states and rewards of an episode
        self._return, self._steps = 0.0, 0  # of the parts before it

    def check_rows(self, block: Block) -> None:
        rewards, qpos, qvel = require_arrays(block, "rewards", "infos/qpos", "infos/qvel")
        shapes = [(array.dtype.kind, *array.shape) for array in (rewards, qpos, qvel)]
        if shapes != [("f", block.rows), ("f", block.rows, 2), ("f", block.rows, 2)]:
            raise Unverifiable("expected floats in rewards (N,), infos/qpos (N, 2) and infos/qvel (N, 2)")
        states = np.concatenate([qpos, qvel], axis=1)  # (N, 4)
        ends = np.flatnonzero(flagged(block.arrays)) + 1
        for first, end in pairwise([0, *ends]):
            self._check_episode(states[first:end], rewards[first:end].astype(np.float64))

    def finish(self) -> str:
        self._end_stitched(last=True)
        if not self._stitched or not self._lowest >= MIN_STITCHED_SCORE:
            raise GateFailure(
                f"expected stitched episodes that score at least {MIN_STITCHED_SCORE:g}, got "
                f"{self._stitched:,}, the worst of which scores {self._lowest:.1f}"
            )
        return (
            f"no episode scores more than {self._highest:.1f}, {self._stitched:,} stitched episodes at least "
            f"{self._lowest:.1f}"
        )

    def _check_episode(self, states: FloatArray, rewards: FloatArray) -> None:
        episode_score = float(score(self._references, rewards.sum()))
        if not episode_score < MAX_EPISODE_SCORE:
            raise GateFailure(
                f"expected every episode to score below {MAX_EPISODE_SCORE:g}, got {episode_score:.1f}"
            )
        self._highest = max(self._highest, episode_score)
        if not self._extend(states[0]):
            self._end_stitched()
        self._previous = states, rewards

    def _extend(self, state: FloatArray) -> bool:
        """Extend the stitched episode by the previous episode up to a state (4,), if the state is in it."""
        if self._previous is None:
            return False
        states, rewards = self._previous
        (rows,) = np.nonzero((states == state).all(axis=1))
        if not len(rows):
            return False
        self._return += float(rewards[: rows[0]].sum())
        self._steps += int(rows[0])
        return True

    def _end_stitched(self, last: bool = False) -> None:
        """Complete the stitched episode with the previous one, unless collection cut it; start a new one."""
        if self._previous is not None and self._steps:
            rest = self._previous[1][: max(self._limit - self._steps, 0)]
            cut = last and self._steps + len(rest) < self._limit
            if not cut:
                stitched = float(score(self._references, self._return + rest.sum()))
                self._lowest, self._stitched = min(self._lowest, stitched), self._stitched + 1
        self._return, self._steps = 0.0, 0


@dataclass(frozen=True, kw_only=True)
class Stitching(Tier):
    """Pieces of the expert heuristic's episodes, each with a low return."""

    order = 2
    source = "stitching"

    def supports(self, backend: Backend) -> bool:
        """Whether an environment is a swing-up that is deterministic after the start."""
        system = backend.system
        if system is None or system.push_rate or system.randomize or system.noisy:
            return False
        return system.task.controller == "swing_up"

    def prepare(self, recipe: Recipe, cache: Cache, progress: Progress) -> Part:
        """Calibrate the expert, and divide its episodes; see ``Tier.prepare``."""
        expert, system = super().prepare(recipe, cache, progress).behavior, recipe.backend.system
        assert system is not None
        assert recipe.steps is not None
        recording = pieces(system, expert.policy, recipe.steps, recipe.derived_seed("collection"))
        return Part(recipe, expert, recording)


STITCHING = Stitching(
    name="stitching",
    policies=(HEURISTIC,),
    target=EXPERT.target,
    released=False,
    gate=StitchingGate,
    requirement="PhysCartPoleSwingUp-v0 without pushes, noise and randomized parameters",
)
