"""Compiled validation of actions: all are stored, or none is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cartpole_phys.kernels import layout as m
from cartpole_phys.numeric.compiled import kernel
from cartpole_phys.utils.typing import FloatArray, IntArray


@kernel
def set_continuous_actions(memory: FloatArray, actions: npt.NDArray[np.float32]) -> bool:
    """Store actions (n, 1), clipped; return False and store nothing if any is not finite."""
    good = True
    for i in range(len(actions)):
        good &= actions[i, 0] - actions[i, 0] == 0.0  # neither NaN nor infinite
    if good:
        for i in range(len(actions)):
            share = actions[i, 0]
            memory[m.ACTION, i] = -1.0 if share < -1.0 else (1.0 if share > 1.0 else share)
    return good


@kernel
def set_discrete_actions(memory: FloatArray, actions: IntArray) -> bool:
    """Store actions (n,) of 0 and 1 as normalized −1 and 1; return False and store nothing on any other."""
    good = True
    for i in range(len(actions)):
        good &= (actions[i] == 0) | (actions[i] == 1)
    if good:
        for i in range(len(actions)):
            memory[m.ACTION, i] = 1.0 if actions[i] == 1 else -1.0
    return good
