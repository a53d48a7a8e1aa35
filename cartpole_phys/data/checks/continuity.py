"""Gate ``continuity``: next observations equal the observations of the following rows."""

from __future__ import annotations

from cartpole_phys.backends.base import different
from cartpole_phys.data.checks.base import Gate, GateFailure, Unverifiable, first_row, require_arrays
from cartpole_phys.data.hdf5.blocks import Block, flagged
from cartpole_phys.data.hdf5.file import Header


class Continuity(Gate):
    """Inside an episode, each next observation is the following row's observation."""

    name = "continuity"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        self._inside = 0

    def check_rows(self, block: Block) -> None:
        require_arrays(block, "timeouts")
        observations, following = require_arrays(block, "observations", "next_observations")
        if observations.dtype != following.dtype or observations.shape != following.shape:
            raise Unverifiable("observations and next observations differ in type or shape")
        inside = ~flagged(block.arrays)[:-1]
        broken = inside & different(observations[1:], following[:-1])
        if broken.any():
            row = block.start + first_row(broken)
            raise GateFailure(
                f"the next observation of row {row} differs from the observation of row {row + 1}"
            )
        self._inside += int(inside.sum())

    def finish(self) -> str:
        return f"{self._inside:,} transitions inside episodes"
