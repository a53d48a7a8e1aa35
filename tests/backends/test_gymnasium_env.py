"""The Gymnasium backend: rows independent of the number of jobs, replay, states and errors."""

import subprocess
import sys
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.classic_control import PendulumEnv
from gymnasium.envs.registration import WrapperSpec
from gymnasium.wrappers import NormalizeReward, TransformObservation

from cartpole_phys.backends.base import Backend, NotReplayable
from cartpole_phys.backends.gymnasium_batch import BATCH_SIZE, episode_seed
from cartpole_phys.backends.resolve import make_backend
from cartpole_phys.backends.simulator_state import CLASSIC, physics_state_of
from cartpole_phys.data.building.build import build_dataset
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.episodes import CUT, Episodes, concatenate
from cartpole_phys.policies.controllers import uniform
from cartpole_phys.rollouts.policy import ActionBatch
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError
from tests.backends.test_native import RandomPolicy, assert_equal, flipped, middle

CLASSIC_IDS = ["Pendulum-v1", "CartPole-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0"]


class Odd(gym.Env[Any, Any]):
    """An environment with configurable spaces whose observations depend on the last action."""

    def __init__(self, observations: Any = None, actions: Any = None, limit: float = 1.0) -> None:
        self.observation_space = observations or spaces.Box(-1, 1, (2,))
        self.action_space = actions or spaces.Box(-limit, limit, (1,), np.float64)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.actions: list[Any] = []
        return np.zeros(2), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.actions.append(action)
        return np.full(2, float(np.sum(action)) / 10), 1.0, False, False, {}


class Blind(Odd):
    """An environment whose episodes end with a NaN observation."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observed, reward, *_ = super().step(action)
        over = bool(self.np_random.random() < 0.2)
        return np.full(2, np.nan) if over else observed, reward, over, False, {}


class HiddenPendulum(PendulumEnv):
    """Gymnasium's pendulum with an additional hidden state (wind)."""

    def step(self, u: Any) -> Any:
        self.g = 10.0 + self.np_random.uniform()
        return super().step(u)


HiddenPendulum.__module__, HiddenPendulum.__name__ = "gymnasium.envs.classic_control.pendulum", "PendulumEnv"
TEST_ENVS: dict[str, Any] = {
    "Odd-v0": Odd,
    "Blind-v0": Blind,
    "Hidden-v0": HiddenPendulum,
    "Scaled-v0": lambda: NormalizeReward(gym.make("Pendulum-v1")),
    "Shifted-v0": lambda: TransformObservation(gym.make("Pendulum-v1"), lambda observed: observed + 1, None),
}


@pytest.fixture(autouse=True)
def registered() -> Any:
    for env_id, entry_point in TEST_ENVS.items():
        gym.register(f"Test/{env_id}", entry_point, max_episode_steps=20)
    yield
    for env_id in TEST_ENVS:
        del gym.registry[f"Test/{env_id}"]


def streamed(backend: Backend, source: Any, steps: int, jobs: int) -> Episodes:
    needed = lambda played, rows: played + (rows < steps)  # noqa: E731
    with closing(backend.stream(source, 3, needed, jobs)) as batches:
        return concatenate(list(batches)).head(steps)


class Always:
    """A policy with a constant action."""

    def __init__(self, action: Any) -> None:
        self.action = action

    def begin(self, batch_size: int, generator: np.random.Generator) -> None:
        self.size = batch_size

    def act(self, observations: np.ndarray, rewards: np.ndarray) -> ActionBatch:
        return ActionBatch(np.array([self.action] * self.size), {})


@pytest.mark.parametrize("source", [uniform(), RandomPolicy])
def test_rows_do_not_depend_on_the_jobs(source: Any) -> None:
    backend = make_backend("Pendulum-v1")
    rows = streamed(backend, source, 14_000, 1)  # three batches
    assert_equal(streamed(backend, source, 14_000, 2), rows)
    assert_equal(backend.play(source, 40, 3), backend.play(source, 40, 3, jobs=2))
    assert_equal(backend.play(source, 40, 3), rows.head(40 * 200))
    assert (rows.actions[:200] != rows.actions[BATCH_SIZE * 200 :][:200]).all()  # batches differ


def test_episodes_do_not_depend_on_their_number() -> None:
    backend = make_backend("CartPole-v1")
    many = backend.play(uniform(), BATCH_SIZE + 3, 7)
    assert_equal(backend.play(uniform(), 3, 7), many.head(int(many.offsets[3])))
    assert len(many) == BATCH_SIZE + 3


