"""Invalid input: errors state the expected and the given value, and the state does not change."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from cartpole_phys.physics import Params
from cartpole_phys.utils.errors import InputError
from tests.support.vector_comparison import DISCRETE, EVERYTHING, IDS, SWING_UP, assert_same

NUM_ENVS = 3
NAN, INF = float("nan"), float("inf")
HUGE = 10**400  # overflows a float

by_id = pytest.mark.parametrize("env_id", IDS)


def _make(env_id: str, many: bool, **kwargs: Any) -> Any:
    if many:
        return gym.make_vec(env_id, **{"num_envs": NUM_ENVS, **kwargs})
    return gym.make(env_id, disable_env_checker=True, **kwargs).unwrapped


def _good(env_id: str, many: bool) -> Any:
    shape = (NUM_ENVS,) if many else ()
    return np.ones(shape, np.int64)[()] if env_id == DISCRETE else np.ones((*shape, 1), np.float32)


def _check_rejected(env_id: str, many: bool, message: str, method: str, *args: Any, **kwargs: Any) -> None:
    """Check that a call raises, leaves the memory unchanged, and does not affect later steps."""
    env, twin = (_make(env_id, many, **EVERYTHING) for _ in range(2))
    for one in (env, twin):
        one.reset(seed=0)
        one.step(_good(env_id, many))
    memory, generator = env.columns.memory.tobytes(), env.get_state().random_state
    with pytest.raises(InputError, match=message):
        getattr(env, method)(*args, **kwargs)
    assert env.columns.memory.tobytes() == memory
    assert_same(env.get_state().random_state, generator)
    assert_same(env.step(_good(env_id, many)), twin.step(_good(env_id, many)))
    assert_same(env.reset(), twin.reset())


CONTINUOUS_ACTIONS: list[tuple[Any, str]] = [
    ([NAN], "finite actions, got nan"),
    ([INF], "finite actions, got inf"),
    ([-INF], "finite actions, got -inf"),
    ([0.1, 0.2], r"floats of shape \(1,\), got float64 of shape \(2,\)"),
    (0.5, r"floats of shape \(1,\), got float64 of shape \(\)"),
    ([[0.5]], r"floats of shape \(1,\), got float64 of shape \(1, 1\)"),
    ([], r"floats of shape \(1,\), got float64 of shape \(0,\)"),
    (["0.5"], "floats of shape .* got <U3"),
    ([True], "floats of shape .* got bool"),
    ([1j], "floats of shape .* got complex"),
    ([[1], [1, 2]], r"floats of shape .* got \[\[1\], \[1, 2\]\]"),
    (None, "floats of shape .* got object"),
]
DISCRETE_ACTIONS: list[tuple[Any, str]] = [
    (2, "from 0 to 1, got 2"),
    (-1, "from 0 to 1, got -1"),
    (1.0, r"integers of shape \(\), got float64"),
    (NAN, "integers of shape .* got float64"),
    (True, "integers of shape .* got bool"),
    ([1], r"integers of shape \(\), got int64 of shape \(1,\)"),
    ("1", "integers of shape .* got <U1"),
    (None, "integers of shape .* got object"),
]
ACTIONS = [(env_id, *case) for env_id in (IDS[0], SWING_UP) for case in CONTINUOUS_ACTIONS]
ACTIONS += [(DISCRETE, *case) for case in DISCRETE_ACTIONS]


@pytest.mark.parametrize(("env_id", "action", "message"), ACTIONS)
def test_bad_actions(env_id: str, action: Any, message: str) -> None:
    _check_rejected(env_id, False, message, "step", action)


@by_id
def test_bad_vector_actions(env_id: str) -> None:
    good = _good(env_id, True)
    one_bad = good.copy()
    one_bad[-1] = 2 if env_id == DISCRETE else NAN
    for actions, message in [
        (one_bad, "got 2" if env_id == DISCRETE else "got nan"),
        (one_bad.tolist(), "got 2" if env_id == DISCRETE else "got nan"),
        (good[:-1], rf"of shape \({NUM_ENVS},.*\), got .* of shape \({NUM_ENVS - 1},"),
        (good[None], rf"of shape \({NUM_ENVS},.*\), got .* of shape \(1, {NUM_ENVS}"),
        (good.astype(bool), "got bool"),
        (good.astype(str), "got <U"),
        ([[0.1], [0.2, 0.3], [0.1]], "Expected actions as .* got .*0.2, 0.3"),
        (None, "got object"),
        (_good(env_id, False), rf"of shape \({NUM_ENVS},.*\), got"),
    ]:
        _check_rejected(env_id, True, message, "step", actions)


# Invalid keyword arguments of an environment, and the expected messages.
ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"gravity": 9.0}, "got an unexpected keyword argument 'gravity'; choose from integrator, params"),
    ({"task": "juggle"}, "Unknown task 'juggle'; choose from balance"),
    ({"integrator": "rk5"}, "'rk5'"),
    ({"params": {"mass": 1.0}}, "Unknown physical parameter 'mass'; choose from gravity"),
    ({"params": {"cart_mass": -1.0}}, "'cart_mass'. as a finite number above 0, got -1"),
    ({"params": {"pole_mass": 0}}, "'pole_mass'. as a finite number above 0, got 0"),
    ({"params": {"time_step": 0.0}}, "'time_step'. as a finite number above 0, got 0"),
    ({"params": {"time_step": -0.02}}, "'time_step'. as a finite number above 0, got -0.02"),
    ({"params": {"half_length": NAN}}, "'half_length'. as a finite number above 0, got nan"),
    ({"params": {"cart_friction": -0.1}}, "'cart_friction'. as a finite number of at least 0, got -0.1"),
    ({"params": {"gravity": "9.8"}}, "'gravity'. as a number, got '9.8'"),
    ({"params": [9.8]}, r"params as names and numbers .* got \[9.8\]"),
    ({"substeps": 0}, "substeps as an integer from 1 to .* got 0"),
    ({"substeps": 1.5}, "substeps as an integer from 1 to .* got 1.5"),
    ({"substeps": 2**63}, "substeps as an integer from 1 to .* got 9223372036854775808"),
    ({"params": {"pole_mass": HUGE}}, "'pole_mass'. as a number, got 1000"),
    ({"randomize": {"pole_mass": [0.1, HUGE]}}, "'pole_mass'. as two numbers .* got .0.1, 1000"),
    ({"observation_noise": HUGE}, "observation_noise as one number or four .* got 1000"),
    ({"observation_noise": [0, 0, 0, HUGE]}, "observation_noise as one number or four .* 1000"),
    ({"push_rate": HUGE}, "push_rate as a finite number of at least 0, got 1000"),
    ({"push_size": HUGE}, "push_size as a finite number of at least 0, got 1000"),
    ({"randomize": {"mass": [1, 2]}}, "Unknown physical parameter 'mass'"),
    ({"randomize": {"pole_mass": 0.2}}, "'pole_mass'. as two numbers .* got 0.2"),
    ({"randomize": {"pole_mass": [0.1, 0.2, 0.3]}}, r"as two numbers .* got \[0.1, 0.2, 0.3\]"),
    ({"randomize": {"pole_mass": ["a", "b"]}}, "as two numbers .* got"),
    ({"randomize": {"pole_mass": [0.2, 0.1]}}, r"low <= high, got \[0.2, 0.1\]"),
    ({"randomize": {"pole_mass": [0.0, 0.1]}}, "'pole_mass'. as a finite number above 0, got 0"),
    ({"randomize": {"pole_mass": [0.1, INF]}}, "'pole_mass'. as a finite number above 0, got inf"),
    ({"randomize": {"time_step": [0.01, 0.02]}}, "Cannot randomize 'time_step'"),
    ({"randomize": ["pole_mass"]}, r"randomize like .* got \['pole_mass'\]"),
    ({"observation_noise": -0.1}, "observation_noise as one number or four .* got -0.1"),
    ({"observation_noise": NAN}, "observation_noise as one number or four .* got nan"),
    ({"observation_noise": INF}, "observation_noise as one number or four .* got inf"),
    ({"observation_noise": [0.1] * 3}, "observation_noise as one number or four .* got .0.1, 0.1, 0.1"),
    ({"observation_noise": [0.1, 0.1, 0.1, NAN]}, "observation_noise as one number or four .* nan"),
    ({"observation_noise": "0.1"}, "observation_noise as one number or four .* got '0.1'"),
    ({"observation_noise": True}, "observation_noise as one number or four .* got True"),
    ({"diagnostics": "yes"}, "diagnostics as True or False, got 'yes'"),
]
VECTOR_ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"num_envs": 0}, "num_envs of at least 1, got 0"),
    ({"num_envs": 2.5}, "num_envs of at least 1, got 2.5"),
    ({"autoreset_mode": "Later"}, "Unknown autoreset mode 'Later'; choose from NextStep"),
    ({"max_episode_steps": 0}, "max_episode_steps from 1 to .* got 0"),
    ({"max_episode_steps": 2**63}, "max_episode_steps from 1 to .* got 9223372036854775808"),
    ({"max_episode_steps": 1.5}, "max_episode_steps from 1 to .* got 1.5"),
    ({"params": {"pole_mass": [0.1, 0.2]}}, "'pole_mass'. with 3 numbers, got 2"),
    ({"params": {"pole_mass": [0.1, 0.2, -0.3]}}, "'pole_mass'. as a finite number above 0, got -0.3"),
    ({"params": {"pole_mass": np.ones((3, 2))}}, "'pole_mass'. as a number, got"),
    ({"params": {"time_step": [0.02] * 3}}, "Expected one time_step for all environments, got"),
    ({"params": {"mass": [1, 1, 1]}}, "Unknown physical parameter 'mass'"),
]


@pytest.mark.parametrize("many", [False, True], ids=["scalar", "vector"])
@pytest.mark.parametrize(("kwargs", "message"), ARGUMENTS)
def test_bad_arguments(kwargs: dict[str, Any], message: str, many: bool) -> None:
    for env_id in IDS:
        with pytest.raises(InputError, match=message):
            _make(env_id, many, **kwargs)


@pytest.mark.parametrize(("kwargs", "message"), VECTOR_ARGUMENTS)
def test_bad_vector_arguments(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _make(IDS[0], True, **kwargs)


OPTIONS: list[tuple[Any, str]] = [
    ({"state": [0.1, 0.2, 0.3]}, r"finite numbers \(x, ẋ, θ, θ̇\).*got \[0.1, 0.2, 0.3\]"),
    ({"state": [0, 0, NAN, 0]}, "finite .* got .*nan"),
    ({"state": [0, 0, INF, 0]}, "finite .* got .*inf"),
    ({"state": ["0", "0", "0", "0"]}, "finite .* got .*'0'"),
    ({"state": "upright"}, "finite .* got 'upright'"),
    ({"state": None}, "finite .* got None"),
    ({"state": [True, True, False, False]}, "finite .* got .*True"),
    ({"state": np.zeros((2, 4))}, "finite .* got array"),
    ({"state": [[0], [0, 1]]}, r"finite .* got \[\[0\], \[0, 1\]\]"),
    ({"low": 0.1, "high": 0.0}, "low <= high, got low=0.1, high=0.0"),
    ({"low": NAN}, "finite low <= high, got low=nan"),
    ({"high": "0.1"}, "finite low <= high, got .*high='0.1'"),
    ({"high": HUGE}, "finite low <= high, got .*high=1000"),
    ({"low": -HUGE}, "finite low <= high, got low=-1000"),
    ([0.1, 0.2], r"options as names and values, got \[0.1, 0.2\]"),
]
MASKS: list[tuple[Any, str]] = [
    ({"reset_mask": np.zeros(NUM_ENVS, np.bool_)}, "with at least one True, got none"),
    ({"reset_mask": np.ones(2, np.bool_)}, r"bool array of shape \(3,\), got bool of shape \(2,\)"),
    ({"reset_mask": np.ones(NUM_ENVS)}, r"bool array of shape \(3,\), got float64"),
    ({"reset_mask": [True] * NUM_ENVS}, r"bool array of shape \(3,\), got \[True, True, True\]"),
    ({"reset_mask": None}, "bool array of shape .* got None"),
    ({"state": np.zeros((4, 3))}, r"an array of shape \(3, 4\), got array"),
]
SEEDS: list[tuple[Any, str]] = [
    (-1, "integers of at least 0 or None, got -1"),
    ([1, 2, -3], "integers of at least 0 or None, got -3"),
    ([1, 2], "one seed or 3 seeds, got 2"),
    ([1, 2, 0.5], "integers of at least 0 or None, got 0.5"),
    (1.5, "one seed or 3 seeds, got 1.5"),
    ("abc", "one seed or 3 seeds, got 'abc'"),
]


@pytest.mark.parametrize("many", [False, True], ids=["scalar", "vector"])
@pytest.mark.parametrize(("options", "message"), OPTIONS)
def test_bad_reset_options(options: Any, message: str, many: bool) -> None:
    for env_id in IDS:
        _check_rejected(env_id, many, message, "reset", seed=1, options=options)


@pytest.mark.parametrize(("options", "message"), MASKS)
def test_bad_masks(options: Any, message: str) -> None:
    _check_rejected(IDS[0], True, message, "reset", seed=1, options=options)


@pytest.mark.parametrize(("seed", "message"), SEEDS)
def test_bad_seeds(seed: Any, message: str) -> None:
    _check_rejected(IDS[0], True, message, "reset", seed=seed)


def test_first_reset_must_include_all_environments() -> None:
    envs = _make(IDS[0], True)
    with pytest.raises(ResetNeeded, match="reset all first"):
        envs.reset(seed=0, options={"reset_mask": np.array([True, False, False])})
    with pytest.raises(ResetNeeded, match="never reset"):
        envs.step(_good(IDS[0], True))


@by_id
@pytest.mark.parametrize("many", [False, True], ids=["scalar", "vector"])
def test_snapshots_of_other_environments_are_rejected(env_id: str, many: bool) -> None:
    def snapshot(other_id: str, is_vector: bool, **kwargs: Any) -> Any:
        other = _make(other_id, is_vector, **{**EVERYTHING, **kwargs})
        other.reset(seed=9)
        return other.get_state()

    for foreign, message in [
        (
            snapshot(env_id, many, params={"pole_mass": 0.2}),
            "Expected a snapshot of .* got one of .*pole_mass=0.2",
        ),
        (snapshot(env_id, many, push_rate=1.0), "same arguments"),
        *((snapshot(other, many), "same arguments") for other in IDS if other != env_id),
        (snapshot(env_id, True, num_envs=2), r"snapshot of \d environments, got one of 2"),
        (snapshot(env_id, not many), r"snapshot of \d environments, got one of \d"),
        (snapshot(env_id, many).memory, "snapshot from get_state.., got ndarray"),
        (None, "snapshot from get_state.., got NoneType"),
    ]:
        _check_rejected(env_id, many, message, "set_state", foreign)


PARAMS: list[tuple[Any, str]] = [
    ({"mass": 1.0}, "Unknown physical parameter 'mass'"),
    ({"pole_mass": -1.0}, "above 0, got -1"),
    ({"pole_mass": NAN}, "above 0, got nan"),
    ({"pole_mass": "heavy"}, "a number, got 'heavy'"),
    ({"time_step": 0.01}, "time step of 0.02 s .* got 0.01"),
    (Params(time_step=0.01), "time step of 0.02 s .* got 0.01"),
    (5, "names and numbers .* got 5"),
    (None, "names and numbers .* got None"),
]


@pytest.mark.parametrize(("params", "message"), PARAMS)
def test_bad_parameters_in_assignments(params: Any, message: str) -> None:
    for env_id in IDS:
        _check_rejected(env_id, False, message, "__setattr__", "params", params)
        _check_rejected(env_id, True, message, "set_attr", "params", params)
        last = [{"pole_mass": 0.3}] * (NUM_ENVS - 1) + [params]
        _check_rejected(env_id, True, message, "set_attr", "params", last)


def test_bad_attributes_in_assignments() -> None:
    wrong_lengths: list[Any] = [[{}] * 2, [], ({},) * 4]
    _check_rejected(IDS[0], True, "Cannot set 'gravity' .* only 'params'", "set_attr", "gravity", 9.0)
    for values in wrong_lengths:
        message = rf"one value or {NUM_ENVS} values, got {len(values)}"
        _check_rejected(IDS[0], True, message, "set_attr", "params", values)


@pytest.mark.parametrize("vector", [False, True])
def test_misspelled_reset_options_are_rejected(vector: bool) -> None:
    env: Any = (
        gym.make_vec("PhysCartPole-v0", num_envs=2) if vector else gym.make("PhysCartPole-v0").unwrapped
    )
    env.reset(seed=0)
    before = env.get_state().memory
    for name in ("stat", "lo", "reset_maks"):
        with pytest.raises(InputError, match=f"Unknown reset option '{name}'; choose from low, high, state"):
            env.reset(options={name: 0.0})
    np.testing.assert_array_equal(env.get_state().memory, before)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"continuous": "no"},
        {"diagnostics": 1},
        {"substeps": True},
        {"num_envs": True},
        {"max_episode_steps": True},
    ],
)
def test_bool_and_int_are_not_interchangeable(kwargs: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="Expected"):
        gym.make_vec("PhysCartPole-v0", **{"num_envs": 2, **kwargs})


@pytest.mark.parametrize("seed", [-1, 1.5, True, "1"])
def test_invalid_seeds_are_rejected(seed: Any) -> None:
    env: Any = gym.make("PhysCartPole-v0").unwrapped
    envs: Any = gym.make_vec("PhysCartPole-v0", num_envs=2)
    for either in (env, envs):
        with pytest.raises(InputError, match="Expected"):
            either.reset(seed=seed)
