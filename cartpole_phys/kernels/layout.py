"""Memory layout of environments in kernels: one column of 8-byte numbers each, and shared settings.

One array of shape (ROWS, n) holds the full state of n environments, so that a snapshot is a copy of it, and
kernels take it as one argument. A row is contiguous over the environments, so that loops over them can be
vectorized.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cartpole_phys.numeric.compiled import inlined
from cartpole_phys.physics import ParamValues
from cartpole_phys.utils.typing import FloatArray

X, X_DOT, THETA, THETA_DOT = range(4)  # m, m/s, rad, rad/s
ACTION = 4  # of the last step, normalized to [−1, 1]
PUSH = 5  # N, of the last step
KEY = 6  # uint64, of all randomness inside the steps
EPISODE = 7  # int64, counted from 0 since the key was drawn
ELAPSED = 8  # int64, steps of the episode so far
DONE = 9  # int64, 1 where the episode is over
PARAMS = 10  # first of 8 rows: ``physics.Params`` in field order
FORCE_MAG = PARAMS + 4
CART_FRICTION = PARAMS + 6
ROWS = PARAMS + 8

LARGEST_INTEGER = int(np.iinfo(np.int64).max)  # of integer settings
_SETTINGS = np.dtype(
    [
        ("integrator", np.int64),
        ("substeps", np.int64),
        ("max_episode_steps", np.int64),
        ("start_angle", np.float64),  # rad
        ("x_threshold", np.float64),  # m
        ("theta_threshold", np.float64),  # rad
        ("push_probability", np.float64),  # of a push during one time step
        ("push_size", np.float64),  # N, the largest
        ("noisy", np.int64),  # 1 if observations have noise
        ("noise", np.float64, (4,)),  # half-widths of the noise on x, ẋ, θ, θ̇ in their units
        ("randomized", np.int64),  # 1 if parameters are drawn for each episode
        ("lowest", np.float64, (8,)),  # of randomized parameters, NaN for the others
        ("highest", np.float64, (8,)),
    ],
    align=True,
)
SETTINGS = np.dtype((np.record, _SETTINGS))  # fields are attributes, also if kernels run as Python
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
    """The parameter rows, restricted to columns ``first`` to ``last``.

    Loops over these rows from index 0 can be vectorized: an index into the memory itself might be negative,
    and count from the end.
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
