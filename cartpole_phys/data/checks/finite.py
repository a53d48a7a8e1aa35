"""Gate ``finite``: no array contains NaN or Inf."""

from __future__ import annotations

import numpy as np

from cartpole_phys.data.checks.base import Gate, GateFailure, first_row
from cartpole_phys.data.hdf5.blocks import Block


class Finite(Gate):
    """No array contains NaN or Inf."""

    name = "finite"

    def check_rows(self, block: Block) -> None:
        for name, array in block.arrays.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)  # (N, …) -> (N,)
                raise GateFailure(f"row {block.start + first_row(bad)} of {name} contains NaN or Inf")

    def finish(self) -> str:
        return "no NaN or Inf"
