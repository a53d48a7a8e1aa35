"""The native backend: rows independent of the number of jobs, replay, and worker processes."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from cartpole_phys.backends.base import Backend, NotReplayable, policy_of
from cartpole_phys.backends.resolve import make_backend
from cartpole_phys.episodes import Episodes, concatenate
from cartpole_phys.policies.controllers import proportional, uniform
from cartpole_phys.rollouts.collect import collect, play
from cartpole_phys.rollouts.policy import ActionBatch, CompiledPolicy
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError

VARIED: dict[str, Any] = {
    "randomize": {"pole_mass": [0.05, 0.2], "cart_friction": [0.0, 0.1]},
    "observation_noise": 0.01,
    "push_rate": 5.0,
}
BACKENDS: list[tuple[str, dict[str, Any]]] = [
    ("PhysCartPole-v0", {"push_rate": 5.0, "integrator": "rk4", "substeps": 2}),
    ("PhysCartPole-v0", VARIED),
    ("PhysCartPoleDiscrete-v0", {}),
    ("PhysCartPoleSwingUp-v0", VARIED),
]


class RandomPolicy:
    """A Python policy with random actions."""

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        self.size, self.generator = batch_size, generator

    def act(self, observations: np.ndarray, rewards: np.ndarray) -> ActionBatch:
        draw = self.generator.uniform(-1, 1, (self.size, 1)).astype("f4")
        return ActionBatch(draw, {"draw": draw[:, 0]})


class FailingPolicy(RandomPolicy):
    """A policy that raises an exception."""

    def act(self, observations: np.ndarray, rewards: np.ndarray) -> ActionBatch:
        raise ZeroDivisionError("no action")


class ExitingPolicy(RandomPolicy):
    """A policy that exits its process."""

    def act(self, observations: np.ndarray, rewards: np.ndarray) -> ActionBatch:
        os._exit(3)


class Behavior:
    """A behavior with a compiled policy and a Python policy."""

    policy = uniform()

    @property
    def batch_policy(self) -> RandomPolicy:
        return RandomPolicy()


def assert_equal(a: Episodes, b: Episodes) -> None:
    assert a.as_d4rl().keys() == b.as_d4rl().keys()
    for name, array in a.as_d4rl().items():
        assert array.dtype == b.as_d4rl()[name].dtype, name
        np.testing.assert_array_equal(array, b.as_d4rl()[name], name)


def streamed(backend: Backend, source: Any, steps: int, jobs: int) -> Episodes:
    """Collect exactly ``steps`` steps."""
    needed = lambda played, rows: played + (rows < steps)  # noqa: E731
    with closing(backend.stream(source, 3, needed, jobs)) as batches:
        return concatenate(list(batches)).head(steps)


def flipped(arrays: dict[str, np.ndarray], name: str, row: int) -> dict[str, np.ndarray]:
    """Return the arrays with the lowest bit of one number flipped."""
    changed = arrays[name].copy()
    numbers = changed.reshape(len(changed), -1)  # (N, …) -> (N, k)
    numbers.view(f"u{changed.itemsize}")[row, -1] ^= 1
    return {**arrays, name: changed}


def middle(arrays: dict[str, np.ndarray]) -> int:
    """Return a row that is neither the first nor the last of its episode."""
    ends = np.append(True, arrays["terminals"] | arrays["timeouts"])
    return int(np.flatnonzero(~ends[:-1] & ~ends[1:])[5])


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("source", [uniform(), lambda: proportional(1.2, True), Behavior()])
def test_compiled_rows_equal_collect(source: Any, jobs: int) -> None:
    policy = policy_of(source)
    assert isinstance(policy, CompiledPolicy)
    expected = collect(CartPole(), policy, 20_000, 3)
    assert_equal(streamed(make_backend("PhysCartPole-v0"), source, 20_000, jobs), expected)


@pytest.mark.parametrize("jobs", [1, 2])
def test_rows_of_python_policies_equal_collect(jobs: int) -> None:
    expected = collect(CartPole(), RandomPolicy(), 15_000, 3)
    assert_equal(streamed(make_backend("PhysCartPole-v0"), RandomPolicy, 15_000, jobs), expected)


@pytest.mark.parametrize(("episodes", "jobs"), [(5, 1), (5, 2), (600, 2)])
def test_played_episodes_equal_play(episodes: int, jobs: int) -> None:
    backend = make_backend("PhysCartPole-v0")
    for policy in (RandomPolicy(), uniform()):
        assert_equal(backend.play(policy, episodes, 1, jobs), play(CartPole(), policy, episodes, 1))


def test_no_surplus_batches_are_started() -> None:
    requests = []

    def needed(played: int, rows: int) -> int:
        requests.append((played, rows))
        return 300

    parts = list(make_backend("PhysCartPole-v0").stream(RandomPolicy, 0, needed, 1))
    assert [len(part) for part in parts] == [256, 256]
    assert [played for played, _ in requests] == [0, 256, 512]


@pytest.mark.parametrize(("episodes", "processes"), [(1, 0), (256, 0), (257, 2), (700, 3)])
def test_no_more_processes_than_expected_batches(
    episodes: int, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def workers(player: object, jobs: int) -> None:
        raise ChildProcessError(jobs)

    monkeypatch.setattr("cartpole_phys.backends.workers.Workers", workers)
    stream = make_backend("PhysCartPole-v0").stream(RandomPolicy, 0, lambda played, rows: episodes, jobs=8)
    if processes == 0:
        assert sum(map(len, stream)) == 256
    else:
        with pytest.raises(ChildProcessError, match=str(processes)):
            next(stream)


@pytest.mark.parametrize(("env_id", "env_kwargs"), BACKENDS)
def test_infos_match_the_layout_of_the_backend(env_id: str, env_kwargs: dict[str, Any]) -> None:
    backend = make_backend(env_id, env_kwargs)
    infos = backend.play(uniform(), 3, 0).infos
    assert set(infos) == {*backend.info_arrays, "action_log_probs"}
    for name, (dtype, trailing) in backend.info_arrays.items():
        assert (infos[name].dtype.str, infos[name].shape[1:]) == (dtype, trailing)


@pytest.mark.parametrize("independent", [False, True])
@pytest.mark.parametrize(("env_id", "env_kwargs"), BACKENDS)
def test_replay_is_exact_and_detects_single_bit_changes(
    env_id: str, env_kwargs: dict[str, Any], independent: bool
) -> None:
    backend = make_backend(env_id, env_kwargs)
    arrays = backend.play(uniform(), 8, 0).as_d4rl()
    row = middle(arrays)
    first = int(np.flatnonzero(arrays["terminals"] | arrays["timeouts"])[0]) + 1

    def differences(changed: dict[str, np.ndarray]) -> dict[str, list[int]]:
        found = backend.differences(changed, independent)
        return {what: np.flatnonzero(rows).tolist() for what, rows in found.items() if rows.any()}

    assert differences(arrays) == {}
    assert differences(flipped(arrays, "next_observations", row)) == {"next observation": [row]}
    assert differences(flipped(arrays, "rewards", row)) == {"reward": [row]}
    assert differences(flipped(arrays, "terminals", row))["terminal flag"] == [row]
    assert differences(flipped(arrays, "observations", first)) == {"observation": [first]}
    assert row - 1 in differences(flipped(arrays, "infos/qvel", row))["next state"]
    assert row in differences({**arrays, "actions": 0 * arrays["actions"]})["next state"]
    if "push_rate" in env_kwargs:
        pushed = arrays["infos/push"].copy()
        pushed[row] += 1e-6
        assert differences({**arrays, "infos/push": pushed})["next state"] == [row]
    if "randomize" in env_kwargs:
        assert row in differences(flipped(arrays, "infos/params", row))["parameters"]
        assert differences(flipped(arrays, "infos/noise_key", row))["next observation"] == [row]


@pytest.mark.parametrize("independent", [False, True])
@pytest.mark.parametrize("state", [(0.0, 0.0, 1e19, 0.0), (0.0, 0.0, 0.0, -1e7)])
def test_start_states_outside_the_reset_range_fail(state: tuple[float, ...], independent: bool) -> None:
    """In an episode of one step that the physics reproduces."""
    backend = make_backend("PhysCartPoleSwingUp-v0")
    env: Any = gym.make("PhysCartPoleSwingUp-v0").unwrapped
    env.reset(seed=0)
    snapshot, rows = env.get_state(), backend.play(uniform(), 1, 0).head(1).as_d4rl()
    snapshot.memory[:4, 0] = state
    rows["observations"][0] = env.set_state(snapshot)
    rows["infos/qpos"][0], rows["infos/qvel"][0] = state[::2], state[1::2]
    rows["next_observations"][0], rows["rewards"][0], rows["terminals"][0], _, _ = env.step(
        rows["actions"][0]
    )
    rows["timeouts"][0] = not rows["terminals"][0]
    found = backend.differences(rows, independent)
    assert {what: mask.tolist() for what, mask in found.items() if mask.any()} == {"start state": [True]}


def test_invalid_rows_fail_the_replay() -> None:
    backend = make_backend("PhysCartPoleDiscrete-v0")
    arrays = backend.play(uniform(), 3, 0).as_d4rl()
    with pytest.raises(NotReplayable, match="there is no infos/push"):
        backend.differences({name: array for name, array in arrays.items() if name != "infos/push"})
    with pytest.raises(NotReplayable, match=r"infos/qpos has rows of shape \(1,\), this environment \(2,\)"):
        backend.differences({**arrays, "infos/qpos": arrays["infos/qpos"][:, :1]})
    with pytest.raises(NotReplayable, match="actions is float32, expected <i8"):
        backend.differences({**arrays, "actions": arrays["actions"].astype("f4")})
    for independent in (False, True):
        with pytest.raises(NotReplayable, match="Expected actions from 0 to 1, got 7"):
            backend.differences({**arrays, "actions": np.full_like(arrays["actions"], 7)}, independent)


@pytest.mark.parametrize(("env_id", "env_kwargs"), BACKENDS)
def test_package_ids_use_the_native_backend(env_id: str, env_kwargs: dict[str, Any]) -> None:
    backend = make_backend(f"cartpole_phys:{env_id}", env_kwargs)
    system = CartPole.from_id(env_id, env_kwargs)
    assert (backend.env_id, backend.env_kwargs, backend.system) == (env_id, env_kwargs, system)
    assert backend.observation_space.shape == (system.task.observation_size,)
    assert backend.max_episode_steps == 500
    assert backend.continuous == (backend.action_space.shape == (1,)) == system.continuous


def test_invalid_numbers_are_rejected() -> None:
    backend = make_backend("PhysCartPole-v0")
    for source in (uniform(), RandomPolicy):
        with pytest.raises(InputError, match="at least 1 job, got 0"):
            list(backend.stream(source, 0, lambda *_: 1, 0))
        with pytest.raises(InputError, match="at least 1 episode, got 0"):
            backend.play(source, 0, 0)
        with pytest.raises(InputError, match="at least 1 job, got -1"):
            backend.play(source, 1, 0, -1)


def test_worker_errors_propagate_and_stop_all_workers() -> None:
    backend = make_backend("PhysCartPole-v0")
    with pytest.raises(ZeroDivisionError, match="no action") as raised:
        backend.play(FailingPolicy, 300, 0, jobs=2)
    assert "In another process" in raised.value.__notes__[0]
    with pytest.raises(InputError, match="died with exit code 3"):
        backend.play(ExitingPolicy, 300, 0, jobs=2)
    with pytest.raises(InputError, match="can be pickled for other processes"):
        backend.play(lambda: RandomPolicy(), 300, 0, jobs=2)
    assert multiprocessing.active_children() == []


PROGRAM = """
import signal
import time
from pathlib import Path
from tests.backends.test_native import RandomPolicy
from cartpole_phys.backends.resolve import make_backend

