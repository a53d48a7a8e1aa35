"""Selecting episodes: by index, mask, function, at random or by share; the same in memory and in shards."""

from __future__ import annotations

import operator
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from cartpole_phys.utils.errors import InputError, is_integer, is_number
from cartpole_phys.utils.typing import Array, Flags, IntArray

if TYPE_CHECKING:
    from cartpole_phys.episodes import Episode, Episodes

Seed = int | np.random.Generator | None


class EpisodeSequence(Sequence["Episode"]):
    """A sequence of E episodes; those selected from it are in memory.

    ::

        data[3]               episode 3
        data[5:9]             some episodes; also data[[3, 1]] and data[data.returns > 100]
        data["observations"]  an array over all steps, under its key in a D4RL file
    """

    @abstractmethod
    def select(self, indices: npt.ArrayLike) -> Episodes:
        """The episodes of these indices, shape (K,), in this order.

        Raises:
            InputError: if these are not indices of episodes.
        """

    @abstractmethod
    def _episode(self, index: int) -> Episode:
        """One episode; the index is in range."""

    @abstractmethod
    def _array(self, key: str) -> Array:
        """An array over all steps, under its key in a D4RL file.

        Raises:
            KeyError: if there is no such array.
        """

    @property
    @abstractmethod
    def complete(self) -> Flags:
        """Which episodes ended by termination or time limit rather than by a cut, shape (E,)."""

    @property
    def eligible(self) -> Flags:
        """Which episodes train, rank and score, shape (E,).

        Those that ended by termination or time limit; all episodes where the end of collection cut every one.
        """
        complete = self.complete
        return complete if complete.any() else np.ones_like(complete)

    @overload
    def __getitem__(self, index: int) -> Episode: ...

    @overload
    def __getitem__(self, index: slice | Sequence[int] | Array) -> Episodes: ...

    @overload
    def __getitem__(self, index: str) -> Array: ...

    def __getitem__(self, index: Any) -> Any:
        """One episode, those of a slice, a list of indices or a mask, or an array by its name.

        Raises:
            IndexError: if there is no such episode.
            InputError: on a list that is neither indices of episodes nor a mask of one bool per episode.
            KeyError: if there is no array of that name.
            TypeError: on anything else.
        """
        if isinstance(index, str):
            return self._array(index)
        if isinstance(index, slice):
            return self.select(np.arange(len(self))[index])
        if isinstance(index, (list, tuple, np.ndarray)) and np.ndim(index):
            return self.filter(index) if np.asarray(index).dtype == np.bool_ else self.select(index)
        try:
            number = operator.index(index)
        except TypeError:
            raise TypeError(
                f"Expected an index, a slice, a list of indices, a mask or a name, got {index!r:.60}."
            ) from None
        return self._episode(range(len(self))[number])

    def filter(self, keep: npt.ArrayLike | Callable[[Episode], bool | np.bool_]) -> Episodes:
        """The episodes for which a mask, shape (E,), or a function of an episode is true.

        Such as ``data.filter(data.returns > 100)`` or ``data.filter(lambda episode: len(episode) > 100)``.

        Raises:
            InputError: if the mask is not one bool per episode.
        """
        mask = np.array([keep(episode) for episode in self], dtype=np.bool_) if callable(keep) else keep
        return self.select(masked_indices(mask, len(self)))

    def sample(self, count: int, seed: Seed = None) -> Episodes:
        """``count`` different episodes in random order.

        Args:
            count: the number of episodes.
            seed: the same seed draws the same episodes; None draws others in each call.

        Raises:
            InputError: if there are fewer episodes than that.
        """
        return self.select(drawn_indices(count, len(self), seed))

    def split(self, share: float, seed: Seed = 0) -> tuple[Episodes, Episodes]:
        """All episodes, shuffled, in two parts: the given share of them, and the others.

        Such as ``train, validation = data.split(0.9)``.

        Raises:
            InputError: if the share is not between 0 and 1, or would leave one part empty.
        """
        first, rest = shuffled_shares(share, len(self), seed)
        return self.select(first), self.select(rest)


def episode_indices(indices: npt.ArrayLike, available: int) -> IntArray:
    """IntArray from 0 to ``available − 1``, shape (K,); negative ones count from the end.

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


def masked_indices(mask: npt.ArrayLike, available: int) -> IntArray:
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


def drawn_indices(count: int, available: int, seed: Seed) -> IntArray:
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


def shuffled_shares(share: float, available: int, seed: Seed) -> tuple[IntArray, IntArray]:
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
