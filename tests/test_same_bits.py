"""A rollout's bits depend neither on the processor nor on the C library nor on how the work is split."""

import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from networks import described

from cartpole_phys.data.storage.hashing import array_sha256
from cartpole_phys.integrators import INTEGRATORS
from cartpole_phys.numeric.random_stream import key_from_seed
from cartpole_phys.policies.heuristic import proportional, uniform
from cartpole_phys.policies.network import NetworkPolicy, compiled_network, executed, log_probs
from cartpole_phys.policies.swing_up import swing_up
from cartpole_phys.rollout import run_compiled
from cartpole_phys.rollouts.policy import CompiledPolicy
from cartpole_phys.stepping.columns import move
from cartpole_phys.system import CartPole

# One hash over all arrays of 100 episodes for every integrator, task and action kind, with and without
# friction, pushes, noise and random parameters.
EXPECTED = "a15864b3c30b0cebab249cb32de9a885145e9e71f732c33c34b223a1292f5d58"

# The same over networks: each nonlinearity and distribution, in rollouts and in batches of anyone's.
EXPECTED_OF_NETWORKS = "ab37aae04e83e0f1029dd9ac3d438231d83a43c50593aa9b45f093463d8f60b1"

VARIANTS = {
    "host": {},
    "generic": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
    "old C library": {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-AVX2,-AVX512F"},
}
LIBM = (
    r"\b(sin|cos|tan|sincos|asin|acos|atan2?|sinh|cosh|tanh|exp2?|expm1|log2?|log10|log1p|pow|fmod"
    r"|floor|ceil|rint|round|trunc|fma|hypot|cbrt)f?\b"
)
PROGRAM = """
import numpy as np
from test_same_bits import network_rollouts, rollouts
from cartpole_phys.numeric import random_stream
from cartpole_phys.rollouts import closed_loop, distributions, laws, network_call
from cartpole_phys.stepping import block, columns, sensing, single, starting
from cartpole_phys.integrators import INTEGRATORS
from cartpole_phys.system import CartPole
print(rollouts(), network_rollouts())
kernels = [sensing.observe_columns]
for integrator in INTEGRATORS:  # with friction a kernel holds all that the others hold
    randomize = (("cart_friction", 1.0, 9.0),)
    some = columns.Columns(CartPole(integrator=integrator, push_rate=1.0, randomize=randomize), 8)
    some.begin(), some.step(True), some.restart(some.observe()), some.diagnostics()
    some.begin_one(some.memory, some.settings, 0.0, 1.0, np.empty(4, np.float32))
    some.step_one(some.memory, some.settings, 1.0, np.empty(4, np.float32))
    kernels += [block.step_kernel(integrator, block.Kind(alike=False, friction=True))]
    kernels += [single.step_one_kernel(integrator, True)]
    kernels += [closed_loop.simulate_kernel(integrator, kind) for kind in block.KINDS]
kernels += [single.begin_one_kernel(True), starting.begin_kernel(True), starting.restart_kernel(True)]
kernels += [network_call.act_columns, distributions.act_rows, distributions.log_prob_rows]
kernels += [distributions.execute_rows, random_stream.normals, laws.bernoulli_log_probs]
for kernel in (*kernels, sensing.diagnose_columns):
    print(*kernel.inspect_asm().values())
"""


def _systems(integrator: str) -> Iterator[tuple[CartPole, CompiledPolicy]]:
    """Systems and policies that together use everything that the kernels can do."""
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
    """One hash over rollouts of everything that the kernels can do."""
    hashes = []
    for integrator in INTEGRATORS:
        for system, policy in _systems(integrator):
            episodes = run_compiled(system, policy, key_from_seed(7), 0, 100)
            arrays = [*episodes.as_d4rl().values(), episodes.offsets, episodes.final_observations]
            hashes += [array_sha256(array) for array in arrays]
    return array_sha256(np.array(hashes))


def network_rollouts() -> str:
    """One hash over what networks do."""
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
        description, weights = described(distribution, observation_size=17, size=6)
        policy = NetworkPolicy(description, weights)
        observations = np.random.default_rng(0).random((200, 17)).astype(np.float32)
        actions, infos = policy.act(observations, np.zeros(200))
        acted = infos.get("raw_actions", actions)
        arrays += [actions, *infos.values(), log_probs(description, weights, observations, acted)]
        if distribution != "categorical":
            arrays.append(executed(description, acted))
    return array_sha256(np.array([array_sha256(array) for array in arrays]))


def _python(program: str, cache: Path, **variables: str) -> str:
    """What a program prints in a process of its own with an empty kernel cache."""
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(cache),
        "PYTHONPATH": str(Path(__file__).parent),
        **variables,
    }
    result = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


# Where no call of the C library is found, another library is the slower proof of the same.
@pytest.mark.parametrize(
    "variant",
    [pytest.param(name, marks=pytest.mark.slow) if name == "old C library" else name for name in VARIANTS],
)
def test_one_hash_on_every_processor_and_no_libm(variant: str, tmp_path: Path) -> None:
    printed = _python(PROGRAM, tmp_path, **VARIANTS[variant])
    hashes, assembly = printed.split("\n", 1)
    assert hashes.split() == [EXPECTED, EXPECTED_OF_NETWORKS]
    assert len(assembly) > 10_000
    assert re.findall(LIBM, assembly) == []


def test_the_search_for_libm_would_find_a_call() -> None:
    def wave(angle: float) -> float:
        return math.sin(angle)

    compiled: Any = numba.njit(wave)
    compiled(1.0)
    assert re.findall(LIBM, "".join(compiled.inspect_asm().values()))


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_threads_and_chunks_do_not_change_a_bit(integrator: str) -> None:
    system = CartPole(integrator=integrator)
    rng = np.random.default_rng(0)
    whole, forces = rng.normal(size=(4, 10_000)), rng.normal(size=10_000)
    start = whole.copy()
    for _ in range(5):
        move(system, whole, forces)
    for threads, size in ((1, 1_000), (2, 777), (2, 64)):
        pieces = [np.ascontiguousarray(start[:, i : i + size]) for i in range(0, 10_000, size)]
        parts = [np.ascontiguousarray(forces[i : i + size]) for i in range(0, 10_000, size)]

        def run(index: int, pieces: list[np.ndarray] = pieces, parts: list[np.ndarray] = parts) -> None:
            for _ in range(5):
                move(system, pieces[index], parts[index])

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(run, range(len(pieces))))
        np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole)