class Slow(RandomPolicy):
    def act(self, observations, rewards):
        Path(f"{FOLDER}/{__import__('os').getpid()}").touch()
        time.sleep(60)

FOLDER = %r
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore SIGINT in background jobs
    try:
        make_backend("PhysCartPole-v0").play(Slow, 600, 0, jobs=2)
    except KeyboardInterrupt:
        print("interrupted")
"""


def _ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]  # a zombie, if no parent reaps it


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait with a timeout that allows for kernel compilation."""
    deadline = time.monotonic() + 180
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks at processes as Linux shows them")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_parent(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "workers"
    folder.mkdir()
    script = tmp_path / "script.py"
    script.write_text(PROGRAM % str(folder))
    tests = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([tests, *sys.path])}
    child = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    wait_until(lambda: len(list(folder.iterdir())) == 2 or child.poll() is not None)
    workers = [int(path.name) for path in folder.iterdir()]
    if number == signal.SIGINT:
        os.killpg(child.pid, number)  # as a terminal does: workers receive it, too
    else:
        child.kill()
    output, errors = child.communicate(timeout=30)
    assert len(workers) == 2
    assert (output, errors) == ("interrupted\n" if number == signal.SIGINT else "", "")
    wait_until(lambda: all(map(_ended, workers)))
    assert all(map(_ended, workers))
