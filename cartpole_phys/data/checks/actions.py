"""Gate ``actions``: every action lies in the action space."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box, Discrete

from cartpole_phys.data.checks.base import (
    Gate,
    GateFailure,
    Unverifiable,
    declared_backend,
    first_row,
    require_arrays,
)
from cartpole_phys.data.hdf5.blocks import Block
from cartpole_phys.data.hdf5.file import Header


class Actions(Gate):
    """Every action lies in the action space."""

    name = "actions"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        self._space = declared_backend(header).action_space

    def check_rows(self, block: Block) -> None:
        (actions,) = require_arrays(block, "actions")
        if actions.shape[1:] != self._space.shape:
            raise Unverifiable(f"expected actions of shape {self._space.shape}, got {actions.shape[1:]}")
        low, high = self._bounds()
        inside = ((actions >= low) & (actions <= high)).reshape(len(actions), -1).all(axis=1)  # (N,)
        if not inside.all():
            row = first_row(~inside)
            raise GateFailure(f"the action {actions[row]} of row {block.start + row} is not in {self._space}")

    def finish(self) -> str:
        return f"all in {self._space}"

    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of the action space."""
        if isinstance(self._space, Discrete):
            return np.asarray(self._space.start), np.asarray(self._space.start + self._space.n - 1)
        assert isinstance(self._space, Box)
        return self._space.low, self._space.high
