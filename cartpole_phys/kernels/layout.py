"""How kernels see environments: a column of 8-byte numbers for each, and settings that all share.

One array of shape (ROWS, n) holds everything that decides how n environments go on, so that a snapshot is
a copy of it, and a compiled call takes one argument for it. A row is contiguous over the environments, so
that loops over them can be vectorised.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cartpole_phys.numeric.compiled import inlined
from cartpole_phys.physics import ParamValues
from cartpole_phys.utils.typing import FloatArray

X, X_DOT, THETA, THETA_DOT = range(4)  # m, m/s, rad, rad/s
ACTION = 4  # of the last step, as a share of the full force in [−1, 1]
PUSH = 5  # N, of the last step
KEY = 6  # uint64, of all randomness inside the steps
EPISODE = 7  # int64, counted from 0 since the key was drawn
ELAPSED = 8  # int64, steps of the episode so far
DONE = 9  # int64, 1 where the episode is over
PARAMS = 10  # and the 7 rows after it: ``physics.Params`` in field order
FORCE_MAG = PARAMS + 4
CART_FRICTION = PARAMS + 6
ROWS = PARAMS + 8

LARGEST_INTEGER = int(np.iinfo(np.int64).max)  # that settings hold
_SETTINGS = np.dtype(
    [
        ("task", np.int64),
        ("integrator", np.int64),
        ("substeps", np.int64),
        ("max_episode_steps", np.int64),
        ("start_angle", np.float64),  # rad
        ("x_threshold", np.float64),  # m
        ("theta_threshold", np.float64),  # rad
        ("push_probability", np.float64),  # of a push during one time step
        ("push_size", np.float64),  # N, the largest
        ("noisy", np.int64),  # 1 where sensors err
        ("noise", np.float64, (4,)),  # half-widths of the errors of x, ẋ, θ, θ̇ in their units
        ("randomized", np.int64),  # 1 where parameters are drawn for each episode
        ("lowest", np.float64, (8,)),  # of the parameters that are drawn, NaN for the others
        ("highest", np.float64, (8,)),
    ],
    align=True,
)
SETTINGS = np.dtype((np.record, _SETTINGS))  # whose fields are attributes also where kernels run as Python
Settings = npt.NDArray[np.void]  # of shape (1,) and type SETTINGS
ParamRows = tuple[
    FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray
]


@inlined
def key_of(memory: FloatArray, i: int) -> np.uint64:
    """The key of column ``i``; a view as uint64 would be one more to compile."""
    return np.uint64(memory.view(np.int64)[KEY, i])


@inlined
def params_of(memory: FloatArray, i: int) -> ParamValues:
    """The physical parameters of column ``i``."""
    return (
        memory[PARAMS, i],
        memory[PARAMS + 1, i],
        memory[PARAMS + 2, i],
        memory[PARAMS + 3, i],
        memory[PARAMS + 4, i],
        memory[PARAMS + 5, i],
        memory[PARAMS + 6, i],
        memory[PARAMS + 7, i],
    )


@inlined
def param_rows(memory: FloatArray, first: int, last: int) -> ParamRows:
    """The rows of the physical parameters from column ``first`` to ``last``.

    Loops over columns are vectorized where they index such rows from 0 on: an index into the memory itself
    might be negative and count from the end.
    """
    return (
        memory[PARAMS, first:last],
        memory[PARAMS + 1, first:last],
        memory[PARAMS + 2, first:last],
        memory[PARAMS + 3, first:last],
        memory[PARAMS + 4, first:last],
        memory[PARAMS + 5, first:last],
        memory[PARAMS + 6, first:last],
        memory[PARAMS + 7, first:last],
    )