def test_single_episodes_can_be_reproduced() -> None:
    episodes = make_backend("Pendulum-v1", {"g": 9.0}).play(uniform(), BATCH_SIZE + 2, 5)
    index = BATCH_SIZE + 1
    env = gym.make("Pendulum-v1", g=9.0)
    observed = env.reset(seed=episode_seed(5, index))[0]
    episode = episodes[index]
    rows = zip(episode.observations, episode.actions, episode.rewards, strict=True)
    for observation, action, reward in rows:
        np.testing.assert_array_equal(observed, observation)
        observed, given, _, _, _ = env.step(action)
        assert np.float32(given) == reward
    np.testing.assert_array_equal(observed, episodes[index].final_observation)
    assert episodes[index].truncated
    assert not episodes[index].terminated


@pytest.mark.parametrize("env_id", CLASSIC_IDS)
def test_infos_match_the_layout_of_the_backend(env_id: str) -> None:
    backend = make_backend(env_id)
    episodes = backend.play(uniform(), 3, 0)
    assert set(episodes.infos) == {*backend.info_arrays, "action_log_probs"}
    for name, (dtype, trailing) in backend.info_arrays.items():
        assert (episodes.infos[name].dtype.str, episodes.infos[name].shape[1:]) == (dtype, trailing)
    assert not episodes.infos[CUT].any()
    arrays = episodes.as_d4rl()
    assert not (arrays["terminals"] & arrays["timeouts"]).any()
    assert (
        episodes.lengths[episodes.truncations[episodes.offsets[1:] - 1]] == backend.max_episode_steps
    ).all()


@pytest.mark.parametrize("env_id", CLASSIC_IDS)
def test_replay_is_exact_and_detects_single_bit_changes(env_id: str) -> None:
    backend = make_backend(env_id)
    arrays = backend.play(uniform(), 6, 0).as_d4rl()
    row = middle(arrays)
    first = int(np.flatnonzero(arrays["terminals"] | arrays["timeouts"])[0]) + 1

    def differences(changed: dict[str, np.ndarray]) -> dict[str, list[int]]:
        found = backend.differences(changed)
        return {what: np.flatnonzero(rows).tolist() for what, rows in found.items() if rows.any()}

    assert differences(arrays) == {}
    assert differences(flipped(arrays, "next_observations", row)) == {"next observation": [row]}
    assert differences(flipped(arrays, "rewards", row)) == {"reward": [row]}
    assert row in differences(flipped(arrays, "terminals", row))["terminal flag"]
    assert differences(flipped(arrays, "observations", first)) == {"observation": [first]}
    assert row - 1 in differences(flipped(arrays, "infos/qvel", row))["next state"]
    assert row - 1 in differences(flipped(arrays, "infos/qpos", row))["next state"]
    other = arrays["actions"].copy()
    other[row] = 0.5 * other[row] if backend.continuous else 1 - min(other[row], 1)
    assert row in differences({**arrays, "actions": other})["next state"]


def test_states_that_do_not_fit_their_dtype() -> None:
    backend = make_backend("Acrobot-v1")  # its first state is float32
    arrays = backend.play(uniform(), 1, 0).as_d4rl()
    assert backend.differences(flipped(arrays, "infos/qpos", 0))["state"].tolist()[:2] == [True, False]


@pytest.mark.parametrize(
    ("env_id", "words"),
    [
        ("Test/Odd-v0", "the state of Test/Odd-v0 is not known"),
        ("Test/Hidden-v0", "cannot be restored bit for bit"),
        ("Test/Scaled-v0", "cannot be restored bit for bit"),
        ("Test/Shifted-v0", "cannot be restored bit for bit"),
    ],
)
def test_unrestorable_states_fail_the_replay(env_id: str, words: str) -> None:
    backend = make_backend(env_id)
    with pytest.raises(NotReplayable, match=words):
        backend.differences(backend.play(uniform(), 3, 0).as_d4rl())


def test_invalid_rows_fail_the_replay() -> None:
    backend = make_backend("CartPole-v1")
    arrays = backend.play(uniform(), 3, 0).as_d4rl()
    with pytest.raises(NotReplayable, match="there is no infos/qvel"):
        backend.differences({name: array for name, array in arrays.items() if name != "infos/qvel"})
    with pytest.raises(NotReplayable, match="CartPole-v1 rejects a state or an action"):
        backend.differences({**arrays, "actions": arrays["actions"] + 5})
    unknown = np.full_like(arrays["infos/qpos"], np.nan)
    assert backend.differences({**arrays, "infos/qpos": unknown})["next state"].any()


def test_states_are_read_from_any_environment() -> None:
    env = gym.make("CartPole-v1")
    env.reset(seed=0)
    x, x_dot, theta, theta_dot = env.unwrapped.state  # type: ignore[attr-defined]
    physics = physics_state_of(env)
    assert physics is not None
    state = physics.read(env.unwrapped)
    np.testing.assert_array_equal(state["qpos"], [x, theta])
    np.testing.assert_array_equal(state["qvel"], [x_dot, theta_dot])
    assert physics_state_of(gym.make("Test/Odd-v0")) is None
    assert len(CLASSIC) == len(CLASSIC_IDS)


