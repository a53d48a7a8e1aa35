"""Gate ``replay``: every stored step is simulated again with the same result."""

from __future__ import annotations

from collections.abc import Mapping

from cartpole_phys.backends.base import NotReplayable, UnknownState
from cartpole_phys.data.checks.base import (
    Gate,
    GateFailure,
    NotApplicable,
    Unverifiable,
    declared_backend,
    first_row,
)
from cartpole_phys.data.hdf5.blocks import Block
from cartpole_phys.data.hdf5.file import Header
from cartpole_phys.utils.typing import Array


class Replay(Gate):
    """The stored state, action, push and parameters lead to the next state, observation, reward and flag.

    The comparison is bit for bit; sensor noise is drawn again from its stored key. The first observation of
    an episode follows from its first state, and its parameters stay constant.
    """

    name = "replay"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        self._backend = declared_backend(header)
        self._rows = 0

    def check_rows(self, block: Block) -> None:
        try:
            differences = self._differences(block)
        except UnknownState as reason:
            raise NotApplicable(f"{reason}") from reason
        except NotReplayable as reason:
            raise Unverifiable(str(reason)) from reason
        for what, wrong in differences.items():
            if wrong.any():
                row = block.start + first_row(wrong)
                raise GateFailure(f"the {what} of row {row} differs from the replay")
        self._rows += block.rows

    def _differences(self, block: Block) -> Mapping[str, Array]:
        return self._backend.differences(block.arrays)

    def finish(self) -> str:
        return f"{self._rows:,} steps replayed bit for bit"


class IndependentReplay(Replay):
    """Replay with an independent implementation: the scalar environment instead of the compiled batch."""

    def _differences(self, block: Block) -> Mapping[str, Array]:
        return self._backend.differences(block.arrays, independent=True)

    def finish(self) -> str:
        return f"{self._rows:,} steps replayed bit for bit in the scalar environment"
