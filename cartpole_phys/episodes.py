"""Episodes: the one in-memory form of data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cartpole_phys.errors import InputError

Array = npt.NDArray[Any]

CUT = "collection_cut"  # the row after which collecting stopped, though the episode would have gone on


class Episode(NamedTuple):
    """One episode of T steps, as views into the data set."""

    observations: npt.NDArray[np.float32]  # (T, obs)
    actions: Array  # (T, act) float32 or (T,) int64
    rewards: npt.NDArray[np.float32]  # (T,)
    final_observation: npt.NDArray[np.float32]  # (obs,)
    terminated: bool
    truncated: bool


@dataclass(frozen=True, eq=False)
class Episodes:
    """Flat, row-aligned arrays of N steps in E episodes, one after another.

    ::

        row             0    1    2  |  3    4  |  …            N−1
        observations    s₀   s₁   s₂ |  s₀   s₁ |               before the step
        actions         a₀   a₁   a₂ |  a₀   a₁ |
        rewards         r₀   r₁   r₂ |  r₀   r₁ |               of the step
        terminations    ·    ·    ✕  |  ·    ·  |               the pole fell
        truncations     ·    ·    ·  |  ·    ✕  |               time was up, or collecting was cut
        offsets         0              3          5        …    N
        final_observations        s₃           s₂          …    after each episode's last step
    """

    observations: npt.NDArray[np.float32]  # (N, obs)
    actions: Array  # (N, act) float32 or (N,) int64
    rewards: npt.NDArray[np.float32]  # (N,)
    terminations: npt.NDArray[np.bool_]  # (N,)
    truncations: npt.NDArray[np.bool_]  # (N,)
    final_observations: npt.NDArray[np.float32]  # (E, obs)
    offsets: npt.NDArray[np.int64]  # (E + 1,)
    infos: Mapping[str, Array] = field(default_factory=dict)  # each (N, …)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Episode:
        """One episode, as views."""
        index = range(len(self))[index]
        rows = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        return Episode(
            self.observations[rows],
            self.actions[rows],
            self.rewards[rows],
            self.final_observations[index],
            bool(self.terminations[rows.stop - 1]),
            bool(self.truncations[rows.stop - 1]),
        )

    def __iter__(self) -> Iterator[Episode]:
        """Episode after episode."""
        return (self[index] for index in range(len(self)))

    @property
    def steps(self) -> int:
        """Number of rows N."""
        return len(self.rewards)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Steps per episode, shape (E,)."""
        return np.diff(self.offsets)

    @property
    def returns(self) -> npt.NDArray[np.float64]:
        """Undiscounted return per episode, shape (E,)."""
        if not len(self):
            return np.zeros(0)
        return np.add.reduceat(self.rewards.astype(np.float64), self.offsets[:-1])

    @property
    def complete(self) -> npt.NDArray[np.bool_]:
        """Which episodes ended by themselves rather than by a cut of the collection, shape (E,)."""
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
    def returns_to_go(self) -> npt.NDArray[np.float64]:
        """Sum of rewards from each step to the end of its episode, shape (N,)."""
        summed = np.concatenate([[0.0], np.cumsum(self.rewards, dtype=np.float64)])  # (N + 1,)
        return np.repeat(summed[self.offsets[1:]], self.lengths) - summed[:-1]

    def as_d4rl(self) -> dict[str, Array]:
        """Flat arrays under D4RL's keys: of two flags on one row the terminal wins."""
        return {
            "observations": self.observations,
            "next_observations": self.next_observations,
            "actions": self.actions,
            "rewards": self.rewards,
            "terminals": self.terminations,
            "timeouts": self.truncations & ~self.terminations,
            **{f"infos/{name}": values for name, values in self.infos.items()},
        }

    @classmethod
    def from_d4rl(cls, arrays: Mapping[str, Array], metadata: Mapping[str, Any] | None = None) -> Episodes:
        """Episodes from flat arrays under D4RL's keys; rows after the last flag count as a cut episode.

        Raises:
            InputError: if there are no rows, or neither next observations nor a way to know them.
        """
        terminals, timeouts = arrays["terminals"].astype(np.bool_), arrays["timeouts"].astype(np.bool_)
        if not len(terminals):
            raise InputError("Expected at least one transition, got an empty data set.")
        ends = np.flatnonzero(terminals | timeouts)
        if not len(ends) or ends[-1] != len(terminals) - 1:
            ends = np.append(ends, len(terminals) - 1)
        infos = {name.removeprefix("infos/"): values for name, values in arrays.items() if "infos/" in name}
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

    def head(self, steps: int) -> Episodes:
        """The first ``steps`` rows; an episode that this cuts is marked as cut."""
        if steps >= self.steps:
            return self
        last = int(np.searchsorted(self.offsets, steps, side="left"))  # episodes kept, the cut one included
        was_cut = self.offsets[last] != steps
        truncations, infos = self.truncations[:steps].copy(), {k: v[:steps] for k, v in self.infos.items()}
        final_observations = self.final_observations[:last].copy()
        infos[CUT] = infos.get(CUT, np.zeros(steps, dtype=np.bool_)).copy()
        if was_cut:
            truncations[-1] = infos[CUT][-1] = True
            final_observations[-1] = self.observations[steps]
        return replace(
            self,
            observations=self.observations[:steps],
            actions=self.actions[:steps],
            rewards=self.rewards[:steps],
            terminations=self.terminations[:steps],
            truncations=truncations,
            final_observations=final_observations,
            offsets=np.append(self.offsets[:last], steps),
            infos=infos,
        )


def concatenate(parts: Sequence[Episodes]) -> Episodes:
    """All episodes of the parts, one part after another; the parts must hold the same infos."""
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