@pytest.mark.parametrize(
    ("env_id", "env_kwargs", "words"),
    [
        ("Pendulm-v1", {}, r"Unknown environment 'Pendulm-v1'.* choose from PhysCartPole-v0, .*Pendulum-v1"),
        ("Pendulum", {}, "Unknown environment 'Pendulum'"),
        ("Pendulum-v0", {}, r"deprecated. Please use `Pendulum-v1`"),
        ("not an id", {}, "Unknown environment 'not an id' .Malformed"),
        ("no_such_module:Some-v0", {}, "No module named 'no_such_module'"),
        (
            "Pendulum-v1",
            {"gravity": 9.8},
            r"cannot be made .*'gravity': 9.8.*unexpected keyword",
        ),
        ("Pendulum-v1", {"render_mode": "human"}, "'render_mode' does not affect the data"),
        ("Hopper-v2", {}, "'Hopper-v2' cannot be made"),
        ("FrozenLake-v1", {}, r"observations as vectors .* Discrete\(16\) from 'FrozenLake-v1'"),
        ("Test/Odd-v0", {"observations": spaces.Box(0, 1, (2, 2))}, "Expected observations as vectors"),
        (
            "Test/Odd-v0",
            {"actions": spaces.Box(-np.inf, 1, (1,))},
            "vectors of numbers with finite bounds",
        ),
        ("Test/Odd-v0", {"actions": spaces.MultiDiscrete([2, 2])}, r"got MultiDiscrete\(\[2 2\]\)"),
        ("Test/Odd-v0", {"max_episode_steps": -1}, r'no(ne|)\b.*{"max_episode_steps": 1000}'),
        ("PhysCartPole-v0", {"gravity": 9.8}, "got an unexpected keyword argument 'gravity'"),
    ],
)
def test_unsupported_environments_are_rejected(env_id: str, env_kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_backend(env_id, env_kwargs)


def test_time_limit_is_configurable() -> None:
    backend = make_backend("Pendulum-v1", {"max_episode_steps": 7})
    assert backend.max_episode_steps == 7
    assert backend.play(uniform(), 3, 0).lengths.tolist() == [7, 7, 7]


def test_deprecated_ids_emit_no_warnings() -> None:
    assert make_backend("CartPole-v0").play(uniform(), 2, 0).steps > 0  # pytest turns warnings into errors


MISSING = """
import sys
sys.modules["mujoco"] = None
from cartpole_phys.utils.errors import InputError
from cartpole_phys.backends.resolve import make_backend
try:
    make_backend("HalfCheetah-v5")
except InputError as error:
    print(error)
"""


def test_error_names_the_missing_module() -> None:
    result = subprocess.run([sys.executable, "-c", MISSING], capture_output=True, text=True, check=True)
    assert result.stdout == (
        "Environment 'HalfCheetah-v5' needs a module that is not installed; install it with: "
        'pip install "cartpole-phys[mujoco]"\n'
    )


@pytest.mark.parametrize(
    ("env_id", "env_kwargs"), [("Test/Odd-v0", {}), ("Pendulum-v1", {"g": Fraction(10)})]
)
def test_non_json_spec_is_rejected_before_collection(env_id: str, env_kwargs: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"'{env_id}' with a spec and arguments that JSON can hold"):
        Recipe(env_id, policy="random", steps=10, env_kwargs=env_kwargs)


@pytest.mark.parametrize("limit", [0.1, 0.3, 0.7])
def test_random_data_within_bounds_of_any_precision(limit: float, tmp_path: Path) -> None:
    """The gate recomputes log-probabilities with the arithmetic of the policy."""
    gym.register(
        "Test/Precise-v0",
        "tests.backends.test_gymnasium_env:Odd",
        max_episode_steps=5,
        kwargs={"limit": limit},
    )
    steps: Any = np.int64(20)
    try:
        assert build_dataset("Test/Precise-v0", policy="random", steps=steps, out=tmp_path).exists()
    finally:
        del gym.registry["Test/Precise-v0"]


def test_custom_registration_of_the_native_class_is_used() -> None:
    """Including wrappers, which the compiled rollouts do not support."""
    half = WrapperSpec("Half", "gymnasium.wrappers:ClipReward", {"max_reward": 0.5})
    gym.register("Test/Half-v0", "cartpole_phys.env:PhysCartPoleEnv", max_episode_steps=5,
                 kwargs={"integrator": "rk4"}, additional_wrappers=(half,))  # fmt: skip
    try:
        episodes = make_backend("Test/Half-v0").play(Always([0.0]), 1, 0)
        assert "Test/Half-v0" not in CartPole.known_ids()
    finally:
        del gym.registry["Test/Half-v0"]
    assert episodes.rewards.tolist() == 5 * [0.5]


def test_known_ids_match_the_registry() -> None:
    entry_point = gym.spec(CartPole.known_ids()[0]).entry_point
    assert CartPole.known_ids() == [i for i, spec in gym.registry.items() if spec.entry_point == entry_point]
