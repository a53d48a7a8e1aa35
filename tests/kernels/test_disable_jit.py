"""With ``NUMBA_DISABLE_JIT=1`` the kernels run as Python and give bit-for-bit equal arrays."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import cartpole_phys
from cartpole_phys.policies.controllers import proportional, swing_up, uniform
from cartpole_phys.policies.network import compiled_network
from cartpole_phys.rollouts.collect import collect, play
from cartpole_phys.system import CartPole
from tests.support.networks import described

gym.register_envs(cartpole_phys)

IDS = ("PhysCartPole-v0", "PhysCartPoleDiscrete-v0", "PhysCartPoleSwingUp-v0")
VARIED: dict[str, Any] = {
    "integrator": "rk4",
    "params": {"cart_friction": 0.1, "pole_damping": 0.01},
    "randomize": {"gravity": [5.0, 10.0]},
    "observation_noise": 0.01,
    "push_rate": 20.0,
    "substeps": 2,
    "diagnostics": True,
}


def _scalar(env: Any) -> Iterator[Any]:
    """Yield all return values, and their types, of an episode of at most 40 steps."""
    env.action_space.seed(0)
    yield env.reset(seed=3)
    for _ in range(40):
        outputs = env.step(env.action_space.sample())
        yield outputs
        yield [type(value) for value in outputs]
        if outputs[2] or outputs[3]:
            break


def _vector(envs: Any) -> Iterator[Any]:
    envs.action_space.seed(0)
    yield envs.reset(seed=3)
    for _ in range(20):
        yield envs.step(envs.action_space.sample())


def _rollouts() -> Iterator[Any]:
    balance, discrete = CartPole(), CartPole(continuous=False)
    swing = CartPole.from_arguments("swing_up", True, {})
    for system, policy in (
        (balance, uniform()),
        (balance, compiled_network(*described("tanh_gaussian"))),
        (discrete, compiled_network(*described("categorical", "tanh", size=2))),
        (swing, swing_up(swing.params, noise=0.1)),
    ):
        yield play(system, policy, 3, seed=1).as_d4rl()
    yield collect(discrete, proportional(0.5, False), 30, seed=2).as_d4rl()
    yield collect(balance, proportional(1.5, True), 30, seed=2).as_d4rl()


def named_outputs() -> Iterator[tuple[str, Any]]:
    """Yield named outputs of environments and rollouts."""
    for env_id in IDS:
        for arguments in ({}, VARIED):
            yield f"{env_id} {bool(arguments)}", list(_scalar(gym.make(env_id, **arguments)))
            envs = gym.make_vec(env_id, num_envs=3, autoreset_mode="NextStep", **arguments)
            yield f"{env_id} {bool(arguments)} vector", list(_vector(envs))
    yield "rollouts", list(_rollouts())


def digest(value: Any) -> str:
    """Hash the dtypes, shapes and bits of the arrays."""
    if isinstance(value, dict):
        value = sorted(value.items())
    if isinstance(value, (list, tuple)):
        text = " ".join(map(digest, value))
    elif isinstance(value, np.ndarray):
        text = f"{value.dtype} {value.shape} {value.tobytes().hex()}"
    else:
        text = repr(value)
    return hashlib.sha256(text.encode()).hexdigest()


def digests() -> str:
    return "\n".join(f"{name}: {digest(value)}" for name, value in named_outputs())


def test_python_equals_the_compiled_kernels_bit_for_bit() -> None:
    result = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            "from tests.kernels.test_disable_jit import digests; print(digests())",
        ],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().splitlines() == digests().splitlines()
