"""Discretization of continuous values into tokens, with quantile or uniform bins per dimension."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cartpole_phys.utils.choices import unknown
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import FloatArray

QUANTILE, UNIFORM = "quantile", "uniform"


class Discretizer(nn.Module):
    """Discretizer of P dimensions into at most N bins each.

    ::

        edges    e₁   e₂   e₃  ∞  …        between the bins; unused edges are infinite
        token   0   1    2    3            number of edges less than or equal to the value
        value   v₀  v₁   v₂   v₃           decoded value: the mean of the bin's data

    A dimension with at most N distinct values gets a bin for each, so that constants, discrete actions and
    sparse rewards are decoded exactly. Quantiles follow Janner et al. (2021), who decode a token as the
    middle of its bin and reject a dimension with equal quantiles.
    """

    edges: Tensor  # (P, N − 1) float32, ascending
    values: Tensor  # (P, N) float32
    used: Tensor  # (P, N) bool

    def __init__(self, dimensions: int, bins: int) -> None:
        super().__init__()
        if bins < 2:
            raise InputError(f"Expected at least 2 bins, got {bins}.")
        self.bins = bins
        self.register_buffer("edges", torch.full((dimensions, bins - 1), torch.inf))
        self.register_buffer("values", torch.zeros(dimensions, bins))
        self.register_buffer("used", torch.zeros(dimensions, bins, dtype=torch.bool))

    def fit(self, data: FloatArray, binning: str = QUANTILE) -> None:
        """Fit the bins of all dimensions to ``data`` (N, P).

        Raises:
            InputError: if ``binning`` is unknown.
        """
        if binning not in (QUANTILE, UNIFORM):
            raise unknown("binning", binning, (QUANTILE, UNIFORM))
        for dimension, column in enumerate(data.astype(np.float32).T):
            edges = _edges(column, self.bins, binning)
            count = len(edges) + 1
            values = _means(column, edges)
            self.edges[dimension] = torch.inf
            self.edges[dimension, : count - 1] = torch.as_tensor(edges)
            self.values[dimension, :count] = torch.as_tensor(values)
            self.used[dimension] = torch.arange(self.bins, device=self.used.device) < count

    def encode(self, numbers: Tensor, first: int = 0) -> Tensor:
        """Encode numbers (…, n) of n dimensions, starting at ``first``, as tokens (…, n) int64."""
        edges = self.edges[first : first + numbers.shape[-1]]
        columns = numbers.float().flatten(0, -2).T.contiguous()  # (…, n) -> (M, n) -> (n, M)
        return torch.searchsorted(edges, columns, right=True).T.reshape(numbers.shape)  # -> (…, n)

    def decode(self, tokens: Tensor, first: int = 0) -> Tensor:
        """Decode tokens (…, n) of n dimensions, starting at ``first``, as numbers (…, n) float32."""
        dimensions = torch.arange(first, first + tokens.shape[-1], device=tokens.device)  # (n,)
        return self.values[dimensions, tokens]


def _edges(column: npt.NDArray[np.float32], bins: int, binning: str) -> FloatArray:
    """Bin edges of one dimension, strictly ascending."""
    distinct = np.unique(column)
    if len(distinct) <= bins:
        return (distinct[1:].astype(np.float64) + distinct[:-1]) / 2
    if binning == UNIFORM:
        return np.linspace(distinct[0], distinct[-1], bins + 1)[1:-1]
    ranks = np.linspace(0, len(column) - 1, bins + 1).astype(int)
    edges = np.unique(np.sort(column)[ranks[1:-1]])
    return edges[edges > distinct[0]].astype(np.float64)  # an edge at the minimum would leave bin 0 empty


def _means(column: npt.NDArray[np.float32], edges: FloatArray) -> FloatArray:
    """Mean of the data in each bin, or the bin's middle if it is empty."""
    tokens = np.searchsorted(edges.astype(np.float32), column, side="right")
    counts = np.bincount(tokens, minlength=len(edges) + 1)
    sums = np.bincount(tokens, weights=column, minlength=len(edges) + 1)
    ends = np.concatenate([[column.min()], edges, [column.max()]])
    return np.where(counts > 0, sums / np.maximum(counts, 1), (ends[1:] + ends[:-1]) / 2)
