"""Observation and action spaces, and the conversion of a policy's actions to executed ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from cartpole_phys.tasks.base import Task
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import Array, Flags, Matrix

ActionSpace = spaces.Box | spaces.Discrete
LARGEST = np.finfo(np.float32).max


def observation_space(task: Task) -> spaces.Space[Any]:
    """The observation space of a task; its bounds are float32 numbers."""
    high = np.minimum(task.observation_bounds, LARGEST).astype(np.float32)
    return spaces.Box(-high, high, dtype=np.float32)


def action_space(continuous: bool) -> ActionSpace:
    """The action space: a normalized force in [−1, 1], or 0 (full force to the left) and 1 (to the right)."""
    return spaces.Box(-1.0, 1.0, (1,), np.float32) if continuous else spaces.Discrete(2)


def bounds(space: spaces.Box) -> tuple[Matrix, Matrix]:
    """The lowest and highest float32 actions inside the space, each (act,)."""
    low, high = space.low.astype(np.float32), space.high.astype(np.float32)
    low = np.where(low < space.low, np.nextafter(low, np.float32(np.inf)), low)
    high = np.where(high > space.high, np.nextafter(high, np.float32(-np.inf)), high)
    return low, high


def executed(space: ActionSpace, actions: Any, n: int | None, over: Flags | None = None) -> Array:
    """The executed actions of n environments: float32 (n, act) clipped to the bounds, or int64 (n,).

    Without ``n`` it is the action of one environment, (act,) or (). Rows whose episode is ``over`` (n,) are
    not checked, and get an arbitrary action of the space.

    Raises:
        InputError: on a wrong shape or kind of number, one that is not finite, or an unknown discrete
            action.
    """
    continuous = isinstance(space, spaces.Box)
    shape = (*(() if n is None else (n,)), *(space.shape or ()))
    wanted, kinds = ("floats", "fiu") if continuous else ("integers", "iu")
    try:
        given = np.asarray(actions)
    except ValueError:
        raise InputError(f"Expected actions as {wanted} of shape {shape}, got {actions!r:.60}.") from None
    if given.shape != shape or given.dtype.kind not in kinds:
        raise InputError(
            f"Expected actions as {wanted} of shape {shape}, got {given.dtype} of shape {given.shape}."
        )
    if over is not None:
        given = given.astype(np.float64 if continuous else object)  # no integer overflows
        given[over] = 0 if isinstance(space, spaces.Box) else int(space.start)
    if isinstance(space, spaces.Box):
        if not np.isfinite(given).all():
            raise InputError(f"Expected finite actions, got {given[~np.isfinite(given)][0]}.")
        return np.clip(given, *bounds(space)).astype(np.float32)
    first, last = int(space.start), int(space.start + space.n) - 1
    unknown = (given < first) | (given > last)
    if unknown.any():
        raise InputError(f"Expected actions from {first} to {last}, got {given[unknown][0]}.")
    return given.astype(np.int64)
