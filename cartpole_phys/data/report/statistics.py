"""Statistics of a data set: histograms, quantiles and state coverage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.typing import Array, FloatArray, IntArray

BINS = 40
EMPTY_BINS = 2  # on either side of a constant integer
CONSTANT_BINS = 41  # of any other constant, which is in the middle one
CONSTANT_MARGIN = 1e-6  # minimum range on either side of a constant, relative to its magnitude
QUANTILES = (0.0, 0.01, 0.5, 0.99, 1.0)


class Histogram(NamedTuple):
    """Counts of values per bin."""

    name: str
    unit: str  # "" if dimensionless
    counts: IntArray  # (bins,)
    edges: FloatArray  # (bins + 1,)
    ends: tuple[float, float]  # the smallest and the largest value


class Coverage(NamedTuple):
    """Joint histogram of two state variables."""

    horizontal: Histogram
    vertical: Histogram
    counts: IntArray  # (bins horizontal, bins vertical)

    @property
    def fraction(self) -> float:
        """Fraction of non-empty cells."""
        return float((self.counts > 0).mean())


class Column(NamedTuple):
    """One component of the state or observation."""

    name: str
    unit: str
    values: Array  # (N,)

    @property
    def quantiles(self) -> list[float]:
        """Quantiles of the finite values, at ``QUANTILES``."""
        finite = self.values[np.isfinite(self.values)].astype(np.float64)
        return [float(value) for value in np.quantile(finite, QUANTILES)] if len(finite) else [np.nan] * 5


@dataclass(frozen=True, eq=False)
class Statistics:
    """Statistics of a data set."""

    steps: int
    episodes: int
    complete_episodes: int  # ended by termination or time limit
    mean_return: float | None  # of the eligible episodes; None if there are none
    returns: Histogram
    lengths: Histogram
    actions: list[Histogram]  # one per dimension
    columns: list[Column]
    coverage: list[Coverage]


def statistics_of(data: Episodes) -> Statistics:
    """Compute the statistics of a data set in memory."""
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
        coverage=[coverage(horizontal, vertical) for horizontal, vertical in pairs],
    )


def columns_of(data: Episodes) -> list[Column]:
    """State variables of a cart-pole by name, or else observation components by index."""
    if has_cart_pole_state(data):
        qpos, qvel = data.infos["qpos"], data.infos["qvel"]
        return [
            Column("x", "m", qpos[:, 0]),
            Column("ẋ", "m/s", qvel[:, 0]),
            Column("θ", "rad", qpos[:, 1]),
            Column("θ̇", "rad/s", qvel[:, 1]),
        ]
    flat = data.observations.reshape(data.steps, -1)  # (N, …) -> (N, obs)
    return [Column(f"observation {i}", "", flat[:, i]) for i in range(flat.shape[1])]


def has_cart_pole_state(data: Episodes) -> bool:
    """Whether the infos contain the state of a cart-pole and the push on the cart."""
    shapes = {"qpos": (2,), "qvel": (2,), "push": ()}
    infos: Mapping[str, Array] = data.infos
    return all(name in infos and infos[name].shape[1:] == shape for name, shape in shapes.items())


def histogram(name: str, unit: str, values: Array, bins: int = BINS) -> Histogram:
    """Histogram with equal bins from the smallest to the largest finite value.

    Integers of a small range have one bin each, centered on the value; a constant has empty bins beside it.
    """
    numbers = values.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    if not len(finite):
        return Histogram(name, unit, np.zeros(1, np.int64), np.array([0.0, 1.0]), (np.nan, np.nan))
    low, high = float(finite.min()), float(finite.max())
    if values.dtype.kind in "iu" and high - low < bins:
        margin = EMPTY_BINS if low == high else 0
        edges = _edges(low - margin - 0.5, high + margin + 0.5, round(high - low) + 1 + 2 * margin)
    elif low == high:
        reach = max(abs(low) * CONSTANT_MARGIN, 0.5)
        edges = _edges(low - reach, high + reach, CONSTANT_BINS)
    else:
        edges = _edges(low, high, bins)
    return Histogram(name, unit, np.histogram(finite, edges)[0], edges, (low, high))


def _edges(low: float, high: float, bins: int) -> FloatArray:
    """Edges of equal bins; of a single bin if rounding or overflow leaves no distinct edges between."""
    with np.errstate(over="ignore", invalid="ignore"):
        edges = np.linspace(low, high, bins + 1)
        if np.isfinite(edges).all() and (np.diff(edges) > 0.0).all():
            return edges
    return np.array([low, np.nextafter(high, np.inf)])


def coverage(horizontal: Column, vertical: Column) -> Coverage:
    """Joint histogram of two state variables, between their smallest and largest values."""
    first, second = (histogram(column.name, column.unit, column.values) for column in (horizontal, vertical))
    finite = np.isfinite(horizontal.values) & np.isfinite(vertical.values)
    counts, _, _ = np.histogram2d(
        horizontal.values[finite], vertical.values[finite], (first.edges, second.edges)
    )
    return Coverage(first, second, counts.astype(np.int64))
