"""Discretization round trips within the bin width."""

import numpy as np
import pytest
import torch

from cartpole_phys.utils.errors import InputError
from dt.data.discretizer import QUANTILE, UNIFORM, Discretizer

BINS = 20
GENERATOR = np.random.default_rng(0)
DATA = np.stack(
    [
        GENERATOR.normal(size=5_000),
        np.ones(5_000),  # constant
        GENERATOR.choice([-1.0, 0.25, 7.0], size=5_000, p=[0.01, 0.98, 0.01]),  # sparse
        np.clip(GENERATOR.normal(size=5_000), -0.5, 0.5),  # a third of the values at each bound
        GENERATOR.exponential(size=5_000) ** 3,
    ],
    axis=1,
)


def fitted(binning: str) -> Discretizer:
    discretizer = Discretizer(DATA.shape[1], BINS)
    discretizer.fit(DATA, binning)
    return discretizer


@pytest.mark.parametrize("binning", [QUANTILE, UNIFORM])
def test_encode_inverts_decode(binning: str) -> None:
    discretizer = fitted(binning)
    every = torch.arange(BINS)[:, None].expand(BINS, DATA.shape[1])
    encoded = discretizer.encode(discretizer.decode(every))
    assert torch.equal(encoded[discretizer.used.T], every[discretizer.used.T])


@pytest.mark.parametrize("binning", [QUANTILE, UNIFORM])
def test_round_trip_error_is_at_most_the_bin_width(binning: str) -> None:
    discretizer = fitted(binning)
    numbers = torch.as_tensor(DATA)
    tokens = discretizer.encode(numbers)
    assert discretizer.used[torch.arange(DATA.shape[1]), tokens].all()
    error = (discretizer.decode(tokens) - numbers).abs().amax(dim=0)
    edges = discretizer.edges.masked_fill(discretizer.edges.isinf(), torch.nan).numpy()
    for dimension, column in enumerate(DATA.T):
        known = edges[dimension][~np.isnan(edges[dimension])]
        widths = np.diff(np.concatenate([[column.min()], known, [column.max()]]))
        assert error[dimension] <= widths.max() + 1e-6
    assert error[1] == 0.0
    assert error[2] == 0.0
    assert discretizer.used.sum(dim=1)[1:3].tolist() == [1, 3]


def test_quantile_bins_have_equal_counts_and_uniform_bins_equal_width() -> None:
    tokens = fitted(QUANTILE).encode(torch.as_tensor(DATA))[:, 0]
    counts = torch.bincount(tokens, minlength=BINS)
    assert counts.min() >= 5_000 // BINS - 2
    assert counts.max() <= 5_000 // BINS + 2
    widths = fitted(UNIFORM).edges[0].diff()
    torch.testing.assert_close(widths, widths[:1].expand_as(widths), atol=1e-4, rtol=0)


def test_repeated_extreme_values_keep_their_bins() -> None:
    """A dimension with many values at its minimum and maximum, such as clipped actions."""
    discretizer = fitted(QUANTILE)
    ends = torch.full((2, 5), 0.5)
    ends[0] = -0.5
    encoded = discretizer.decode(discretizer.encode(ends))[:, 3]
    torch.testing.assert_close(encoded, torch.tensor([-0.5, 0.5]), atol=0.03, rtol=0)


def test_out_of_range_values_map_to_the_outer_bins() -> None:
    discretizer = fitted(QUANTILE)
    far = discretizer.encode(torch.tensor([[-1e9] * 5, [1e9] * 5]))
    assert far[0].tolist() == [0] * 5
    assert far[1].tolist() == (discretizer.used.sum(dim=1) - 1).tolist()


def test_encoding_a_subset_of_dimensions() -> None:
    discretizer = fitted(QUANTILE)
    numbers = torch.as_tensor(DATA[:7])
    tokens = discretizer.encode(numbers)
    part = discretizer.encode(numbers[:, 2:4].reshape(7, 1, 2), first=2)
    assert torch.equal(part[:, 0], tokens[:, 2:4])
    assert torch.equal(discretizer.decode(part, first=2)[:, 0], discretizer.decode(tokens)[:, 2:4])


def test_invalid_settings_are_rejected() -> None:
    with pytest.raises(InputError, match="at least 2 bins, got 1"):
        Discretizer(3, 1)
    with pytest.raises(InputError, match="Unknown binning 'odd'; choose from quantile, uniform"):
        Discretizer(5, 4).fit(DATA, "odd")
