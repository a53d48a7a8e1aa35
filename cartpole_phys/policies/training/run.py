"""What a training run gives: every checkpoint, and everything that the learner saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cartpole_phys.episodes import CUT, Episodes
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import Array, Flags, FloatArray, IntArray

Weights = dict[str, npt.NDArray[np.float32]]

INFOS = "infos/"


class _Spans(NamedTuple):
    """E episodes in a recording: their environment, and where they begin and how long they are, each (E,)."""

    environments: IntArray
    starts: IntArray  # steps of the environment
    lengths: IntArray


@dataclass(frozen=True, eq=False)
class TrainingRecording:
    """T steps of n environments as a learner took them, array by name, each of shape (T, n, …).

    ``observations`` (obs) before the step, ``actions`` ((act) float32 or () int64) as executed, ``rewards``,
    ``terminations``, ``truncations``, ``next_observations`` (obs), which are an ended episode's last ones,
    and under ``infos/`` what is known of the environments' states.
    """

    arrays: Mapping[str, Array]

    @property
    def num_envs(self) -> int:
        """The number of environments n."""
        return int(self.arrays["rewards"].shape[1])

    @property
    def steps(self) -> int:
        """Training steps, summed over the environments: n T."""
        return int(self.arrays["rewards"].size)

    def episodes(self, until_steps: int | None = None) -> Episodes:
        """The rows of the first ``until_steps`` training steps (all by default), ordered by episodes' starts.

        Of those that begin together the lower environment's comes first. Episodes that still ran are marked
        as cut.

        Raises:
            InputError: on fewer steps than environments, or more than were recorded.
        """
        until = self.steps if until_steps is None else until_steps
        if not self.num_envs <= until <= self.steps:
            raise InputError(f"Expected {self.num_envs} to {self.steps} recorded steps, got {until}.")
        taken = until // self.num_envs
        ended = self.arrays["terminations"][:taken] | self.arrays["truncations"][:taken]  # (T, n)
        spans = _spans(ended)
        offsets = np.concatenate([[0], np.cumsum(spans.lengths)])
        rows = self._rows(spans, offsets)
        last = offsets[1:] - 1
        cut = np.zeros(len(rows), dtype=np.bool_)
        cut[last] = ~ended.reshape(-1)[rows[last]]  # (T, n) -> (T n,)
        names = sorted(name.removeprefix(INFOS) for name in self.arrays if name.startswith(INFOS))
        return Episodes(
            observations=self._flat("observations")[rows],
            actions=self._flat("actions")[rows],
            rewards=self._flat("rewards")[rows],
            terminations=self._flat("terminations")[rows],
            truncations=self._flat("truncations")[rows] | cut,
            final_observations=self._flat("next_observations")[rows[last]],
            offsets=offsets,
            infos={CUT: cut, **{name: self._flat(INFOS + name)[rows] for name in names}},
        )

    def _flat(self, name: str) -> Array:
        array = self.arrays[name]
        return array.reshape(-1, *array.shape[2:])  # (T, n, …) -> (T n, …)

    def _rows(self, spans: _Spans, offsets: IntArray) -> IntArray:
        """Which of the T n recorded rows make up the episodes, one after another, (N,)."""
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], spans.lengths)
        taken = np.repeat(spans.starts, spans.lengths) + within
        return taken * self.num_envs + np.repeat(spans.environments, spans.lengths)


def _spans(ended: Flags) -> _Spans:
    """The episodes of steps (T, n) that ended some; those that still run end with the last step."""
    ends = ended.copy()
    ends[-1] = True
    environments, last = np.nonzero(ends.T)  # one environment after another
    starts = np.concatenate([[0], last[:-1] + 1])
    starts[np.diff(environments, prepend=-1) != 0] = 0
    order = np.lexsort((environments, starts))
    return _Spans(environments[order], starts[order], (last - starts + 1)[order])


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """C checkpoints of a learner, and what it saw; ``description`` says what network the weights belong to.

    A checkpoint's policy is the one that acted in the step that its number of steps ends with.
    """

    description: Mapping[str, Any]  # of a network behaviour, see ``describe_network``
    steps: IntArray  # (C,) training steps up to each checkpoint
    mean_returns: FloatArray  # (C,) over the evaluation episodes
    weights: Mapping[str, npt.NDArray[np.float32]]  # each (C, …)
    recording: TrainingRecording

    def nearest(self, target_return: float) -> int:
        """The first checkpoint whose mean return is nearest the target."""
        return int(np.argmin(np.abs(self.mean_returns - target_return)))

    def weights_at(self, checkpoint: int) -> Weights:
        """One checkpoint's weights."""
        return {name: stacked[checkpoint] for name, stacked in self.weights.items()}
