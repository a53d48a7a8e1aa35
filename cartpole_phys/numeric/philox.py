"""Counter-based random number generator (Philox4x32-10), stateless: keyed by environment, episode and step.

Numbers are a pure function of environment key, episode, step and purpose, so any single episode can be
reproduced, in any order and on any thread. Source: Salmon et al., "Parallel random numbers: as easy as 1, 2,
3", SC 2011.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cartpole_phys.numeric.compiled import inlined, kernel
from cartpole_phys.numeric.elementary import log, sin_cos
from cartpole_phys.utils.errors import InputError, is_integer
from cartpole_phys.utils.typing import FloatArray

START = 0  # purposes: the start state of an episode
ACTION = 1  # the randomness of a policy
PUSH = 2  # random pushes on the cart
PARAMS = 3  # physical parameters drawn for an episode
NOISE = 4  # observation noise

_MASK = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)
_ROUNDS = 10

Words = tuple[np.uint64, np.uint64, np.uint64, np.uint64]


@inlined
def philox(c0: np.uint64, c1: np.uint64, c2: np.uint64, c3: np.uint64, key: np.uint64) -> Words:
    """Four 32-bit words for a 128-bit counter and a 64-bit key, each held in a 64-bit integer."""
    k0 = key & _MASK
    k1 = key >> _SHIFT
    for _ in range(_ROUNDS):
        product_0 = _MULTIPLIER_0 * c0
        product_1 = _MULTIPLIER_1 * c2
        c0, c1, c2, c3 = (
            (product_1 >> _SHIFT) ^ c1 ^ k0,
            product_1 & _MASK,
            (product_0 >> _SHIFT) ^ c3 ^ k1,
            product_0 & _MASK,
        )
        k0 = (k0 + _WEYL_0) & _MASK
        k1 = (k1 + _WEYL_1) & _MASK
    return c0, c1, c2, c3


@inlined
def _unit(word: np.uint64) -> float:
    """A 32-bit word as a number strictly between 0 and 1."""
    return (np.float64(word) + 0.5) * 2.0**-32


@inlined
def uniforms(key: np.uint64, episode: int, step: int, purpose: int) -> tuple[float, float, float, float]:
    """Four independent numbers, uniform on (0, 1), for one purpose at one step of one episode."""
    index = np.uint64(episode)
    a, b, c, d = philox(index & _MASK, index >> _SHIFT, np.uint64(step), np.uint64(purpose), np.uint64(key))
    return _unit(a), _unit(b), _unit(c), _unit(d)


@inlined
def normal(first: float, second: float) -> float:
    """A standard normal number from two uniform ones, ``first`` in (0, 1] and ``second`` in [0, 1].

    Source: G. Box and M. Muller, "A note on the generation of random normal deviates" (1958).
    """
    return math.sqrt(-2.0 * log(first)) * sin_cos(2.0 * math.pi * second)[1]


@kernel
def normals(first: FloatArray, second: FloatArray) -> FloatArray:
    """``normal`` of two arrays (n, k) of uniform numbers."""
    drawn = np.empty_like(first)
    for i in range(len(drawn)):
        for j in range(drawn.shape[1]):
            drawn[i, j] = normal(first[i, j], second[i, j])
    return drawn


@kernel
def philox_block(counter: np.ndarray, key: np.uint64) -> np.ndarray:
    """Philox4x32-10 of one counter, four words of 32 bits (for comparison with published test vectors)."""
    words = philox(counter[0], counter[1], counter[2], counter[3], key)
    return np.array(words, dtype=np.uint64)


def key_from_generator(generator: np.random.Generator) -> np.uint64:
    """Draw the 64-bit key of an environment from Gymnasium's ``np_random``."""
    return np.uint64(generator.integers(0, 2**64, dtype=np.uint64))


def keys_from_generator(generator: np.random.Generator, count: int) -> npt.NDArray[np.uint64]:
    """Draw the keys of several environments, (count,), equal to ``count`` single draws."""
    return generator.integers(0, 2**64, count, dtype=np.uint64)


def check_seed(seed: int) -> None:
    """Check a seed.

    Raises:
        InputError: unless it is an integer of at least 0.
    """
    if not is_integer(seed) or seed < 0:
        raise InputError(f"Expected a seed as an integer of at least 0, got {seed!r}.")


def key_from_seed(seed: int) -> np.uint64:
    """The key that ``env.reset(seed=seed)`` draws.

    Raises:
        InputError: unless the seed is an integer of at least 0.
    """
    check_seed(seed)
    return key_from_generator(np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed))))
