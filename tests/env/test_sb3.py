"""The Stable-Baselines3 adapter."""

import copy
import json
import operator
import pickle
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import VecEnvWrapper, VecMonitor

import cartpole_phys
from cartpole_phys.sb3 import Infos, PhysCartPoleVecEnv
from cartpole_phys.utils.errors import InputError

gym.register_envs(cartpole_phys)


def _adapter(env_id: str = "PhysCartPole-v0", **kwargs: Any) -> PhysCartPoleVecEnv:
    return PhysCartPoleVecEnv(gym.make_vec(env_id, num_envs=4, autoreset_mode="SameStep", **kwargs))  # type: ignore[arg-type]


def test_infos_distinguish_termination_from_truncation() -> None:
    adapter = _adapter(max_episode_steps=60)
    adapter.seed(3)
    observations: Any = adapter.reset()
    endings = set()
    for step in range(300):
        balancing = step < 150  # afterwards a constant force topples the pole
        actions = 3.0 * observations[:, 2:3] + 0.3 * observations[:, 3:4] if balancing else np.ones((4, 1))
        observations, rewards, done, infos = adapter.step(actions.astype(np.float32))
        assert rewards.dtype == np.float32
        for i in np.flatnonzero(done):
            failed = (np.abs(infos[i]["terminal_observation"][[0, 2]]) > [2.4, 0.2095]).any()
            assert infos[i]["TimeLimit.truncated"] == (not failed)
            assert np.abs(observations[i]).max() <= 0.05
            endings.add(bool(failed))
        assert all(not infos[i] for i in np.flatnonzero(~done))
    assert endings == {True, False}


def test_resets_are_reproducible_with_a_seed() -> None:
    a, b = _adapter(), _adapter()
    a.seed(1)
    b.seed(1)
    np.testing.assert_array_equal(a.reset(), b.reset())
    np.testing.assert_array_equal(a.reset(), b.reset())


def test_each_environment_starts_in_its_own_state() -> None:
    adapter, states = _adapter(), np.arange(16.0).reshape(4, 4) / 100
    adapter.set_options([{"state": state.tolist()} for state in states])
    np.testing.assert_allclose(adapter.reset(), states, rtol=1e-6)
    for same in ({"state": [0.0, 0.0, 0.1, 0.0]}, {"state": np.tile([0.0, 0.0, 0.1, 0.0], (4, 1))}):
        adapter.set_options(same)
        np.testing.assert_allclose(adapter.reset()[:, 2], 4 * [0.1], rtol=1e-6)
    adapter.set_options({"low": 0.01, "high": 0.02})
    assert (adapter.reset() >= 0.01).all()
    for options in ([{"low": 0.0}, {}, {}, {}], [{"state": [0.0, 0.0, 0.0, 0.0]}, {}, {}, {}]):
        adapter.set_options(options)
        with pytest.raises(InputError, match="equal options for all 4 environments except 'state'"):
            adapter.reset()


def test_invalid_states_are_rejected_once() -> None:
    adapter = _adapter()
    for last in ([0.0, 0.0, 0.1], "abcd", [[0.0], [0.0, 1.0]]):
        adapter.set_options([{"state": [0.0, 0.0, 0.1, 0.0]}] * 3 + [{"state": last}])
        with pytest.raises(InputError, match=r"an array of shape \(4, 4\)"):
            adapter.reset()
        assert adapter.reset().shape == (4, 4)


@pytest.mark.parametrize("mode", ["rgb_array", "rgb_mosaic"])
def test_get_images_returns_one_image_per_environment(mode: str) -> None:
    adapter = _adapter(render_mode=mode)
    adapter.reset()
    images: Any = adapter.get_images()
    assert [image.shape for image in images] == [(300, 600, 3)] * 4
    assert all((image != images[0]).any() for image in images[1:])
    mosaic = adapter.render()
    assert mosaic is not None
    assert mosaic.shape == (600, 1200, 3)
    assert _adapter().get_images() == [None] * 4


class _InfoWriter(VecEnvWrapper):
    """Write into each info, as imitation's RewardVecEnvWrapper does."""

    def reset(self) -> Any:
        observations = self.venv.reset()
        for i, info in enumerate(self.venv.reset_infos):
            info["index"] = i
        return observations

    def step_wait(self) -> Any:
        observations, rewards, done, infos = self.venv.step_wait()
        for i, (info, reward) in enumerate(zip(infos, rewards, strict=True)):
            info["original_env_rew"] = (i, reward)
        return observations, rewards, done, infos


def test_wrappers_can_write_into_infos() -> None:
    adapter = _adapter(max_episode_steps=3)
    venv = VecMonitor(_InfoWriter(adapter), info_keywords=("original_env_rew",))
    venv.reset()
    assert [info["index"] for info in adapter.reset_infos] == [0, 1, 2, 3]
    for step in (1, 2, 3, 4):
        *_, infos = venv.step(np.zeros((4, 1), np.float32))
        assert [info["original_env_rew"] for info in infos] == [(i, 1.0) for i in range(4)]
        assert all(("episode" in info) == (step == 3) for info in infos)


def test_each_step_returns_separate_infos() -> None:
    adapter = _adapter()
    adapter.reset()
    collected: list[dict[str, Any]] = [*adapter.reset_infos]
    for _ in range(3):
        *_, infos = adapter.step(np.zeros((4, 1), np.float32))
        assert isinstance(infos, list)
        infos[2]["read alone"] = 1
        collected += infos
        assert infos[2] == {"read alone": 1}
    assert len({id(info) for info in collected}) == len(collected)
    for i, info in enumerate(collected):
        info["i"] = i
    assert [info["i"] for info in collected] == list(range(len(collected)))


