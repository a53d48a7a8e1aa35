"""Exponential, logarithm, tanh and softplus compared with mpmath, and normal random numbers."""

import math
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from scipy import stats

from cartpole_phys.numeric.compiled import kernel
from cartpole_phys.numeric.elementary import LARGEST, exp, log, softplus, tanh
from cartpole_phys.numeric.philox import normals

EXP, LOG, TANH, SOFTPLUS = range(4)


@kernel
def _of(x: np.ndarray) -> np.ndarray:
    out = np.empty((4, len(x)))
    for i in range(len(x)):
        out[EXP, i], out[LOG, i], out[TANH, i], out[SOFTPLUS, i] = (
            exp(x[i]),
            log(abs(x[i])),
            tanh(x[i]),
            softplus(x[i]),
        )
    return out


def _softplus(x: mpmath.mpf) -> mpmath.mpf:
    return mpmath.log1p(mpmath.exp(x))


def _log(x: mpmath.mpf) -> mpmath.mpf:
    return mpmath.log(abs(x))


RNG = np.random.default_rng(0)
UNIT = RNG.uniform(-1.0, 1.0, 1_000)
WIDE = RNG.uniform(-40.0, 40.0, 1_000)
TINY = RNG.choice([-1.0, 1.0], 500) * 10.0 ** RNG.uniform(-300, 0, 500)
NEAR_ONE = 1.0 - 10.0 ** RNG.uniform(-16, -1, 500)
VAST = np.append(RNG.uniform(-LARGEST, LARGEST, 500), [LARGEST, -LARGEST])


@pytest.mark.parametrize(
    ("function", "exact", "ulps", "points"),
    [
        (EXP, mpmath.exp, 1.0, [UNIT, WIDE, TINY, VAST]),
        (LOG, _log, 1.0, [UNIT, WIDE, TINY, NEAR_ONE, VAST]),
        (TANH, mpmath.tanh, 3.0, [UNIT, WIDE, TINY, VAST]),
        (SOFTPLUS, _softplus, 2.0, [UNIT, WIDE, TINY, VAST]),
    ],
)
def test_error_in_ulp(
    function: int, exact: Callable[[mpmath.mpf], mpmath.mpf], ulps: float, points: list[np.ndarray]
) -> None:
    x = np.concatenate(points)
    got = _of(x)[function]
    with mpmath.workdps(60):
        for argument, value in zip(x.tolist(), got.tolist(), strict=True):
            expected = exact(mpmath.mpf(argument))
            error = abs(mpmath.mpf(value) - expected) / mpmath.mpf(math.ulp(float(expected)))
            assert error < ulps, argument


def test_large_arguments_and_nan() -> None:
    far = _of(np.array([np.inf, -np.inf, 1e300, -1e300]))
    np.testing.assert_array_equal(far[EXP], _of(LARGEST * np.array([1.0, -1.0, 1.0, -1.0]))[EXP])
    np.testing.assert_array_equal(far[TANH], [1.0, -1.0, 1.0, -1.0])
    np.testing.assert_array_equal(far[SOFTPLUS][[0, 2]], [np.inf, 1e300])
    assert (far[SOFTPLUS][[1, 3]] < 1e-300).all()
    nothing = _of(np.array([np.nan]))[:, 0]
    assert np.isnan(nothing[[EXP, TANH, SOFTPLUS]]).all()
    zero = _of(np.array([0.0, -0.0]))
    np.testing.assert_array_equal(zero[EXP], 1.0)
    np.testing.assert_array_equal(zero[TANH], 0.0)


def test_tanh_is_odd_and_exp_is_monotone() -> None:
    x = np.sort(RNG.uniform(0.0, 30.0, 100_000))
    np.testing.assert_array_equal(_of(-x)[TANH], -_of(x)[TANH])
    assert (np.diff(_of(x)[EXP]) >= 0).all()
    assert (_of(x)[TANH] <= 1.0).all()


def test_normal_samples_follow_the_distribution() -> None:
    first, second = 1.0 - RNG.random((400, 1_000)), RNG.random((400, 1_000))
    drawn = normals(first, second).ravel()
    count = len(drawn)
    assert abs(drawn.mean()) < 4.0 / math.sqrt(count)
    assert abs(drawn.var() - 1.0) < 4.0 * math.sqrt(2.0 / count)
    assert abs(stats.skew(drawn)) < 4.0 * math.sqrt(6.0 / count)
    assert abs(stats.kurtosis(drawn)) < 4.0 * math.sqrt(24.0 / count)
    assert stats.kstest(drawn, "norm").pvalue > 0.01
    edges = normals(np.array([[1.0, 2.0**-33]]), np.array([[0.3, 0.0]]))
    np.testing.assert_allclose(edges, [[0.0, math.sqrt(66.0 * math.log(2.0))]], rtol=1e-15)
