"""Gate ``replay``: simulated again, every stored step gives the same result."""

from __future__ import annotations

from collections.abc import Mapping

from cartpole_phys.backends.base import NotReplayable, UnknownState
from cartpole_phys.data.checks.base import (
    CannotTell,
    Gate,
    GateFailure,
    NotApplicable,
    declared_backend,
    first_row,
)
from cartpole_phys.data.hdf5.blocks import Block
from cartpole_phys.data.hdf5.file import Header
from cartpole_phys.utils.typing import Array


class Replay(Gate):
    """Stored state, action, push and parameters give the next state, observation, reward and flag.

    Verified bit for bit; sensor noise is drawn again from its stored key. The first observation of an episode
    follows from its first state, and its parameters stay constant.
    """

    name = "replay"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        self._backend = declared_backend(header)
        self._rows = 0

    def see(self, block: Block) -> None:
        try:
            differences = self._differences(block)
        except UnknownState as reason:
            raise NotApplicable(f"{reason}") from reason
        except NotReplayable as reason:
            raise CannotTell(str(reason)) from reason
        for what, wrong in differences.items():
            if wrong.any():
                row = block.start + first_row(wrong)
                raise GateFailure(f"the {what} of row {row} is not what the physics gives")
        self._rows += block.rows

    def _differences(self, block: Block) -> Mapping[str, Array]:
        return self._backend.differences(block.arrays)

    def verdict(self) -> str:
        return f"{self._rows:,} steps replayed bit for bit"


class IndependentReplay(Replay):
    """Replay with an independent implementation: the scalar environment instead of the compiled batch."""

    def _differences(self, block: Block) -> Mapping[str, Array]:
        return self._backend.differences(block.arrays, independent=True)

    def verdict(self) -> str:
        return f"{self._rows:,} steps replayed bit for bit in the scalar environment"
