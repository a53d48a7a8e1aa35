"""Rollouts are bit-for-bit independent of processor, C library and work partitioning."""

import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cartpole_phys import batch as columns
from cartpole_phys.data.hashing import array_sha256
from cartpole_phys.kernels import action_distributions as distributions
from cartpole_phys.kernels import closed_loop
from cartpole_phys.kernels import control_laws as laws
from cartpole_phys.kernels import observe as sensing
from cartpole_phys.kernels import policy_call as network_call
from cartpole_phys.kernels import reset as starting
from cartpole_phys.kernels import scalar as single
from cartpole_phys.kernels import step as block
from cartpole_phys.kernels.integrators import INTEGRATORS
from cartpole_phys.numeric import compiled
from cartpole_phys.numeric import philox as random_stream
from cartpole_phys.numeric.philox import key_from_seed
from cartpole_phys.policies.controllers import proportional, swing_up, uniform
from cartpole_phys.policies.network import NetworkPolicy, compiled_network, executed, log_probs
from cartpole_phys.rollouts.collect import run_compiled
from cartpole_phys.rollouts.policy import CompiledPolicy
from cartpole_phys.system import CartPole
from cartpole_phys.tasks.balance import BALANCE
from cartpole_phys.tasks.swing_up import SWING_UP
from tests.support.networks import described

# One hash over all arrays of 100 episodes for every integrator, task and action kind, with and without
# friction, pushes, noise and random parameters.
EXPECTED = "a15864b3c30b0cebab249cb32de9a885145e9e71f732c33c34b223a1292f5d58"

# The same over networks: each nonlinearity and distribution, in rollouts and in batches of observations.
EXPECTED_OF_NETWORKS = "ab37aae04e83e0f1029dd9ac3d438231d83a43c50593aa9b45f093463d8f60b1"

