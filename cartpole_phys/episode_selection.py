"""Which episodes of so many: indices, masks, draws and shares, checked."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cartpole_phys.errors import InputError, is_integer, is_number

Indices = npt.NDArray[np.int64]
Seed = int | np.random.Generator


def episode_indices(indices: npt.ArrayLike, available: int) -> Indices:
    """Indices from 0 to ``available − 1``, shape (K,); negative ones count from the end.

    Raises:
        InputError: if they are not integers in a row, or one is out of range.
    """
    chosen = np.asarray(indices)
    if chosen.ndim != 1 or (len(chosen) and chosen.dtype.kind not in "iu"):
        raise InputError(
            f"Expected a list of episode indices, got {chosen.dtype} of shape {chosen.shape}; "
            "a mask goes to filter()."
        )
    outside = (chosen < -available) | (chosen >= available)
    if outside.any():
        raise InputError(
            f"Expected indices of {available:,} episodes, got {chosen[outside][0]}; keep to range(len(data))."
        )
    return np.arange(available)[chosen.astype(np.int64)]


def masked_indices(mask: npt.ArrayLike, available: int) -> Indices:
    """Where a mask of one truth value an episode holds.

    Raises:
        InputError: if it is no such mask.
    """
    kept = np.asarray(mask)
    if kept.dtype != np.bool_ or kept.shape != (available,):
        raise InputError(
            f"Expected a mask of {available:,} truth values, one an episode, got {kept.dtype} of shape "
            f"{kept.shape}; compare an array such as data.returns, or give a function of an episode."
        )
    return np.flatnonzero(kept)


def drawn_indices(count: int, available: int, seed: Seed) -> Indices:
    """``count`` different indices in random order.

    Raises:
        InputError: if there are not so many.
    """
    if not is_integer(count) or not 0 <= count <= available:
        raise InputError(
            f"Expected a number of episodes from 0 to {available:,}, got {count!r}; "
            "draw fewer, or collect more data."
        )
    return np.random.default_rng(seed).permutation(available)[:count]


def shuffled_shares(share: float, available: int, seed: Seed) -> tuple[Indices, Indices]:
    """All indices in random order, parted after the given share of them.

    Raises:
        InputError: if the share is not between 0 and 1, or would leave one side empty.
    """
    if not is_number(share) or not 0 < share < 1:
        raise InputError(f"Expected a share between 0 and 1, got {share!r}; split(0.9) keeps nine in ten.")
    shuffled, first = np.random.default_rng(seed).permutation(available), round(share * available)
    if not 0 < first < available:
        raise InputError(
            f"Expected a share that leaves episodes on both sides, got {share} of {available:,} episodes; "
            "choose another share, or collect more data."
        )
    return shuffled[:first], shuffled[first:]
