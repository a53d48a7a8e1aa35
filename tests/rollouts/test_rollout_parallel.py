"""Rollouts on several processors, in threads and in forked processes equal serial rollouts."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import cartpole_phys
from cartpole_phys.episodes import Episodes
from cartpole_phys.kernels.closed_loop import LANES
from cartpole_phys.numeric.philox import key_from_seed
from cartpole_phys.policies.controllers import proportional, uniform
from cartpole_phys.rollouts import collect as rollout
from cartpole_phys.rollouts.collect import collect, compiled_batches, cut, play, run_compiled
from cartpole_phys.rollouts.policy import CompiledPolicy
from cartpole_phys.system import CartPole
from tests.rollouts.test_rollout import BUSY, GAIN, IDS, assert_equal
from tests.support.commands import without_notice

gym.register_envs(cartpole_phys)


def _count_batches(monkeypatch: pytest.MonkeyPatch, processors: int) -> list[int]:
    """Record the sizes of started batches, with a patched number of processors."""
    begun: list[int] = []

    def run(system: CartPole, policy: CompiledPolicy, key: np.uint64, first: int, count: int) -> Episodes:
        begun.append(count)
        return run_compiled(system, policy, key, first, count)

    monkeypatch.setattr(rollout, "run_compiled", run)
    monkeypatch.setattr(rollout, "processors", lambda: processors)
    return begun


@pytest.mark.parametrize("env_id", IDS)
def test_number_of_batches_matches_the_number_of_steps(env_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = _count_batches(monkeypatch, 32)
    system = CartPole.from_id(env_id)
    assert collect(system, uniform(), 10, 0).steps == 10
    assert len(begun) == 1
    assert sum(begun) <= LANES
    begun.clear()
    rows = collect(system, uniform(), 50_000, 0)
    assert sum(begun) < len(rows) + 3 * LANES
    begun.clear()
    assert len(play(system, uniform(), 600, 0)) == 600
    assert sum(begun) == 600


def test_rollouts_do_not_depend_on_the_number_of_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    system = CartPole(push_rate=5.0)
    results = []
    for processors in (1, 2, 32):
        _count_batches(monkeypatch, processors)
        results.append((collect(system, uniform(), 60_001, 2), play(system, uniform(), 1_100, 2)))
    for collected, played in results[1:]:
        assert_equal(collected, results[0][0])
        assert_equal(played, results[0][1])


def test_interrupt_stops_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = threading.active_count()
    begun = _count_batches(monkeypatch, 2)

    def leave() -> None:
        batches = compiled_batches(CartPole(), proportional(GAIN, True), key_from_seed(0), lambda *_: 10_000)
        with closing(cut(batches, 10_000_000)) as stream:
            next(stream)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:  # its traceback keeps the frames alive
        leave()
    assert caught.tb is not None
    assert threading.active_count() == threads
    assert len(begun) <= 3


FORK = """
import os
import numpy as np
from cartpole_phys.policies.controllers import uniform
from cartpole_phys.rollouts.collect import collect
from cartpole_phys.system import CartPole
from cartpole_phys.vector import PhysCartPoleVectorEnv

def work():
    env = PhysCartPoleVectorEnv(8)
    env.reset(seed=0)
    observations = env.step(np.ones((8, 1), np.float32))[0]
    return collect(CartPole(), uniform(), 20_000, 0).observations.tobytes() + observations.tobytes()

expected = work()
child = os.fork()
if child == 0:
    os._exit(0 if work() == expected else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_rollouts_work_in_a_process_forked_after_a_rollout() -> None:
    command = [sys.executable, "-c", FORK]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, without_notice(result.stderr)) == (0, "")


def test_scalar_environments_are_thread_safe() -> None:
    together, count = threading.Barrier(4), 2_000

    def steps(seed: int, company: bool) -> list[tuple[Any, ...]]:
        env: Any = gym.make(IDS[seed % len(IDS)], **BUSY)
        env.action_space.seed(seed)
        outputs: list[tuple[Any, ...]] = [(env.reset(seed=seed)[0].tobytes(),)]
        if company:
            together.wait(timeout=60)
        for _ in range(count):
            observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
            outputs.append((observation.tobytes(), reward, terminated, truncated, info["push"]))
            if terminated or truncated:
                outputs.append((env.reset()[0].tobytes(),))
        return outputs

    alone = [steps(seed, False) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(steps, range(4), [True] * 4)) == alone
