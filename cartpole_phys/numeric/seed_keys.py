"""Keys of many seeds at once: NumPy's ``SeedSequence`` and ``PCG64``, compiled for seeds below 2**64.

``key_from_seed`` creates a generator for every seed, which takes 40 times as long as starting the episode.
Sources: NumPy's ``bit_generator.pyx`` (M. O'Neill's ``seed_seq``, 2015) and M. O'Neill, "PCG: a family of
simple fast space-efficient statistically good algorithms for random number generation" (2014).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cartpole_phys.numeric.compiled import inlined, kernel
from cartpole_phys.numeric.philox import key_from_seed

Keys = npt.NDArray[np.uint64]
Pool = tuple[np.uint32, np.uint32, np.uint32, np.uint32]  # of entropy
Wide = tuple[np.uint64, np.uint64]  # a 128-bit number: its high and its low half

_END = 2**64  # compiled code takes seeds below this
_INIT_A, _MULTIPLIER_A = np.uint32(0x43B0D7E5), np.uint32(0x931E8875)  # ``SeedSequence``: pool
_INIT_B, _MULTIPLIER_B = np.uint32(0x8B51F9DD), np.uint32(0x58F38DED)  # ``SeedSequence``: output
_MIX_LEFT, _MIX_RIGHT = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
_HALF_WORD = np.uint32(16)
_MULTIPLIER: Wide = (np.uint64(2549297995355413924), np.uint64(4865540595714422341))  # ``PCG64``
_LOW, _WORD, _ONE = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(1)
_ROTATION, _BITS = np.uint64(58), np.uint64(63)


@inlined
def _hashed(word: np.uint32, constant: np.uint32, multiplier: np.uint32) -> np.uint32:
    """A word hashed with a constant; the next constant is this one times ``multiplier``."""
    value = np.uint32(np.uint32(word ^ constant) * np.uint32(constant * multiplier))
    return np.uint32(value ^ (value >> _HALF_WORD))


@inlined
def _mixed(x: np.uint32, y: np.uint32) -> np.uint32:
    value = np.uint32(np.uint32(_MIX_LEFT * x) - np.uint32(_MIX_RIGHT * y))
    return np.uint32(value ^ (value >> _HALF_WORD))


@inlined
def _power(initial: np.uint32, multiplier: np.uint32, exponent: int) -> np.uint32:
    """The hash constant after ``exponent`` uses."""
    for _ in range(exponent):
        initial = np.uint32(initial * multiplier)
    return initial


@inlined
def _spread(
    source: np.uint32, a: np.uint32, b: np.uint32, c: np.uint32, used: int
) -> tuple[np.uint32, np.uint32, np.uint32]:
    """Mix one word of a pool into the three others; ``used`` constants were used before."""
    first = _power(_INIT_A, _MULTIPLIER_A, used)
    second = np.uint32(first * _MULTIPLIER_A)
    third = np.uint32(second * _MULTIPLIER_A)
    return (
        _mixed(a, _hashed(source, first, _MULTIPLIER_A)),
        _mixed(b, _hashed(source, second, _MULTIPLIER_A)),
        _mixed(c, _hashed(source, third, _MULTIPLIER_A)),
    )


@inlined
def _pool_of(seed: np.uint64) -> Pool:
    """The pool of ``SeedSequence(seed)``."""
    zero = np.uint32(0)
    a = _hashed(np.uint32(seed), _INIT_A, _MULTIPLIER_A)
    b = _hashed(np.uint32(seed >> _WORD), _power(_INIT_A, _MULTIPLIER_A, 1), _MULTIPLIER_A)
    c = _hashed(zero, _power(_INIT_A, _MULTIPLIER_A, 2), _MULTIPLIER_A)
    d = _hashed(zero, _power(_INIT_A, _MULTIPLIER_A, 3), _MULTIPLIER_A)
    b, c, d = _spread(a, b, c, d, 4)
    a, c, d = _spread(b, a, c, d, 7)
    a, b, d = _spread(c, a, b, d, 10)
    a, b, c = _spread(d, a, b, c, 13)
    return a, b, c, d


@inlined
def _output(low: np.uint32, high: np.uint32, used: int) -> np.uint64:
    """64 bits from two words of a pool, after ``used`` constants."""
    first = _power(_INIT_B, _MULTIPLIER_B, used)
    second = np.uint32(first * _MULTIPLIER_B)
    return np.uint64(_hashed(low, first, _MULTIPLIER_B)) | (
        np.uint64(_hashed(high, second, _MULTIPLIER_B)) << _WORD
    )


@inlined
def _sum(x: Wide, y: Wide) -> Wide:
    low = x[1] + y[1]
    return x[0] + y[0] + np.uint64(low < x[1]), low


@inlined
def _high_product(x: np.uint64, y: np.uint64) -> np.uint64:
    """The high 64 bits of a product of two 64-bit numbers."""
    x_low, x_high, y_low, y_high = x & _LOW, x >> _WORD, y & _LOW, y >> _WORD
    middle = x_high * y_low + ((x_low * y_low) >> _WORD)
    carry = (x_low * y_high + (middle & _LOW)) >> _WORD
    return x_high * y_high + (middle >> _WORD) + carry


@inlined
def _next_state(state: Wide, increment: Wide) -> Wide:
    """A step of PCG64's linear congruential generator."""
    high = _high_product(state[1], _MULTIPLIER[1]) + state[0] * _MULTIPLIER[1] + state[1] * _MULTIPLIER[0]
    return _sum((high, state[1] * _MULTIPLIER[1]), increment)


@inlined
def _first_output(start: Wide, sequence: Wide) -> np.uint64:
    """The first 64 bits of a ``PCG64`` seeded with these two numbers."""
    increment = (sequence[0] << _ONE) | (sequence[1] >> _BITS), (sequence[1] << _ONE) | _ONE
    high, low = _next_state(_next_state(_sum(increment, start), increment), increment)
    folded, turn = high ^ low, high >> _ROTATION
    return (folded >> turn) | (folded << ((~turn + _ONE) & _BITS))


@kernel
def _hash_seeds(seeds: Keys) -> Keys:
    keys, words = np.empty_like(seeds), np.empty((4, len(seeds)), np.uint64)
    high, low, sequence_high, sequence_low = words[0], words[1], words[2], words[3]
    for i in range(len(seeds)):  # a separate loop, so that the hashes are vectorized
        a, b, c, d = _pool_of(seeds[i])
        high[i], low[i] = _output(a, b, 0), _output(c, d, 2)
        sequence_high[i], sequence_low[i] = _output(a, b, 4), _output(c, d, 6)
    for i in range(len(seeds)):
        keys[i] = _first_output((high[i], low[i]), (sequence_high[i], sequence_low[i]))
    return keys


def keys_from_seeds(seeds: Sequence[int]) -> Keys:
    """``key_from_seed`` of n seeds, (n,); fast for seeds below 2**64, and faster for a range."""
    if isinstance(seeds, range) and seeds.step == 1 and seeds.stop <= _END:
        numbers = np.uint64(seeds.start) + np.arange(len(seeds), dtype=np.uint64)
    else:
        try:
            numbers = np.array(seeds, dtype=np.uint64)
        except OverflowError:
            return np.array([key_from_seed(seed) for seed in seeds], dtype=np.uint64)
    with np.errstate(over="ignore"):  # 64-bit numbers wrap around, also with disabled JIT
        return _hash_seeds(numbers)
