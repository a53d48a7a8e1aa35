"""Elementary functions from polynomials, bit-for-bit equal on every processor.

The C library selects its implementation by processor, so its last bit can differ between machines; these
functions use only IEEE 754 arithmetic without branches, so compilers can vectorize them.
Coefficients: fdlibm (Sun Microsystems, 1993), ``k_sin.c``, ``k_cos.c`` and ``e_rem_pio2.c``.
"""

from __future__ import annotations

import numpy as np

from cartpole_phys.numeric.compiled import inlined

QUARTER_PI = 0.78539816339744830962
TWO_OVER_PI = 6.36619772367581382433e-01
# Radians, far above an ulp of π/4. No angle is known that only this bound finds lost; it replaces a proof.
LARGEST_TAIL = 1e-9
ROUND_TO_INTEGER = 6755399441055744.0  # 1.5 × 2⁵²: adding and subtracting it rounds to the nearest integer

# π/2 in four parts. The first three have 33 bits, so that their products with a quadrant number below 2²⁰
# are exact.
HALF_PI_1 = 1.57079632673412561417e00
HALF_PI_2 = 6.07710050630396597660e-11
HALF_PI_3 = 2.02226624871116645580e-21
HALF_PI_4 = 8.47842766036889956997e-32

S1, S2, S3 = -1.66666666666666324348e-01, 8.33333333332248946124e-03, -1.98412698298579493134e-04
S4, S5, S6 = 2.75573137070700676789e-06, -2.50507602534068634195e-08, 1.58969099521155010221e-10
C1, C2, C3 = 4.16666666666666019037e-02, -1.38888888888741095749e-03, 2.48015872894767294178e-05
C4, C5, C6 = -2.75573143513906633035e-07, 2.08757232129817482790e-09, -1.13596475577881948265e-11


@inlined
def _subtract_exactly(a: float, b: float) -> tuple[float, float]:
    """``a − b`` as a rounded difference and its rounding error (Knuth's two-sum)."""
    difference = a - b
    b_part = a - difference
    a_part = difference + b_part
    return difference, (a - a_part) + (b_part - b)


@inlined
def _reduce(angle: float) -> tuple[float, float, np.int64]:
    """The angle's distance to the nearest multiple of π/2, as a head and a tail, and that multiple."""
    quadrant = (angle * TWO_OVER_PI + ROUND_TO_INTEGER) - ROUND_TO_INTEGER
    rest, error_1 = _subtract_exactly(angle - quadrant * HALF_PI_1, quadrant * HALF_PI_2)
    rest, error_2 = _subtract_exactly(rest, quadrant * HALF_PI_3)
    correction = (error_1 + error_2) - quadrant * HALF_PI_4
    head = rest + correction
    return head, (rest - head) + correction, np.int64(quadrant)


@inlined
def _polynomials(x: float, tail: float) -> tuple[float, float]:
    """Sine and cosine of ``x + tail`` for |x| ≤ π/4 and a tail below half an ulp of x."""
    z = x * x
    w = z * z
    sine_rest = S2 + z * (S3 + z * (S4 + z * (S5 + z * S6)))
    sine = x - ((z * (0.5 * tail - z * x * sine_rest) - tail) - z * x * S1)
    cosine_rest = z * (C1 + z * (C2 + z * C3)) + w * w * (C4 + z * (C5 + z * C6))
    half_square = 0.5 * z
    one_minus = 1.0 - half_square
    return sine, one_minus + (((1.0 - one_minus) - half_square) + (z * cosine_rest - x * tail))


@inlined
def sin_cos_near_zero(angle: float) -> tuple[float, float]:
    """Sine and cosine of an angle with |angle| < π/4: the bits of ``sin_cos`` without its reduction."""
    return _polynomials(angle + 0.0, 0.0)  # the reduction makes −0 a 0 too


@inlined
def sin_cos(angle: float) -> tuple[float, float]:
    """Sine and cosine of an angle in radians, within 1 ulp for |angle| up to 10⁶.

    They are 0 and 1 for angles so large that the reduction loses all precision, so that results are always
    within ±1, and NaN for angles that are not finite.
    """
    x, tail, quadrant = _reduce(angle)
    sine, cosine = _polynomials(x, tail)
    swapped = (quadrant & 1) != 0
    sine_out = cosine if swapped else sine
    cosine_out = sine if swapped else cosine
    lost = (abs(x) >= 1.0) | (abs(tail) >= LARGEST_TAIL)
    return (
        0.0 if lost else (-sine_out if (quadrant & 2) != 0 else sine_out),
        1.0 if lost else (-cosine_out if ((quadrant + 1) & 2) != 0 else cosine_out),
    )


ONE_OVER_LN_2 = 1.44269504088896338700e00
LN_2_HIGH = 6.93147180369123816490e-01  # 33 bits, so that its products with an exponent are exact
LN_2_LOW = 1.90821492927058770002e-10
LARGEST = 708.0  # largest integer n for which e^±n is neither subnormal nor infinite

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
_TWO_52 = np.uint64(0x4330000000000000)  # the bits of 2⁵²: OR with an integer n gives 2⁵² + n
_TWO_52_AND_BIAS = 2.0**52 + 1023.0


@inlined
def _bits(x: float) -> np.uint64:
    """The bits of a double."""
    return np.float64(x).view(np.uint64)


@inlined
def _double(bits: np.uint64) -> float:
    """The double with these bits."""
    return np.uint64(bits).view(np.float64)


@inlined
def _exp_parts(x: float) -> tuple[float, float]:
    """e^x as ``(part + 1) × power``, with a power of 2 and |part| below 0.42, for |x| at most 708.

    If the power is 1, ``part`` is e^x − 1 within 1 ulp.
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
    """e^x within 1 ulp; x is clipped to ±708."""
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
