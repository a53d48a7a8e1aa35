"""Result of a training run: all checkpoints, and the recording of all transitions."""

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
    """Environments, first steps and lengths of E episodes in a recording, each (E,)."""

    environments: IntArray
    starts: IntArray  # in steps of the environment
    lengths: IntArray


@dataclass(frozen=True, eq=False)
class TrainingRecording:
    """Arrays of T steps of a learner in n environments by name, each of shape (T, n, …).

    ``observations`` (obs) before the step, executed ``actions`` ((act) float32 or () int64), ``rewards``,
    ``terminations``, ``truncations``, ``next_observations`` (obs), which are the final observations where an
    episode ends, and the simulator states under ``infos/``.
    """

    arrays: Mapping[str, Array]

    @property
    def num_envs(self) -> int:
        """Number of environments n."""
        return int(self.arrays["rewards"].shape[1])

    @property
    def steps(self) -> int:
        """Number of training steps, summed over the environments: n T."""
        return int(self.arrays["rewards"].size)

    def episodes(self, until_steps: int | None = None) -> Episodes:
        """The episodes of the first ``until_steps`` training steps (all by default), ordered by start.

        Episodes that start in the same step are ordered by environment; unfinished ones are marked as cut.

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
        """Indices of the episodes' rows among the T n recorded rows, (N,)."""
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], spans.lengths)
        taken = np.repeat(spans.starts, spans.lengths) + within
        return taken * self.num_envs + np.repeat(spans.environments, spans.lengths)


def _spans(ended: Flags) -> _Spans:
    """Find the episodes from end flags (T, n); unfinished episodes end with the last step."""
    ends = ended.copy()
    ends[-1] = True
    environments, last = np.nonzero(ends.T)  # ordered by environment
    starts = np.concatenate([[0], last[:-1] + 1])
    starts[np.diff(environments, prepend=-1) != 0] = 0
    order = np.lexsort((environments, starts))
    return _Spans(environments[order], starts[order], (last - starts + 1)[order])


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """C checkpoints of a learner, and the recording of its training.

    The policy of a checkpoint is the one that chose the actions of its last training step.
    """

    description: Mapping[str, Any]  # of the network, from ``describe_network``
    steps: IntArray  # (C,) training steps up to each checkpoint
    mean_returns: FloatArray  # (C,) over the evaluation episodes
    weights: Mapping[str, npt.NDArray[np.float32]]  # each (C, …)
    recording: TrainingRecording

    def nearest(self, target_return: float) -> int:
        """Index of the first checkpoint whose mean return is nearest to the target."""
        return int(np.argmin(np.abs(self.mean_returns - target_return)))

    def weights_at(self, checkpoint: int) -> Weights:
        """Weights of one checkpoint."""
        return {name: stacked[checkpoint] for name, stacked in self.weights.items()}
