"""Sine and cosine from polynomials, the same bits on every processor.

The C library picks its sine by the processor at hand, so its last bit can differ between machines; these
use only IEEE 754 additions and multiplications and have no branch, so compilers can vectorise them.
Coefficients: fdlibm (Sun Microsystems, 1993), ``k_sin.c``, ``k_cos.c`` and ``e_rem_pio2.c``.
"""

from __future__ import annotations

from cartpole_phys.numeric.compiled import inlined

QUARTER_PI = 0.78539816339744830962
TWO_OVER_PI = 6.36619772367581382433e-01
LARGEST_TAIL = 1e-9  # rad, far above an ulp of π/4
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
def _reduce(angle: float) -> tuple[float, float, int]:
    """The angle's distance to the nearest multiple of π/2, as a head and a tail, and that multiple."""
    quadrant = (angle * TWO_OVER_PI + ROUND_TO_INTEGER) - ROUND_TO_INTEGER
    rest, error_1 = _subtract_exactly(angle - quadrant * HALF_PI_1, quadrant * HALF_PI_2)
    rest, error_2 = _subtract_exactly(rest, quadrant * HALF_PI_3)
    correction = (error_1 + error_2) - quadrant * HALF_PI_4
    head = rest + correction
    return head, (rest - head) + correction, int(quadrant)


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

    Where the reduction of a larger angle leaves nothing of it they are 0 and 1, so that neither is ever
    beyond ±1; of what is not finite they are NaN.
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