OF_BALANCE = BALANCE.reward, BALANCE.observation
PLAIN, VARIED = block.Kind(True, False, *OF_BALANCE), block.Kind(False, True, *OF_BALANCE)
SWINGING = block.Kind(False, True, SWING_UP.reward, SWING_UP.observation)
VARIANTS = {
    "generic": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
    "old C library": {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-AVX2,-AVX512F"},
}
# Names in the symbol table of object code, where zeros surround them.
LIBM = re.compile(
    rb"\0((?:sin|cos|tan|sincos|asin|acos|atan2?|sinh|cosh|tanh|exp2?|expm1|log2?|log10|log1p|pow|fmod"
    rb"|floor|ceil|rint|round|trunc|fma|hypot|cbrt)f?)(?=\0)"
)
ALL = "from tests.kernels.test_same_bits import hashes, libm, kernels; print(*hashes(), *libm(kernels()))"


def _systems(integrator: str) -> Iterator[tuple[CartPole, CompiledPolicy]]:
    """Yield systems and policies that together cover all kernel features."""
    for friction in (0.0, 0.01):
        arguments: dict[str, Any] = {
            "integrator": integrator,
            "substeps": 2,
            "params": {"cart_friction": friction, "pole_damping": friction},
            "push_rate": 500 * friction,
            "observation_noise": friction,
            "randomize": {"pole_mass": [0.05, 0.2], "gravity": [5.0, 10.0]} if friction else {},
        }
        for continuous in (True, False):
            system = CartPole.from_arguments("balance", continuous, arguments)
            yield system, uniform()
            yield system, proportional(1.5, continuous)
        system = CartPole.from_arguments("swing_up", True, arguments)
        yield system, swing_up(system.params, noise=0.1)


def rollouts() -> str:
    """Hash rollouts that cover all kernel features."""
    hashes = []
    for integrator in INTEGRATORS:
        for system, policy in _systems(integrator):
            hashes += _rollout_hashes(system, policy)
    return array_sha256(np.array(hashes))


def _rollout_hashes(system: CartPole, policy: CompiledPolicy) -> list[str]:
    episodes = run_compiled(system, policy, key_from_seed(7), 0, 100)
    arrays = [*episodes.as_d4rl().values(), episodes.offsets, episodes.final_observations]
    return [array_sha256(array) for array in arrays]


def network_rollouts() -> str:
    """Hash rollouts and batches of policy networks."""
    arrays: list[np.ndarray] = []
    for task, continuous, what in (
        ("balance", True, described("tanh_gaussian", hidden=(64, 64))),
        ("balance", True, described("gaussian", "tanh", deterministic=True)),
        ("balance", False, described("categorical", "tanh", size=2)),
        ("swing_up", True, described("gaussian", "tanh", observation_size=5)),
    ):
        system = CartPole.from_arguments(task, continuous, {})
        episodes = run_compiled(system, compiled_network(*what), key_from_seed(7), 0, 100)
        arrays += [*episodes.as_d4rl().values(), episodes.final_observations]
    for distribution in ("tanh_gaussian", "gaussian", "categorical"):
        arrays += _batches(distribution)
    return array_sha256(np.array([array_sha256(array) for array in arrays]))


def _batches(distribution: str) -> list[np.ndarray]:
    """Evaluate a network on a batch of given observations."""
    description, weights = described(distribution, observation_size=17, size=6)
    policy = NetworkPolicy(description, weights)
    observations = np.random.default_rng(0).random((200, 17)).astype(np.float32)
    actions, infos = policy.act(observations, np.zeros(200))
    acted = infos.get("raw_actions", actions)
    arrays = [actions, *infos.values(), log_probs(description, weights, observations, acted)]
    return arrays if distribution == "categorical" else [*arrays, executed(description, acted)]


def hashes() -> list[str]:
    """Return all hashes to compare with ``EXPECTED``."""
    return [rollouts(), network_rollouts()]


def kernels() -> list[Any]:
    """Return all kernels; call those that ``hashes`` does not use."""
    used: list[Any] = [sensing.observe_kernel(BALANCE.observation, False), sensing.diagnose_columns]
    for integrator in INTEGRATORS:  # kernels with friction contain all code of the others
        randomize = (("cart_friction", 1.0, 9.0),)
        system = CartPole(
            integrator=integrator, push_rate=1.0, observation_noise=(0.01,) * 4, randomize=randomize
        )
        some = columns.Columns(system, 8)
        some.begin()
        some.step(True)
        some.restart(some.observe())
        some.diagnostics()
        some.begin_one(some.memory, some.settings, 0.0, 1.0, np.empty(4, np.float32))
        some.step_one(some.memory, some.settings, 1.0, np.empty(4, np.float32))
        used += [block.step_kernel(integrator, VARIED)]
        used += [single.step_one_kernel(integrator, True, *OF_BALANCE, False)]
        used += [closed_loop.simulate_kernel(integrator, kind) for kind in (PLAIN, VARIED, SWINGING)]
    sensor = sensing.sensor_of(BALANCE.observation, plain=False)
    used += [single.begin_one_kernel(True, BALANCE.observation, False)]
    used += [starting.begin_kernel(True), starting.restart_kernel(True, sensor)]
    used += [network_call.act_columns, distributions.act_rows, distributions.log_prob_rows]
    return [*used, distributions.execute_rows, random_stream.normals, laws.bernoulli_log_probs]


def libm(used: list[Any]) -> set[str]:
    """List the C library functions called by the kernels' cached object code."""
    found = set()
    for one in used:
        assert one.overloads
        for signature in one.overloads:
            found.update(LIBM.findall(one._cache._path(signature, one.targetctx).read_bytes()))
    return {name.decode() for name in found}


def _python(program: str, cache: Path, **variables: str) -> str:
    """Run a program in a new process with an empty kernel cache and return its output."""
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(cache),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        **variables,
    }
    result = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_one_hash_and_no_libm() -> None:
    assert hashes() == [EXPECTED, EXPECTED_OF_NETWORKS]
    assert libm(kernels()) == set()


# Slower check of the same property with another C library.
@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_one_hash_on_every_processor_and_no_libm(variant: str, tmp_path: Path) -> None:
    assert _python(ALL, tmp_path, **VARIANTS[variant]).split() == [EXPECTED, EXPECTED_OF_NETWORKS]


def test_libm_search_detects_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "CACHE_FOLDER", tmp_path)
    for _ in range(2):  # compiled, and loaded
        wave: Any = compiled.kernel(lambda angle: math.sin(angle))
        wave(1.0)
        assert libm([wave]) == {"sin"}


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_threads_and_chunks_do_not_change_the_results(integrator: str) -> None:
    system = CartPole(integrator=integrator)
    rng = np.random.default_rng(0)
    whole, forces = rng.normal(size=(4, 10_000)), rng.normal(size=10_000)
    start = whole.copy()
    for _ in range(5):
        columns.move(system, whole, forces)
    for threads, size in ((1, 1_000), (2, 777), (2, 64)):
        pieces = [np.ascontiguousarray(start[:, i : i + size]) for i in range(0, 10_000, size)]
        parts = [np.ascontiguousarray(forces[i : i + size]) for i in range(0, 10_000, size)]

        def run(index: int, pieces: list[np.ndarray] = pieces, parts: list[np.ndarray] = parts) -> None:
            for _ in range(5):
                columns.move(system, pieces[index], parts[index])

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(run, range(len(pieces))))
        np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole)
