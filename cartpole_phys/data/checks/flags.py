"""Gate ``flags``: terminal and timeout flags mark the ends of episodes."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from cartpole_phys.backends.base import Backend
from cartpole_phys.data.checks.base import Gate, GateFailure, declared_backend, first_row, require_arrays
from cartpole_phys.data.hdf5.blocks import Block
from cartpole_phys.data.hdf5.file import Header
from cartpole_phys.utils.typing import Array


class Flags(Gate):
    """Flags are exclusive, the last row has one, and timeouts match the environment's time limit."""

    name = "flags"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        self._ends = self._terminals = self._timeouts = 0

    @cached_property
    def _backend(self) -> Backend:
        """The file's environment, created only where time limits are checked."""
        return declared_backend(self.header)

    def check_rows(self, block: Block) -> None:
        terminals, timeouts = require_arrays(block, "terminals", "timeouts")
        ends = np.flatnonzero(terminals | timeouts)
        if self.header.has_recipe:  # D4RL's own files may have both flags on a row, or none on the last
            both = terminals & timeouts
            if both.any():
                raise GateFailure(f"row {block.start + first_row(both)} is both terminal and timeout")
            if not len(ends) or ends[-1] != block.rows - 1:
                raise GateFailure("the last row has no flag")
        if "infos/collection_cut" in block.arrays:
            self._check_limits(block, ends, timeouts)
        self._ends += len(ends)
        self._terminals += int(terminals.sum())
        self._timeouts += int(timeouts.sum())

    def _check_limits(self, block: Block, ends: Array, timeouts: Array) -> None:
        (cuts,) = require_arrays(block, "infos/collection_cut")
        limit = self._backend.max_episode_steps
        lengths = np.diff(np.concatenate([[-1], ends]))
        starts = block.start + ends - lengths + 1
        long, early = lengths > limit, timeouts[ends] & ~cuts[ends] & (lengths < limit)
        early &= self._backend.system is not None  # other packages' environments may truncate earlier
        if long.any():
            raise GateFailure(
                f"the episode that starts at row {starts[long][0]} is longer than the limit of {limit} steps"
            )
        if early.any():
            raise GateFailure(
                f"the episode that starts at row {starts[early][0]} times out after {lengths[early][0]} of "
                f"{limit} steps"
            )
        if (cuts & ~timeouts).any():
            raise GateFailure(f"row {block.start + first_row(cuts & ~timeouts)} is a cut but not a timeout")

    def finish(self) -> str:
        if not self._ends:
            raise GateFailure("expected at least one row")
        return f"{self._ends:,} episodes, {self._terminals:,} terminal, {self._timeouts:,} timeouts"
