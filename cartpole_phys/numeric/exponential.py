"""Exponential, logarithm and hyperbolic tangent from polynomials, the same bits on every processor.

As in ``trigonometry``: only IEEE 754 operations, no branch, so that compilers can vectorise them. Doubles are
taken apart and put together by their bits, since conversions between floats and integers are slow where
vectors are short. Coefficients: fdlibm (Sun Microsystems, 1993), ``e_exp.c`` and ``e_log.c``.
"""

from __future__ import annotations

import numpy as np

from cartpole_phys.numeric.compiled import inlined
from cartpole_phys.numeric.trigonometry import ROUND_TO_INTEGER

ONE_OVER_LN_2 = 1.44269504088896338700e00
LN_2_HIGH = 6.93147180369123816490e-01  # 33 bits, so that its products with an exponent are exact
LN_2_LOW = 1.90821492927058770002e-10
LARGEST = 708.0  # e^±708 are the last whole powers that are neither subnormal nor infinite

P1, P2, P3 = 1.66666666666666019037e-01, -2.77777777770155933842e-03, 6.61375632143793436117e-05
P4, P5 = -1.65339022054652515390e-06, 4.13813679705723846039e-08
L1, L2, L3 = 6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01
L4, L5, L6 = 2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01
L7 = 1.479819860511658591e-01

_MANTISSA_BITS = np.uint64(52)
_MANTISSA = np.uint64(0x000FFFFFFFFFFFFF)
_BIAS = np.uint64(1023)  # of the exponent
_ROOT_HALF = np.uint64(0x3FE6A09E00000000)  # the bits of √½, rounded to 21 bits
_ONE_OVER_ROOT_HALF = np.uint64(0x3FF0000000000000 - 0x3FE6A09E00000000)  # adds bits as if it multiplied
_TWO_52 = np.uint64(0x4330000000000000)  # the bits of 2⁵²: an integer put below them is that much more
_TWO_52_AND_BIAS = 2.0**52 + 1023.0


@inlined
def _bits(x: float) -> np.uint64:
    """The bits of a double."""
    return np.float64(x).view(np.uint64)


@inlined
def _double(bits: np.uint64) -> float:
    """The double of these bits."""
    return np.uint64(bits).view(np.float64)


@inlined
def _exp_parts(x: float) -> tuple[float, float]:
    """e^x as ``(part + 1) × power``, with a power of 2 and |part| below 0.42; |x| is at most 708.

    Only where the power is 1 is ``part`` small, and then it is e^x − 1 within 1 ulp.
    """
    shifted = x * ONE_OVER_LN_2 + ROUND_TO_INTEGER  # its lowest bits are the exponent
    exponent = shifted - ROUND_TO_INTEGER
    power = _double((_bits(shifted) + _BIAS) << _MANTISSA_BITS)
    high, low = x - exponent * LN_2_HIGH, exponent * LN_2_LOW
    rest = high - low
    t = rest * rest
    c = rest - t * (P1 + t * (P2 + t * (P3 + t * (P4 + t * P5))))
    return high - (low - (rest * c) / (2.0 - c)), power


@inlined
def exp(x: float) -> float:
    """e^x within 1 ulp; beyond |x| = 708 it stays what it is there."""
    above = -LARGEST if x < -LARGEST else x
    part, power = _exp_parts(LARGEST if above > LARGEST else above)
    return (1.0 + part) * power


@inlined
def tanh(x: float) -> float:
    """The hyperbolic tangent within 3 ulp: −t / (2 + t) with t = e^(−2|x|) − 1."""
    size = abs(x)
    part, power = _exp_parts(-LARGEST if size > 0.5 * LARGEST else -2.0 * size)
    t = power * part + (power - 1.0)
    ratio = -t / (2.0 + t)
    return -ratio if x < 0.0 else ratio


@inlined
def log(x: float) -> float:
    """The natural logarithm of a positive normal number, within 1 ulp."""
    bits = _bits(x) + _ONE_OVER_ROOT_HALF
    exponent = _double((bits >> _MANTISSA_BITS) | _TWO_52) - _TWO_52_AND_BIAS
    f = _double((bits & _MANTISSA) + _ROOT_HALF) - 1.0  # x = 2^exponent × (1 + f)
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    rest = z * (L1 + w * (L3 + w * (L5 + w * L7))) + w * (L2 + w * (L4 + w * L6))
    half_square = 0.5 * f * f
    return s * (half_square + rest) + exponent * LN_2_LOW - half_square + f + exponent * LN_2_HIGH


@inlined
def softplus(x: float) -> float:
    """log(1 + e^x) within 2 ulp, without overflow for any x.

    The sum 1 + e^−|x| loses digits; its rounding error is added to the logarithm in first order.
    """
    small = exp(-abs(x))
    total = 1.0 + small
    tail = log(total) + (small - (total - 1.0)) / total
    return tail + (x if x > 0.0 else 0.0)