ENDED = {"TimeLimit.truncated": True}
READS: dict[str, Callable[[list[Any]], Any]] = {  # by ``list`` method
    "__add__": lambda infos: operator.add(infos, [ENDED]),
    "__contains__": lambda infos: {} in infos,
    "__eq__": lambda infos: infos == [{}, ENDED, {}],
    "__ge__": lambda infos: infos >= [{}, ENDED],
    "__getitem__": lambda infos: (infos[0], infos[-2], infos[1:]),
    "__gt__": lambda infos: infos > [{}, ENDED],
    "__imul__": lambda infos: operator.imul(infos, 2),
    "__iter__": lambda infos: (tuple(infos), [*infos], sorted(infos, key=len), np.array(infos).tolist()),
    "__le__": lambda infos: infos <= [{}, ENDED],
    "__lt__": lambda infos: infos < [{}, ENDED],
    "__mul__": lambda infos: infos * 2,
    "__ne__": lambda infos: infos != [{}, ENDED, {}],
    "__repr__": lambda infos: (repr(infos), str(infos), json.dumps(infos)),
    "__reversed__": lambda infos: [*reversed(infos)],
    "__rmul__": lambda infos: 2 * infos,
    "copy": lambda infos: infos.copy(),
    "count": lambda infos: infos.count({}),
    "index": lambda infos: infos.index({}),
    "pop": lambda infos: (infos.pop(), infos.pop(0)),
    "remove": lambda infos: infos.remove({}),
    "sort": lambda infos: infos.sort(key=len),
}
OTHER_METHODS = {
    *("__class_getitem__", "__delitem__", "__doc__", "__getattribute__", "__hash__", "__iadd__", "__init__"),
    *("__len__", "__new__", "__setitem__", "__sizeof__", "append", "clear", "extend", "insert", "reverse"),
}


@pytest.mark.parametrize("method", READS)
def test_first_access_by_any_method_matches_a_list(method: str) -> None:
    given: list[Any] = [None, ENDED, None]
    plain, infos = [{}, ENDED, {}], Infos(given)
    assert READS[method](infos) == READS[method](plain)
    assert [*infos] == plain


def test_all_list_methods_are_covered() -> None:
    assert READS.keys() | OTHER_METHODS == vars(list).keys()


def test_infos_construction_has_no_overhead() -> None:
    """A Python ``__init__`` and a ``__dict__`` would add more than 1 µs to a step of 10 µs."""
    assert Infos.__init__ is list.__init__
    assert not hasattr(Infos.__new__(Infos), "__dict__")


def test_copies_of_infos_are_plain_lists() -> None:
    given: list[Any] = [None, {"a": 1}, None]
    infos = Infos(given)
    for twin in (copy.copy(infos), copy.deepcopy(infos), pickle.loads(pickle.dumps(infos))):  # noqa: S301
        assert type(twin) is list
        assert twin == [{}, {"a": 1}, {}]


def test_gymnasium_infos_are_available_as_arrays() -> None:
    adapter = _adapter(push_rate=50.0)
    adapter.reset()
    adapter.step(np.zeros((4, 1), np.float32))
    assert (adapter.infos["push"] != 0).all()


def test_attributes_and_methods_of_single_environments() -> None:
    adapter = _adapter()
    adapter.reset()
    adapter.set_attr("params", {"pole_mass": 0.3}, indices=[1, 2])
    assert [params.pole_mass for params in adapter.get_attr("params")] == [0.1, 0.3, 0.3, 0.1]
    states = adapter.get_attr("state", indices=2)
    np.testing.assert_array_equal(states[0], adapter.envs.columns.states[:, 2])
    snapshot = adapter.env_method("get_state", indices=0)[0]
    adapter.step(np.ones((4, 1), np.float32))
    observation = adapter.env_method("set_state", snapshot, indices=0)[0]
    np.testing.assert_array_equal(observation, snapshot.memory[:4, 0].astype(np.float32))
    np.testing.assert_array_equal(adapter.get_attr("state")[0], snapshot.memory[:4, 0])
    assert adapter.env_is_wrapped(VecMonitor) == [False] * 4


def test_other_environments_are_rejected() -> None:
    envs = gym.make_vec("PhysCartPole-v0", num_envs=2, autoreset_mode="SameStep")
    for other in (gym.make("PhysCartPole-v0"), gym.wrappers.vector.RecordEpisodeStatistics(envs)):
        with pytest.raises(InputError, match=r'from gym.make_vec\(.*"SameStep"\), without wrappers'):
            PhysCartPoleVecEnv(other)  # type: ignore[arg-type]


def test_other_autoreset_modes_are_rejected() -> None:
    with pytest.raises(InputError, match="SameStep"):
        PhysCartPoleVecEnv(gym.make_vec("PhysCartPole-v0", num_envs=2))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("algorithm", "env_id"),
    [(SAC, "PhysCartPole-v0"), (PPO, "PhysCartPole-v0"), (PPO, "PhysCartPoleDiscrete-v0")],
)
def test_algorithms_train_unmodified(algorithm: Any, env_id: str) -> None:
    options = {"n_steps": 32, "batch_size": 32} if algorithm is PPO else {"learning_starts": 50}
    model = algorithm("MlpPolicy", VecMonitor(_adapter(env_id)), seed=0, device="cpu", **options)
    model.learn(200)
    assert model.num_timesteps >= 200
    assert np.mean([episode["r"] for episode in model.ep_info_buffer]) > 5
