"""``Episodes``: the in-memory container of data sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cartpole_phys.episodes.d4rl_layout import COLLECTION_CUT, completed
from cartpole_phys.episodes.selection import EpisodeSequence, episode_indices
from cartpole_phys.utils.errors import InputError, printable
from cartpole_phys.utils.typing import Array, Flags, FloatArray, IntArray

D4RL_KEYS = ("observations", "next_observations", "actions", "rewards", "terminals", "timeouts")
CUT = COLLECTION_CUT.removeprefix("infos/")  # the row after which collection stopped within an episode


@dataclass(frozen=True, eq=False, repr=False)
class Episode:
    """One episode of T steps, as views into the data set; ``len(episode)`` is T."""

    observations: npt.NDArray[np.float32]  # (T, obs)
    actions: Array  # (T, act) float32 or (T,) int64
    rewards: npt.NDArray[np.float32]  # (T,)
    final_observation: npt.NDArray[np.float32]  # (obs,)
    terminated: bool
    truncated: bool
    infos: Mapping[str, Array]  # each (T, …)

    def __len__(self) -> int:
        """Number of steps T."""
        return len(self.rewards)

    @property
    def total_return(self) -> float:
        """Undiscounted return."""
        return float(np.add.reduceat(self.rewards.astype(np.float64), [0])[0])  # summed as Episodes.returns

    def __repr__(self) -> str:
        """Length, return and end flags."""
        end = f"terminated={self.terminated}, truncated={self.truncated}"
        return f"Episode({len(self):,} steps, return {self.total_return:g}, {end})"


@dataclass(frozen=True, eq=False, repr=False)
class Episodes(EpisodeSequence):
    """Flat, row-aligned arrays of N steps in E consecutive episodes.

    ::

        row             0    1    2  |  3    4  |  …            N−1
        observations    s₀   s₁   s₂ |  s₀   s₁ |               before the step
        actions         a₀   a₁   a₂ |  a₀   a₁ |
        rewards         r₀   r₁   r₂ |  r₀   r₁ |               of the step
        terminations    ·    ·    ✕  |  ·    ·  |               terminal state
        truncations     ·    ·    ·  |  ·    ✕  |               time limit, or end of collection
        offsets         0              3          5        …    N
        final_observations        s₃           s₂          …    after each episode's last step
    """

    observations: npt.NDArray[np.float32]  # (N, obs)
    actions: Array  # (N, act) float32 or (N,) int64
    rewards: npt.NDArray[np.float32]  # (N,)
    terminations: Flags  # (N,)
    truncations: Flags  # (N,)
    final_observations: npt.NDArray[np.float32]  # (E, obs)
    offsets: IntArray  # (E + 1,)
    infos: Mapping[str, Array] = field(default_factory=dict)  # each (N, …)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Numbers of episodes and steps, and the data set's name."""
        name = self.metadata.get("dataset_name")
        label = f", {printable(str(name))}" if name else ""
        return f"Episodes({len(self):,} episodes, {self.steps:,} steps{label})"

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.offsets) - 1

    def _episode(self, index: int) -> Episode:
        rows = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        return Episode(
            self.observations[rows],
            self.actions[rows],
            self.rewards[rows],
            self.final_observations[index],
            bool(self.terminations[rows.stop - 1]),
            bool(self.truncations[rows.stop - 1]),
            {name: values[rows] for name, values in self.infos.items()},
        )

    def __iter__(self) -> Iterator[Episode]:
        """Iterate over the episodes."""
        return (self[index] for index in range(len(self)))

    @property
    def steps(self) -> int:
        """Number of rows N."""
        return len(self.rewards)

    @property
    def lengths(self) -> IntArray:
        """Steps per episode, shape (E,)."""
        return np.diff(self.offsets)

    @property
    def returns(self) -> FloatArray:
        """Undiscounted return per episode, shape (E,)."""
        if not len(self):
            return np.zeros(0)
        return np.add.reduceat(self.rewards.astype(np.float64), self.offsets[:-1])

    @property
    def complete(self) -> Flags:
        """Mask of episodes that ended by termination or time limit rather than by a cut, shape (E,)."""
        last_rows = self.offsets[1:] - 1
        if CUT not in self.infos:
            return self.terminations[last_rows] | self.truncations[last_rows]
        return ~self.infos[CUT][last_rows].astype(np.bool_)

    @property
    def next_observations(self) -> npt.NDArray[np.float32]:
        """The observation after each step, shape (N, obs); computed, not stored."""
        following = np.empty_like(self.observations)
        following[:-1] = self.observations[1:]
        following[self.offsets[1:] - 1] = self.final_observations
        return following

    @property
    def returns_to_go(self) -> FloatArray:
        """Sum of rewards from each step to the end of its episode, shape (N,)."""
        summed = np.concatenate([[0.0], np.cumsum(self.rewards, dtype=np.float64)])  # (N + 1,)
        return np.repeat(summed[self.offsets[1:]], self.lengths) - summed[:-1]

    def as_d4rl(self) -> dict[str, Array]:
        """Flat arrays under D4RL's keys; ``timeouts`` is False on rows with a terminal."""
        return {key: self._array(key) for key in self._keys}

    @property
    def _keys(self) -> list[str]:
        return [*D4RL_KEYS, *(f"infos/{name}" for name in self.infos)]

    def _array(self, key: str) -> Array:
        if key not in self._keys:
            raise KeyError(f"Expected one of {', '.join(self._keys)}, got {key!r}.")
        if key == "timeouts":
            return self.truncations & ~self.terminations
        if key in D4RL_KEYS:
            array: Array = getattr(self, "terminations" if key == "terminals" else key)
            return array
        return self.infos[key.removeprefix("infos/")]

    @classmethod
    def from_d4rl(cls, arrays: Mapping[str, Array], metadata: Mapping[str, Any] | None = None) -> Episodes:
        """Episodes from flat arrays under D4RL's keys; rows after the last flag become a cut episode.

        Missing ``timeouts`` or ``next_observations``, as in D4RL's own maze2d, antmaze, kitchen and Adroit
        data sets, are derived, and rows without a known next observation are dropped; see
        ``cartpole_phys.episodes.d4rl_layout.completed``.

        Raises:
            InputError: if there are no rows, arrays are missing or have other shapes than D4RL's, or a flag
                is neither 0 nor 1.
        """
        arrays = completed(arrays)
        terminals, timeouts = arrays["terminals"], arrays["timeouts"]
        if not len(terminals):
            raise InputError("Expected at least one transition, got an empty data set.")
        infos = {name.removeprefix("infos/"): values for name, values in arrays.items() if "infos/" in name}
        if not terminals[-1] | timeouts[-1]:
            infos[CUT] = infos[CUT].copy() if CUT in infos else np.zeros(len(terminals), np.bool_)
            timeouts = timeouts.copy()
            timeouts[-1] = infos[CUT][-1] = True
        ends = np.flatnonzero(terminals | timeouts)
        return cls(
            observations=arrays["observations"],
            actions=arrays["actions"],
            rewards=arrays["rewards"],
            terminations=terminals,
            truncations=timeouts,
            final_observations=arrays["next_observations"][ends],
            offsets=np.concatenate([[0], ends + 1]).astype(np.int64),
            infos=infos,
            metadata=metadata or {},
        )

    def select(self, indices: npt.ArrayLike) -> Episodes:
        """The episodes with these indices, shape (K,), in this order, including repetitions.

        Consecutive episodes are views; others are copied.

        Raises:
            InputError: if these are not indices of episodes.
        """
        chosen = episode_indices(indices, len(self))
        lengths = self.lengths[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)])  # (K + 1,)
        if len(chosen) and (np.diff(chosen) == 1).all():
            rows = slice(int(self.offsets[chosen[0]]), int(self.offsets[chosen[-1] + 1]))
            return self._part(rows, slice(int(chosen[0]), int(chosen[-1]) + 1), offsets)
        moved = self.offsets[chosen] - offsets[:-1]  # from a row here to the same row there, (K,)
        return self._part(np.repeat(moved, lengths) + np.arange(offsets[-1]), chosen, offsets)

    def head(self, steps: int) -> Episodes:
        """The first ``steps`` rows; a partial last episode is marked as cut."""
        if steps >= self.steps:
            return self
        last = int(np.searchsorted(self.offsets, steps, side="left"))  # episodes kept, the cut one included
        kept = self._part(slice(steps), slice(last), np.append(self.offsets[:last], steps))
        truncations, final_observations = kept.truncations.copy(), kept.final_observations.copy()
        cuts = kept.infos.get(CUT, np.zeros(steps, dtype=np.bool_)).copy()
        if self.offsets[last] != steps:
            truncations[-1] = cuts[-1] = True
            final_observations[-1] = self.observations[steps]
        infos = {**kept.infos, CUT: cuts}
        return replace(kept, truncations=truncations, final_observations=final_observations, infos=infos)

    def tail(self, steps: int) -> Episodes:
        """``steps`` rows from the last episodes; if these have more, the last one is cut.

        The first row is the start of an episode, so that returns-to-go stay those of the whole data set.
        """
        first = int(np.searchsorted(self.offsets, max(0, self.steps - steps), side="right")) - 1
        return self[first:].head(steps)

    def _part(self, rows: slice | Array, episodes: slice | Array, offsets: IntArray) -> Episodes:
        """The given rows, which are those of the given episodes; slices give views."""
        return replace(
            self,
            observations=_rows(self.observations, rows),
            actions=_rows(self.actions, rows),
            rewards=_rows(self.rewards, rows),
            terminations=_rows(self.terminations, rows),
            truncations=_rows(self.truncations, rows),
            final_observations=_rows(self.final_observations, episodes),
            offsets=offsets,
            infos={name: _rows(values, rows) for name, values in self.infos.items()},
        )


def _rows(array: Array, rows: slice | Array) -> Array:
    """Rows of an array; take() is ten times as fast as indexing for rows of several values."""
    return array[rows] if isinstance(rows, slice) else np.take(array, rows, axis=0)


def concatenate(parts: Sequence[Episodes]) -> Episodes:
    """Concatenate the episodes of the parts, which must have the same infos."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(part.steps for part in parts)])
    return Episodes(
        observations=np.concatenate([part.observations for part in parts]),
        actions=np.concatenate([part.actions for part in parts]),
        rewards=np.concatenate([part.rewards for part in parts]),
        terminations=np.concatenate([part.terminations for part in parts]),
        truncations=np.concatenate([part.truncations for part in parts]),
        final_observations=np.concatenate([part.final_observations for part in parts]),
        offsets=np.concatenate(
            [[0], *(part.offsets[1:] + start for part, start in zip(parts, starts, strict=False))]
        ),
        infos={name: np.concatenate([part.infos[name] for part in parts]) for name in parts[0].infos},
        metadata=parts[0].metadata,
    )
