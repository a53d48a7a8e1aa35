"""MuJoCo environments: integration states that reproduce the next step bit for bit."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cartpole_phys.backends.gymnasium_env import gymnasium_backend
from cartpole_phys.backends.resolve import make_backend
from cartpole_phys.backends.simulator_state import physics_state_of
from cartpole_phys.policies.controllers import uniform
from tests.backends.test_native import flipped

mujoco = pytest.importorskip("mujoco")

LIMIT = {"max_episode_steps": 60}
ENV_IDS = ["HalfCheetah-v5", "Hopper-v5", "Ant-v5", "Humanoid-v5", "InvertedPendulum-v5", "Reacher-v5"]


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_replay_is_exact_and_detects_single_bit_changes(env_id: str) -> None:
    backend = make_backend(env_id, LIMIT)
    arrays = backend.play(uniform(), 4, 0).as_d4rl()
    row = 1

    def differences(changed: dict[str, np.ndarray]) -> dict[str, int]:
        found = backend.differences(changed)
        return {what: int(np.argmax(rows)) for what, rows in found.items() if rows.any()}

    assert differences(arrays) == {}
    assert differences(flipped(arrays, "rewards", row)) == {"reward": row}
    assert differences(flipped(arrays, "next_observations", row)) == {"next observation": row}
    assert differences(flipped(arrays, "observations", 0)) == {"observation": 0}
    assert differences(flipped(arrays, "infos/qpos", row)) == {"next state": row - 1}
    assert differences(flipped(arrays, "infos/integration_state", row))["next state"] == row - 1
    assert differences(flipped(arrays, "infos/qvel", 0)) == {"state": 0}


def test_rollouts_contain_contacts() -> None:
    env = gymnasium_backend("HalfCheetah-v5", LIMIT).make()
    env.reset(seed=0)
    env.action_space.seed(0)
    contacts = 0
    for _ in range(60):
        env.step(env.action_space.sample())
        contacts += env.unwrapped.data.ncon > 0  # type: ignore[attr-defined]
    assert contacts > 10


def test_warm_start_is_required_for_replay() -> None:
    """Without the solver's warm start, a step after a contact differs; it is therefore stored."""
    env = gymnasium_backend("HalfCheetah-v5", {}).make()
    env.reset(seed=0)
    bare, physics = env.unwrapped, physics_state_of(env)
    assert physics is not None
    differs = 0
    for _ in range(40):
        state = physics.read(bare)
        action = np.full(6, 0.5, np.float32)
        expected = env.step(action)[0]
        after = physics.read(bare)["integration_state"]
        bare.set_state(state["qpos"], state["qvel"])  # type: ignore[attr-defined]
        differs += bool((env.step(action)[0] != expected).any())
        mujoco.mj_setState(
            bare.model,  # type: ignore[attr-defined]
            bare.data,  # type: ignore[attr-defined]
            after,
            mujoco.mjtState.mjSTATE_INTEGRATION,
        )
    assert differs > 0


def test_mujoco_emits_no_output(tmp_path: Path) -> None:
    program = "from cartpole_phys.backends.resolve import make_backend; make_backend('HalfCheetah-v5').make()"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert (result.stdout, result.stderr, list(tmp_path.iterdir())) == ("", "", [])
    handler = mujoco.get_mju_user_warning()
    make_backend("HalfCheetah-v5")
    assert mujoco.get_mju_user_warning() is handler


THREADS = """
from concurrent.futures import ThreadPoolExecutor
from cartpole_phys.backends.make import find_spec, make

def work(_):
    for _ in range(8):
        make(find_spec("HalfCheetah-v5"), {})

with ThreadPoolExecutor(4) as pool:
    list(pool.map(work, range(4)))
"""


def test_environment_creation_in_threads_emits_no_output(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", THREADS], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
