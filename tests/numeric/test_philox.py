"""The Philox generator compared with published vectors, and the keys of environments."""

import sys
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import cartpole_phys
from cartpole_phys.numeric.compiled import kernel
from cartpole_phys.numeric.philox import (
    key_from_generator,
    key_from_seed,
    keys_from_generator,
    philox_block,
    uniforms,
)
from cartpole_phys.numeric.seed_keys import keys_from_seeds

gym.register_envs(cartpole_phys)

FULL = 0xFFFFFFFF
# Known answers for philox4x32-10 from Random123's kat_vectors (Salmon et al. 2011).
KNOWN = [
    ([0, 0, 0, 0], 0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ([FULL] * 4, (FULL << 32) | FULL, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        (0x299F31D0 << 32) | 0xA4093822,
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


@kernel
def _draw(key: np.uint64, episodes: int, step: int, purpose: int) -> np.ndarray:
    out = np.empty((episodes, 4))
    for e in range(episodes):
        out[e, 0], out[e, 1], out[e, 2], out[e, 3] = uniforms(key, e, step, purpose)
    return out


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_known_answers(counter: list[int], key: int, words: str) -> None:
    got = philox_block(np.array(counter, dtype=np.uint64), np.uint64(key))
    assert " ".join(f"{word:08x}" for word in got) == words


def test_samples_are_uniform_and_distinct() -> None:
    draws = [
        _draw(np.uint64(key), 20_000, step, purpose)
        for key in (1, 2)
        for step in (0, 1)
        for purpose in (0, 1)
    ]
    values = np.concatenate(draws).ravel()
    assert values.min() > 0.0
    assert values.max() < 1.0
    counts = np.histogram(values, bins=20, range=(0, 1))[0]
    expected = len(values) / 20
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 43.8  # 99.9 % quantile with 19 degrees of freedom
    assert len(np.unique(np.concatenate(draws), axis=0)) == 8 * 20_000


def test_seed_gives_the_key_of_env_reset() -> None:
    env = gym.make("PhysCartPole-v0").unwrapped
    env.reset(seed=42)
    assert env.columns.keys[0] == key_from_seed(42)  # type: ignore[attr-defined]


@pytest.mark.parametrize("bits", [8, 31, 32, 33, 63, 64, 65, 127, 128, 129, 160, 300])
def test_vectorized_keys_match_numpy(bits: int) -> None:
    random = np.random.default_rng(bits)
    drawn = [int.from_bytes(random.bytes(40)) >> (320 - bits) for _ in range(1_000)]
    seeds = [*drawn, 2**bits - 1, 2**bits, 2**bits + 1, 0]
    for several in (seeds, range(2**bits - 5, 2**bits + 5)):
        np.testing.assert_array_equal(keys_from_seeds(several), [key_from_seed(seed) for seed in several])


def test_batched_keys_match_single_draws() -> None:
    one, many = np.random.default_rng(3), np.random.default_rng(3)
    expected = [key_from_generator(one) for _ in range(100)]
    np.testing.assert_array_equal(keys_from_generator(many, 100), expected)
    assert one.bit_generator.state == many.bit_generator.state


@pytest.mark.parametrize(
    "seed", [7, 2**32 - 3, 2**64 - 3, 2**200, [3, 2**40, 0, 2**130, 3], [None, 4, None, 2**70, 5]]
)
def test_seeds_are_reported_and_match_scalar_episodes(seed: Any) -> None:
    envs: Any = gym.make_vec("PhysCartPole-v0", num_envs=5)
    envs.reset(seed=1)
    mask = np.array([True, True, False, True, True])
    observations = envs.reset(seed=seed, options={"reset_mask": mask})[0]
    own = [seed + i for i in range(5)] if isinstance(seed, int) else seed
    expected_seeds = [own[i] if mask[i] and own[i] is not None else 1 + i for i in range(5)]
    assert envs.np_random_seed == tuple(expected_seeds)
    for i in range(5):
        env = gym.make("PhysCartPole-v0")
        first = env.reset(seed=expected_seeds[i])[0]
        continues = mask[i] and own[i] is None  # continues with the next episode of its seed
        np.testing.assert_array_equal(observations[i], env.reset()[0] if continues else first)


def _events_of_a_seeded_reset(num_envs: int, seeds_of: Callable[[int], Any]) -> int:
    """Count the Python and C function calls of a second seeded reset."""
    envs = gym.make_vec("PhysCartPole-v0", num_envs=num_envs)
    events, seeds = 0, seeds_of(num_envs)
    envs.reset(seed=seeds)

    def count(*_: Any) -> None:
        nonlocal events
        events += 1

    sys.setprofile(count)
    try:
        envs.reset(seed=seeds)
    finally:
        sys.setprofile(None)
    return events


@pytest.mark.parametrize(
    "seeds_of",
    [lambda num_envs: 2, lambda num_envs: list(range(num_envs)), np.arange],
    ids=["one", "list", "array"],
)
def test_seeded_reset_calls_do_not_scale_with_num_envs(seeds_of: Callable[[int], Any]) -> None:
    assert _events_of_a_seeded_reset(1_000, seeds_of) == _events_of_a_seeded_reset(10, seeds_of)


@pytest.mark.slow
def test_seeded_reset_time_is_at_most_three_times_gymnasiums() -> None:
    ours = gym.make_vec("PhysCartPoleDiscrete-v0", num_envs=20_000)
    theirs = gym.make_vec("CartPole-v1", num_envs=20_000, vectorization_mode="vector_entry_point")
    seconds: dict[int, list[float]] = {0: [], 1: []}
    for seed in range(20):
        for side, envs in enumerate((ours, theirs)):
            start = time.perf_counter()
            envs.reset(seed=seed)
            seconds[side].append(time.perf_counter() - start)
    assert min(seconds[0]) <= 3.0 * min(seconds[1])
