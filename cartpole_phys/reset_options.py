"""What ``reset(seed=…, options=…)`` takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cartpole_phys.choices import unknown
from cartpole_phys.errors import InputError, is_integer, is_number
from cartpole_phys.memory import FloatArray
from cartpole_phys.task import START_BOUND

Seeds = int | Sequence[int | None] | None


class Start(NamedTuple):
    """Where episodes start: at random between bounds, or in given states."""

    low: float  # of each start variable (m, m/s, rad, rad/s), about rest upright or hanging
    high: float
    states: FloatArray | None = None  # (4, n): x (m), ẋ (m/s), θ (rad), θ̇ (rad/s)


LARGEST_START = 1e6  # m, m/s, rad, rad/s: up to here sines and cosines are within 1 ulp
SCALAR_OPTIONS = ("low", "high", "state")
VECTOR_OPTIONS = (*SCALAR_OPTIONS, "reset_mask")
PLAIN_START = Start(-START_BOUND, START_BOUND)


def parse_start(
    options: Mapping[str, Any] | None, num_envs: int, known: tuple[str, ...] = SCALAR_OPTIONS
) -> Start:
    """Where ``options`` let n environments start.

    ``low`` and ``high`` bound every start variable; ``state`` is (x, ẋ, θ, θ̇) for all environments, or an
    array (n, 4) with one for each.

    Args:
        options: as given to ``reset``.
        num_envs: n.
        known: the options that there are; one that was misspelt would else start episodes anywhere.

    Raises:
        InputError: if the options are no mapping or an unknown one is among them, the bounds are not finite
            numbers with low ≤ high, or the state is no array of finite numbers of shape (4,) or (n, 4).
    """
    if not isinstance(options, Mapping | None):
        raise InputError(f"Expected options as names and values, got {options!r}.")
    if not options:
        return PLAIN_START
    others = [name for name in options if name not in known]
    if others:
        raise unknown("reset option", others[0], known)
    low, high = options.get("low", -START_BOUND), options.get("high", START_BOUND)
    if not (is_number(low) and is_number(high) and -math.inf < low <= high < math.inf):
        raise InputError(f"Expected options with finite low <= high, got low={low!r}, high={high!r}.")
    if max(-low, high) > LARGEST_START:
        raise InputError(
            f"Expected options low and high within ±{LARGEST_START:g}, got low={low!r}, high={high!r}."
        )
    states = _states(options["state"], num_envs) if "state" in options else None
    return Start(float(low), float(high), states)


def _states(given: Any, num_envs: int) -> FloatArray:
    """States (4, n)."""
    try:
        states = np.asarray(given)
    except ValueError:
        states = np.empty(0)
    numbers = states.dtype.kind in "fiu" and states.shape in ((4,), (num_envs, 4))
    if not numbers or not np.isfinite(states).all():
        raise InputError(
            f"Expected options['state'] as finite (x, ẋ, θ, θ̇), or such rows of shape ({num_envs}, 4), "
            f"got {given!r}."
        )
    if (np.abs(states) > LARGEST_START).any():
        raise InputError(f"Expected options['state'] within ±{LARGEST_START:g}, got {given!r}.")
    rows = np.broadcast_to(states.astype(np.float64), (num_envs, 4))
    return np.ascontiguousarray(rows.T)  # (n, 4) -> (4, n)


def parse_mask(options: Mapping[str, Any] | None, num_envs: int) -> npt.NDArray[np.bool_]:
    """Which environments ``options["reset_mask"]`` resets, shape (n,); all without it.

    Raises:
        InputError: if the mask is not a bool array of shape (n,) with at least one True.
    """
    if not options or "reset_mask" not in options:
        return np.ones(num_envs, dtype=np.bool_)
    mask = options["reset_mask"]
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (num_envs,):
        got = f"{mask.dtype} of shape {mask.shape}" if isinstance(mask, np.ndarray) else repr(mask)
        raise InputError(f"Expected reset_mask as a bool array of shape ({num_envs},), got {got}.")
    if not mask.any():
        raise InputError("Expected reset_mask with at least one True, got none.")
    return mask


def parse_seeds(seed: Seeds, num_envs: int) -> Sequence[int | None]:
    """One seed per environment: from an int s the range that seeds environment i with s + i, else a list.

    Raises:
        InputError: on anything but integers of at least 0, or a list of the wrong length.
    """
    if seed is None:
        return [None] * num_envs
    if is_integer(seed):
        _check_seed(seed)
        return range(int(seed), int(seed) + num_envs)
    if isinstance(seed, str) or not isinstance(seed, Sequence | np.ndarray):
        raise InputError(f"Expected one seed or {num_envs} seeds, got {seed!r}.")
    if len(seed) != num_envs:
        raise InputError(f"Expected one seed or {num_envs} seeds, got {len(seed)}.")
    seeds: list[Any] = seed.tolist() if isinstance(seed, np.ndarray) else list(seed)
    if set(map(type, seeds)) == {int} and min(seeds) >= 0:  # no function is called for each seed
        return seeds
    for own in seeds:
        if own is not None:
            _check_seed(own)
    return [None if own is None else int(own) for own in seeds]


def _check_seed(seed: Any) -> None:
    """Raises InputError on a seed of one environment that is no integer of at least 0."""
    if not (is_integer(seed) and seed >= 0):
        raise InputError(f"Expected seeds as integers of at least 0 or None, got {seed!r}.")
