"""Stitching tier: an expert's episodes divided into low-return episodes that continue one another.

::

    the expert     ├ swings up ┤ holds the pole │ goes on holding it │ … until time is up
    episode 0      ├ swings up ┤ shoves to and fro …
    episode 1                  ├ holds the pole ┤ shoves to and fro …
    episode 2                                   ├ goes on …         ┤ shoves to and fro …

Every piece begins in the very state in which the one before was left, so the good parts, one after another,
are an episode of the expert bit for bit. A policy learned from these has to stitch them together: no episode
shows the whole task.
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

HOLDING = 5  # pieces in which the pole is held
SHOVE = 8  # steps for which full force goes one way or the other, where the expert does not act
UPRIGHT = 0.98  # cos θ above which the pole stands
COSINE = 2  # where it is in an observation
BATCH = 64  # episodes of the expert
HIGHEST, LOWEST = 50.0, 90.0  # scores: of a single episode, and of parts put together


class _Script:
    """Open-loop policy: a fixed sequence of actions."""

    def __init__(self, actions: npt.NDArray[np.float32]) -> None:
        self._actions, self._step = actions, 0  # (B, T, 1)

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        """From the first step on."""
        self._step = 0

    def act(self, observations: npt.NDArray[np.float32], rewards: FloatArray) -> ActionBatch:
        """The next actions."""
        self._step += 1
        return ActionBatch(self._actions[:, self._step - 1], {})


def pieces(system: CartPole, expert: CompiledPolicy, steps: int, seed: int) -> Episodes:
    """Exactly ``steps`` transitions of pieces of the expert's episodes; the last one is cut.

    Args:
        system: swinging up, without chance after the start.
        expert: whose episodes are taken to pieces.
        steps: how many transitions.
        seed: decides the expert's starts and what is done at random.
    """
    key, rows = key_from_seed(seed), 0
    made: list[Episodes] = []
    while rows < steps:
        first = len(made) * BATCH
        generator = np.random.Generator(np.random.Philox(key=np.array([key, first], dtype=np.uint64)))
        made.append(_taken_apart(system, run_compiled(system, expert, key, first, BATCH), key, generator))
        rows += made[-1].steps
    return concatenate(made).head(steps)


def _taken_apart(
    system: CartPole, expert: Episodes, key: np.uint64, generator: np.random.Generator
) -> Episodes:
    """The pieces of some episodes, those of each one after another."""
    steps = system.task.max_episode_steps
    firsts, lasts = _bounds(expert)
    count = len(firsts)
    shoves = generator.choice(np.array([-1.0, 1.0], np.float32), (count, -(-steps // SHOVE), 1))
    actions = shoves.repeat(SHOVE, axis=1)[:, :steps]  # (B, T, 1)
    for piece, (first, last) in enumerate(zip(firsts, lasts, strict=True)):
        actions[piece, : last - first] = expert.actions[first:last]
    (x, theta), (x_dot, theta_dot) = (expert.infos[name][firsts].T for name in ("qpos", "qvel"))
    start = Start(0.0, 0.0, np.stack([x, x_dot, theta, theta_dot]))  # (4, B)
    return run_lockstep(system, _Script(actions), key, 0, count, count, start)


def _bounds(expert: Episodes) -> tuple[IntArray, IntArray]:
    """The rows of the expert with which pieces begin, and those after their last ones, each (B,)."""
    firsts, lasts = [], []
    for begin, end in zip(expert.offsets[:-1], expert.offsets[1:], strict=True):
        fallen = np.flatnonzero(expert.observations[begin:end, COSINE] < UPRIGHT)
        stands = begin + (fallen[-1] + 1 if len(fallen) else 0)
        marks = [begin, *np.linspace(stands, end, HOLDING + 1).astype(np.int64)]
        firsts += marks[:-1]
        lasts += marks[1:]
    return np.array(firsts, np.int64), np.array(lasts, np.int64)


class StitchingGate(Gate):
    """No episode scores ``HIGHEST``; put together, parts of several score ``LOWEST`` at least.

    Each of these begins in a state of the one before, so together, up to the time limit, they are an episode
    that can be: the replay gate has seen that each state follows from the one before.
    """

    name = "stitching"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        if header.metadata.get("tier") != STITCHING.name:
            raise NotApplicable("the file does not claim that its episodes are parts of better ones")
        try:
            self._measured = references_of(str(header.metadata.get("env_id")), None)
        except InputError as error:
            raise Unverifiable(str(error)) from error
        self._limit = declared_backend(header).max_episode_steps
        self._highest, self._lowest, self._wholes = -np.inf, np.inf, 0
        self._last: tuple[FloatArray, FloatArray] | None = None  # states and rewards of the last episode
        self._earned, self._steps = 0.0, 0  # of the parts before it

    def check_rows(self, block: Block) -> None:
        rewards, qpos, qvel = require_arrays(block, "rewards", "infos/qpos", "infos/qvel")
        shapes = [(one.dtype.kind, *one.shape) for one in (rewards, qpos, qvel)]
        if shapes != [("f", block.rows), ("f", block.rows, 2), ("f", block.rows, 2)]:
            raise Unverifiable("states or rewards are not the numbers that this environment has")
        states = np.concatenate([qpos, qvel], axis=1)  # (N, 4)
        ends = np.flatnonzero(flagged(block.arrays)) + 1
        for first, end in pairwise([0, *ends]):
            self._see_episode(states[first:end], rewards[first:end].astype(np.float64))

    def finish(self) -> str:
        self._finish(at_the_end=True)
        if not self._wholes or not self._lowest >= LOWEST:
            raise GateFailure(
                f"{self._wholes:,} episodes put together from parts, the worst of which scores "
                f"{self._lowest:.1f}; expected some, and at least {LOWEST:g}"
            )
        return (
            f"no episode scores more than {self._highest:.1f}, {self._wholes:,} put together from parts at "
            f"least {self._lowest:.1f}"
        )

    def _see_episode(self, states: FloatArray, rewards: FloatArray) -> None:
        own = float(score(self._measured, rewards.sum()))
        if not own < HIGHEST:
            raise GateFailure(f"an episode scores {own:.1f}, expected all to be below {HIGHEST:g}")
        self._highest = max(self._highest, own)
        left = self._left_at(states[0])
        if left is None:
            self._finish()
        else:
            self._earned += left
        self._last = states, rewards

    def _left_at(self, state: FloatArray) -> float | None:
        """What the last episode earned before this state (4,), which it was in, unless it was not."""
        if self._last is None:
            return None
        states, rewards = self._last
        (rows,) = np.nonzero((states == state).all(axis=1))
        if not len(rows):
            return None
        self._steps += int(rows[0])
        return float(rewards[: rows[0]].sum())

    def _finish(self, at_the_end: bool = False) -> None:
        """Count the parts that go on from one another up to the last episode, if they are several."""
        if self._last is not None and self._steps:
            rest = self._last[1][: max(self._limit - self._steps, 0)]
            cut = at_the_end and self._steps + len(rest) < self._limit
            if not cut:
                whole = float(score(self._measured, self._earned + rest.sum()))
                self._lowest, self._wholes = min(self._lowest, whole), self._wholes + 1
        self._earned, self._steps = 0.0, 0


@dataclass(frozen=True, kw_only=True)
class Stitching(Tier):
    """The heuristic's expert in pieces that are worth little by themselves."""

    order = 2
    source = "stitching"

    def suits(self, backend: Backend) -> bool:
        """Whether episodes continue from any state as they did before: swinging up, nothing random."""
        system = backend.system
        if system is None or system.push_rate or system.randomize or system.noisy:
            return False
        return system.task.controller == "swing_up"

    def prepare(self, recipe: Recipe, cache: Cache, progress: Progress) -> Part:
        """The pieces; see ``Tier.prepare``."""
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
    requirement="PhysCartPoleSwingUp-v0 without pushes, noise and drawn parameters",
)
