"""Sine and cosine compared with mpmath."""

import math

import mpmath
import numpy as np
import pytest

from cartpole_phys.numeric.compiled import kernel
from cartpole_phys.numeric.elementary import QUARTER_PI, sin_cos, sin_cos_near_zero


@kernel
def _sin_cos_of(angles: np.ndarray) -> np.ndarray:
    out = np.empty((2, len(angles)))
    for i in range(len(angles)):
        out[0, i], out[1, i] = sin_cos(angles[i])
    return out


@kernel
def _near_zero(angles: np.ndarray) -> np.ndarray:
    out = np.empty((2, len(angles)))
    for i in range(len(angles)):
        out[0, i], out[1, i] = sin_cos_near_zero(angles[i])
    return out


def test_reduction_does_not_change_results_below_a_quarter_of_pi() -> None:
    inside = np.random.default_rng(0).uniform(-QUARTER_PI, QUARTER_PI, 1_000_000)
    edges = np.array([0.0, -0.0, 5e-324, 1e-30, np.nextafter(QUARTER_PI, 0), -np.nextafter(QUARTER_PI, 0)])
    angles = np.concatenate([inside, edges])
    np.testing.assert_array_equal(_near_zero(angles).view(np.int64), _sin_cos_of(angles).view(np.int64))
    beyond = np.array([1.5])
    assert (_near_zero(beyond) != _sin_cos_of(beyond)).any()


def _nearest_to_multiples(count: int) -> list[float]:
    """Return the doubles nearest to k·π/2, where a short range reduction loses all digits."""
    with mpmath.workdps(50):
        return [float(k * mpmath.pi / 2) for k in range(1, count)]


def _error_in_ulp(got: float, exact: mpmath.mpf) -> float:
    return float(abs(mpmath.mpf(got) - exact) / mpmath.mpf(math.ulp(float(exact))))


@pytest.mark.parametrize("bound", [0.3, 4.0, 1e4])
def test_within_one_ulp(bound: float) -> None:
    angles = np.random.default_rng(0).uniform(-bound, bound, 2_000)
    angles = np.concatenate([angles, [x for x in _nearest_to_multiples(6_366) if x <= bound][::7]])
    sine, cosine = _sin_cos_of(angles)
    with mpmath.workdps(60):
        for i, angle in enumerate(angles):
            assert _error_in_ulp(sine[i], mpmath.sin(mpmath.mpf(angle))) < 1.0, angle
            assert _error_in_ulp(cosine[i], mpmath.cos(mpmath.mpf(angle))) < 1.0, angle


def test_mirror_symmetry_bit_for_bit() -> None:
    angles = np.random.default_rng(1).uniform(-20, 20, 10_000)
    left, right = _sin_cos_of(-angles), _sin_cos_of(angles)
    np.testing.assert_array_equal(left[0], -right[0])
    np.testing.assert_array_equal(left[1], right[1])


def test_zero_and_nan() -> None:
    sine, cosine = _sin_cos_of(np.array([0.0, np.nan]))
    assert (sine[0], cosine[0]) == (0.0, 1.0)
    assert np.isnan(sine[1])
    assert np.isnan(cosine[1])


def test_absolute_values_are_at_most_one() -> None:
    bits = np.random.default_rng(0).integers(0, 0x7FF0 << 48, 1_000_000, dtype=np.uint64)
    angles = np.concatenate([bits.view(np.float64), [1e19, 2.0**52, 1.7e308, np.finfo(float).max]])
    for signed in (angles, -angles):
        for values in _sin_cos_of(signed):
            assert (np.abs(values) <= 1.0).all()
