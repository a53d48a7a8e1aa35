"""The compiled check of actions: all are good and kept, or none is kept."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cartpole_phys.kernels import layout as m
from cartpole_phys.numeric.compiled import kernel
from cartpole_phys.utils.typing import FloatArray, IntArray


@kernel
def set_continuous_actions(memory: FloatArray, actions: npt.NDArray[np.float32]) -> bool:
    """Keep actions (n, 1), clipped; False, and nothing kept, if one is not finite."""
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
    """Keep actions (n,) of 0 and 1 as shares −1 and 1; False, and nothing kept, if there is another."""
    good = True
    for i in range(len(actions)):
        good &= (actions[i] == 0) | (actions[i] == 1)
    if good:
        for i in range(len(actions)):
            memory[m.ACTION, i] = 1.0 if actions[i] == 1 else -1.0
    return good
