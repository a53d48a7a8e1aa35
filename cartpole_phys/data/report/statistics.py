"""Statistics of a data set: histograms, quantiles and state coverage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.typing import Array, FloatArray, IntArray

BINS = 40
BESIDE = 2  # empty bins on either side of a constant whole number
CONSTANT_BINS = 41  # of any other constant, which is in the middle one
BESIDE_CONSTANT = 1e-6  # of its size: how far these bins reach at least
QUANTILES = (0.0, 0.01, 0.5, 0.99, 1.0)


class Histogram(NamedTuple):
    """Counts of values per bin."""

    name: str
    unit: str  # "" for a plain number
    counts: IntArray  # (bins,)
    edges: FloatArray  # (bins + 1,)
    ends: tuple[float, float]  # the smallest and the largest value


class Coverage(NamedTuple):
    """Joint histogram of two state variables."""

    across: Histogram
    up: Histogram
    counts: IntArray  # (bins across, bins up)

    @property
    def share(self) -> float:
        """Fraction of non-empty cells."""
        return float((self.counts > 0).mean())


class Column(NamedTuple):
    """A component of the state."""

    name: str
    unit: str
    values: Array  # (N,)

    @property
    def quantiles(self) -> list[float]:
        """At ``QUANTILES``."""
        finite = self.values[np.isfinite(self.values)].astype(np.float64)
        return [float(value) for value in np.quantile(finite, QUANTILES)] if len(finite) else [np.nan] * 5


@dataclass(frozen=True, eq=False)
class Statistics:
    """What a report shows of a data set."""

    steps: int
    episodes: int
    complete_episodes: int  # which were not cut
    mean_return: float | None  # of the eligible episodes; None where there are no episodes
    returns: Histogram
    lengths: Histogram
    actions: list[Histogram]  # one for each dimension
    columns: list[Column]
    coverage: list[Coverage]


def statistics_of(data: Episodes) -> Statistics:
    """Statistics of a data set in memory."""
    returns, eligible = data.returns, data.eligible
    columns = columns_of(data)
    pairs = [(columns[i], columns[i + 1]) for i in range(0, min(len(columns) - 1, 4), 2)]
    actions = data.actions.reshape(data.steps, -1)  # (N,) or (N, act) -> (N, act)
    return Statistics(
        steps=data.steps,
        episodes=len(data),
        complete_episodes=int(data.complete.sum()),
        mean_return=float(returns[eligible].mean()) if eligible.any() else None,
        returns=histogram("return", "", returns),
        lengths=histogram("length", "steps", data.lengths),
        actions=[histogram(f"action {i}", "", actions[:, i]) for i in range(actions.shape[1])],
        columns=columns,
        coverage=[coverage(across, up) for across, up in pairs],
    )


def columns_of(data: Episodes) -> list[Column]:
    """The state of a cart and pole by its names, or else the observation by its numbers."""
    if holds_cart_and_pole(data):
        qpos, qvel = data.infos["qpos"], data.infos["qvel"]
        return [
            Column("x", "m", qpos[:, 0]),
            Column("ẋ", "m/s", qvel[:, 0]),
            Column("θ", "rad", qpos[:, 1]),
            Column("θ̇", "rad/s", qvel[:, 1]),
        ]
    flat = data.observations.reshape(data.steps, -1)  # (N, …) -> (N, obs)
    return [Column(f"observation {i}", "", flat[:, i]) for i in range(flat.shape[1])]


def holds_cart_and_pole(data: Episodes) -> bool:
    """Whether every row has the state of a cart and pole, and the push on it."""
    shapes = {"qpos": (2,), "qvel": (2,), "push": ()}
    infos: Mapping[str, Array] = data.infos
    return all(name in infos and infos[name].shape[1:] == shape for name, shape in shapes.items())


def histogram(name: str, unit: str, values: Array, bins: int = BINS) -> Histogram:
    """Equal bins from the smallest to the largest finite value.

    Few whole numbers have a bin each, in whose middle they are; a constant has empty bins on either side.
    """
    numbers = values.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    if not len(finite):
        return Histogram(name, unit, np.zeros(1, np.int64), np.array([0.0, 1.0]), (np.nan, np.nan))
    low, high = float(finite.min()), float(finite.max())
    if values.dtype.kind in "iu" and high - low < bins:
        beside = BESIDE if low == high else 0
        edges = _edges(low - beside - 0.5, high + beside + 0.5, round(high - low) + 1 + 2 * beside)
    elif low == high:
        reach = max(abs(low) * BESIDE_CONSTANT, 0.5)
        edges = _edges(low - reach, high + reach, CONSTANT_BINS)
    else:
        edges = _edges(low, high, bins)
    return Histogram(name, unit, np.histogram(finite, edges)[0], edges, (low, high))


def _edges(low: float, high: float, bins: int) -> FloatArray:
    """Of equal bins; of a single one where numbers so close, or so far apart, have no others between them."""
    with np.errstate(over="ignore", invalid="ignore"):
        edges = np.linspace(low, high, bins + 1)
        if np.isfinite(edges).all() and (np.diff(edges) > 0.0).all():
            return edges
    return np.array([low, np.nextafter(high, np.inf)])


def coverage(across: Column, up: Column) -> Coverage:
    """Cells from the smallest to the largest values."""
    first, second = (histogram(column.name, column.unit, column.values) for column in (across, up))
    finite = np.isfinite(across.values) & np.isfinite(up.values)
    counts, _, _ = np.histogram2d(across.values[finite], up.values[finite], (first.edges, second.edges))
    return Coverage(first, second, counts.astype(np.int64))
