"""Selection of episodes by index, mask or function, and random sampling and splitting."""

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
    """A sequence of E episodes, in memory or in shards; selected episodes are in memory.

    ::

        data[3]               episode 3
        data[5:9]             some episodes; also data[[3, 1]] and data[data.returns > 100]
        data["observations"]  an array over all steps, under its key in a D4RL file
    """

    @abstractmethod
    def select(self, indices: npt.ArrayLike) -> Episodes:
        """The episodes with these indices, shape (K,), in this order.

        Raises:
            InputError: if these are not indices of episodes.
        """

    @abstractmethod
    def _episode(self, index: int) -> Episode:
        """One episode; the index must be in range."""

    @abstractmethod
    def _array(self, key: str) -> Array:
        """An array over all steps, under its key in a D4RL file.

        Raises:
            KeyError: if there is no such array.
        """

    @property
    @abstractmethod
    def complete(self) -> Flags:
        """Mask of episodes that ended by termination or time limit rather than by a cut, shape (E,)."""

    @property
    def eligible(self) -> Flags:
        """Mask of episodes used for training, ranking and scoring, shape (E,).

        These ended by termination or time limit; if the end of collection cut every episode, all are used.
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
        """One episode; the episodes of a slice, a list of indices or a mask; or an array by its name.

        Raises:
            IndexError: if there is no such episode.
            InputError: on a list that is neither indices of episodes nor a mask of one bool per episode.
            KeyError: if no array has this name.
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
            seed: random seed; None draws different episodes in each call.

        Raises:
            InputError: if there are fewer episodes than that.
        """
        return self.select(drawn_indices(count, len(self), seed))

    def split(self, share: float, seed: Seed = 0) -> tuple[Episodes, Episodes]:
        """Split all episodes at random into a fraction ``share`` of them and the rest.

        Such as ``train, validation = data.split(0.9)``.

        Raises:
            InputError: if the fraction is not between 0 and 1, or one part would be empty.
        """
        first, rest = shuffled_shares(share, len(self), seed)
        return self.select(first), self.select(rest)


def episode_indices(indices: npt.ArrayLike, available: int) -> IntArray:
    """Indices from 0 to ``available − 1``, shape (K,); negative ones count from the end.

    Raises:
        InputError: if they are not a one-dimensional array of integers, or one is out of range.
    """
    chosen = np.asarray(indices)
    if chosen.ndim != 1 or (len(chosen) and chosen.dtype.kind not in "iu"):
        raise InputError(
            f"Expected a list of episode indices, got {chosen.dtype} of shape {chosen.shape}; "
            "pass a mask to filter()."
        )
    outside = (chosen < -available) | (chosen >= available)
    if outside.any():
        raise InputError(
            f"Expected indices of {available:,} episodes, got {chosen[outside][0]}; stay in range(len(data))."
        )
    return np.arange(available)[chosen.astype(np.int64)]


def masked_indices(mask: npt.ArrayLike, available: int) -> IntArray:
    """The indices at which a mask with one bool per episode is True.

    Raises:
        InputError: if it is not such a mask.
    """
    kept = np.asarray(mask)
    if kept.dtype != np.bool_ or kept.shape != (available,):
        raise InputError(
            f"Expected a mask of {available:,} bools, one per episode, got {kept.dtype} of shape "
            f"{kept.shape}; compare an array such as data.returns, or pass a function of an episode."
        )
    return np.flatnonzero(kept)


def drawn_indices(count: int, available: int, seed: Seed) -> IntArray:
    """``count`` different indices in random order.

    Raises:
        InputError: if ``count`` is not an integer from 0 to ``available``.
    """
    if not is_integer(count) or not 0 <= count <= available:
        raise InputError(
            f"Expected a number of episodes from 0 to {available:,}, got {count!r}; "
            "draw fewer, or collect more data."
        )
    return np.random.default_rng(seed).permutation(available)[:count]


def shuffled_shares(share: float, available: int, seed: Seed) -> tuple[IntArray, IntArray]:
    """All indices in random order, split after a fraction ``share`` of them.

    Raises:
        InputError: if the fraction is not between 0 and 1, or one part would be empty.
    """
    if not is_number(share) or not 0 < share < 1:
        raise InputError(
            f"Expected a fraction between 0 and 1, got {share!r}; split(0.9) puts 90 % into the first part."
        )
    shuffled, first = np.random.default_rng(seed).permutation(available), round(share * available)
    if not 0 < first < available:
        raise InputError(
            f"Expected a fraction that leaves both parts nonempty, got {share} of {available:,} episodes; "
            "choose another fraction, or collect more data."
        )
    return shuffled[:first], shuffled[first:]
