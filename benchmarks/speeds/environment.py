"""Steps per second against Gymnasium and EnvPool: ``python -m benchmarks.speeds.environment``.

Gymnasium's environments are stepped in this process. EnvPool has its own virtual environment, which ``make
bench`` installs; if that fails, its row is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count, cycle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import cartpole_phys
from benchmarks.speeds.side_by_side import (
    Child,
    PeerUnavailableError,
    append,
    compare,
    left_out,
    rate,
    run,
)

gym.register_envs(cartpole_phys)

OURS, PEER = "PhysCartPoleDiscrete-v0", "CartPole-v1"
SIZES = (64, 1_024, 4_096, 16_384)
BATCHES = 4  # of actions, in turns: few, because a policy's actions come fresh from the cache
STEPS_A_ROUND = 4_000_000  # environment steps, less for small batches
# Bytes that a step reads or writes per environment: the action as given, kept and used, the push, the state,
# the steps of the episode and whether it is over, each 8 bytes; observation, reward and flags are written.
MOVED_BYTES = 8 * (3 + 1 + 2 * 4 + 2 + 2) + (4 * 4 + 8 + 2)
SEEDED_SIZE, SEEDED_RESETS = 20_000, 50  # of a round
ENVPOOL_SIZE, ENVPOOL_THREADS = 4_096, 2
STILL = {"gravity": 1e-9, "force_mag": 1e-9}  # with these nothing moves, and no episode ends
FOLDER = Path(__file__).parent
RESULT = FOLDER.parent / "results" / "environment.json"
ENVPOOL_PYTHON = FOLDER.parent.parent / ".venv-envpool" / "bin" / "python"


def _vector_steps(env_id: str, num_envs: int, **kwargs: Any) -> Callable[[], float]:
    """A function that steps a vector environment for a round and returns steps per second."""
    envs = gym.make_vec(env_id, num_envs=num_envs, **kwargs)
    envs.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, 2, (BATCHES, num_envs))
    batches = cycle(actions)
    return lambda: rate(lambda: envs.step(next(batches)), _repeats(num_envs), num_envs)


def _repeats(num_envs: int) -> int:
    """Number of steps in a round."""
    return max(32, min(2_000, STEPS_A_ROUND // num_envs))


def _copies(num_envs: int) -> Callable[[], float]:
    """A function that copies as many bytes as the steps of a round move and returns steps per second."""
    source = np.zeros(MOVED_BYTES // 2 * num_envs, np.uint8)  # a copy reads and writes each byte
    target = np.zeros_like(source)
    return lambda: rate(lambda: np.copyto(target, source), _repeats(num_envs), num_envs)


def _seeded_resets(env_id: str) -> Callable[[], float]:
    """A function that resets all environments with seeds and returns environments reset per second."""
    envs = gym.make_vec(env_id, num_envs=SEEDED_SIZE)

    seeds = count()
    return lambda: rate(lambda: envs.reset(seed=next(seeds)), SEEDED_RESETS, SEEDED_SIZE)


def _scalar_steps(env_id: str) -> Callable[[], float]:
    """A function that steps one environment for a round, resets included, and returns steps per second."""
    env = gym.make(env_id).unwrapped
    env.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, 2, 10_000).tolist()

    def play() -> None:
        for action in actions:
            if env.step(action)[2]:
                env.reset()

    return lambda: rate(play, each=len(actions))


def _beside_envpool(rounds: int) -> dict[str, Any]:
    """The comparison with EnvPool, or the reason that it is missing."""
    work = f"vector step, {ENVPOOL_SIZE:,} environments, beside EnvPool"
    name = f"EnvPool, {ENVPOOL_THREADS} threads"
    # -I: not this process's module paths, nor this folder's, whose names must not shadow EnvPool's.
    script = [str(ENVPOOL_PYTHON), "-I", str(FOLDER / "peers" / "envpool_peer.py")]
    try:
        with Child([*script, str(ENVPOOL_SIZE), str(ENVPOOL_THREADS)]) as child:
            version = child.ask()["version"]
            ours = _vector_steps(OURS, ENVPOOL_SIZE)
            row = compare(work, name, ours, lambda: float(child.ask()["steps_per_second"]), rounds)
        return {**row, "peer_version": version}
    except PeerUnavailableError as error:
        return left_out(work, name, f"{error} (make bench installs EnvPool)")


def _storm(mode: str, rounds: int) -> dict[str, Any]:
    """Random actions, which end 4.5 % of the episodes per step, against a pole that never falls."""
    calm = _vector_steps(OURS, ENVPOOL_SIZE, autoreset_mode=mode, max_episode_steps=10**9, params=STILL)
    work = f"autoreset storm, {mode}, {ENVPOOL_SIZE:,} environments"
    return compare(
        work, "ours, no resets", _vector_steps(OURS, ENVPOOL_SIZE, autoreset_mode=mode), calm, rounds
    )


def measure(rounds: int) -> list[dict[str, Any]]:
    """All comparisons: random actions, with checks, resets and fresh arrays out."""
    rows = [
        compare(
            f"vector step, {size:,} environments",
            "Gymnasium, NumPy",
            _vector_steps(OURS, size),
            _vector_steps(PEER, size),
            rounds,
        )
        for size in SIZES
    ]
    largest = SIZES[-1]
    bound = compare(
        f"vector step, {largest:,} environments",
        f"a copy of {MOVED_BYTES} bytes per environment",
        _vector_steps(OURS, largest),
        _copies(largest),
        rounds,
    )
    scalar = compare("scalar step", "Gymnasium", _scalar_steps(OURS), _scalar_steps(PEER), rounds)
    seeded = compare(
        f"seeded reset, {SEEDED_SIZE:,} environments",
        "Gymnasium, NumPy",
        _seeded_resets(OURS),
        _seeded_resets(PEER),
        rounds,
    )
    storms = [_storm(mode, rounds) for mode in ("NextStep", "SameStep")]
    return [*rows, bound, scalar, seeded, _beside_envpool(rounds), *storms]


if __name__ == "__main__":
    run(measure, RESULT, f"Steps of {OURS} beside others' {PEER}", keep=append)
