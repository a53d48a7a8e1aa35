"""Is every episode worth little, and what their parts make together worth much?"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from cartpole_phys.data.checks.base import (
    CannotTell,
    Gate,
    GateFailure,
    NotApplicable,
    declared_backend,
    need,
)
from cartpole_phys.data.hdf5.blocks import Block, flagged
from cartpole_phys.data.hdf5.file import Header
from cartpole_phys.data.score import references_of, score
from cartpole_phys.data.tiers import STITCHING
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import FloatArray

HIGHEST, LOWEST = 50.0, 90.0  # scores: of a single episode, and of parts put together


class Stitching(Gate):
    """No episode scores ``HIGHEST``; put together, parts of several score ``LOWEST`` at least.

    Each of these begins in a state of the one before, so together, up to the time limit, they are an episode
    that can be: the replay gate has seen that each state follows from the one before.
    """

    name = "stitching"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        if header.metadata.get("tier") != STITCHING:
            raise NotApplicable("the file does not claim that its episodes are parts of better ones")
        try:
            self._measured = references_of(str(header.metadata.get("env_id")), None)
        except InputError as error:
            raise CannotTell(str(error)) from error
        self._limit = declared_backend(header).max_episode_steps
        self._highest, self._lowest, self._wholes = -np.inf, np.inf, 0
        self._last: tuple[FloatArray, FloatArray] | None = None  # states and rewards of the last episode
        self._earned, self._steps = 0.0, 0  # of the parts before it

    def see(self, block: Block) -> None:
        rewards, qpos, qvel = need(block, "rewards", "infos/qpos", "infos/qvel")
        shapes = [(one.dtype.kind, *one.shape) for one in (rewards, qpos, qvel)]
        if shapes != [("f", block.rows), ("f", block.rows, 2), ("f", block.rows, 2)]:
            raise CannotTell("states or rewards are not the numbers that this environment has")
        states = np.concatenate([qpos, qvel], axis=1)  # (N, 4)
        ends = np.flatnonzero(flagged(block.arrays)) + 1
        for first, end in pairwise([0, *ends]):
            self._see_episode(states[first:end], rewards[first:end].astype(np.float64))

    def verdict(self) -> str:
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
