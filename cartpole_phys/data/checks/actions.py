"""Gate ``actions``: every action lies in the action space."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box, Discrete

from cartpole_phys.data.checks.base import CannotTell, Gate, GateFailure, declared_backend, first_row, need
from cartpole_phys.data.hdf5.blocks import Block
from cartpole_phys.data.hdf5.file import Header


class Actions(Gate):
    """Every action lies in the action space."""

    name = "actions"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        self._space = declared_backend(header).action_space

    def see(self, block: Block) -> None:
        (given,) = need(block, "actions")
        if given.shape[1:] != self._space.shape:
            raise CannotTell(f"actions have the shape {given.shape[1:]}, not {self._space.shape}")
        low, high = self._ends()
        outside = ~((given >= low) & (given <= high)).reshape(len(given), -1).all(axis=1)  # (N, …) -> (N,)
        if outside.any():
            row = first_row(outside)
            raise GateFailure(f"the action of row {block.start + row} is {given[row]}, outside {self._space}")

    def verdict(self) -> str:
        return f"all in {self._space}"

    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of the action space."""
        if isinstance(self._space, Discrete):
            return np.asarray(self._space.start), np.asarray(self._space.start + self._space.n - 1)
        assert isinstance(self._space, Box)
        return self._space.low, self._space.high
