"""Regression tests for known bugs in other cart-pole implementations.

Physics is compared with Newton's equations, solved here as a linear system for ẍ, θ̈ and the normal force.
"""

import copy
import dataclasses
import math
import pickle
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import cartpole_phys
from cartpole_phys.linearize import linearize
from cartpole_phys.physics import Params
from cartpole_phys.utils.errors import InputError
from tests.support.vector_comparison import DISCRETE, EVERYTHING, IDS, MODES, assert_same

gym.register_envs(cartpole_phys)

BALANCE = IDS[0]
NUM_ENVS = 4
STATES = np.random.default_rng(0).uniform(-1, 1, (30, 4)) * [0.5, 3.0, 3.0, 12.0]  # some spin lifts the cart

by_id = pytest.mark.parametrize("env_id", IDS)


def _scalar(env_id: str = BALANCE, **kwargs: Any) -> Any:
    return gym.make(env_id, disable_env_checker=True, **kwargs).unwrapped


def _vector(env_id: str = BALANCE, **kwargs: Any) -> Any:
    return gym.make_vec(env_id, **{"num_envs": NUM_ENVS, **kwargs})


def _actions(env_id: str, num_envs: int | None = NUM_ENVS, direction: int = 1) -> Any:
    """Actions of full force to one side."""
    shape = () if num_envs is None else (num_envs,)
    if env_id == DISCRETE:
        return np.full(shape, (direction + 1) // 2, np.int64) if shape else np.int64((direction + 1) // 2)
    return np.full((*shape, 1), direction, np.float32)


def _stepped(state: Any, action: float, **kwargs: Any) -> np.ndarray:
    """The state after a step of the scalar environment."""
    env = _scalar(**kwargs)
    env.reset(options={"state": state})
    env.step(np.array([action], np.float32))
    return np.asarray(env.state)


def _newton(state: Any, force: float, p: Params) -> tuple[float, float]:
    """Solve the three equations of motion for ẍ, θ̈ and the normal force; return ẍ and θ̈."""
    _, x_dot, theta, theta_dot = state
    sine, cosine, ml = math.sin(theta), math.cos(theta), p.pole_mass * p.half_length
    weight, slip = (p.cart_mass + p.pole_mass) * p.gravity, p.cart_friction * np.sign(x_dot)
    for direction in (slip, -slip):  # of the friction per newton of the normal force
        matrix = [
            [p.cart_mass + p.pole_mass, ml * cosine, direction],
            [ml * cosine, 4 / 3 * ml * p.half_length, 0.0],
            [0.0, ml * sine, 1.0],
        ]
        torque = ml * p.gravity * sine - p.pole_damping * theta_dot
        right = [force + ml * theta_dot**2 * sine, torque, weight - ml * theta_dot**2 * cosine]
        x_acceleration, theta_acceleration, normal = np.linalg.solve(matrix, right)
        if normal >= 0:
            break
    return float(x_acceleration), float(theta_acceleration)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"pole_mass": 0.7, "cart_mass": 0.4, "half_length": 0.9},
        {"cart_friction": 0.3},
        {"pole_damping": 0.05},
        {"cart_friction": 0.2, "pole_mass": 0.6, "half_length": 1.2, "pole_damping": 0.02},
    ],
    ids=str,
)
def test_masses_lengths_and_friction_satisfy_newtons_equations(params: dict[str, float]) -> None:
    """Gymnasium 1.4 phys2d/cartpole.py: pole mass + length; PufferLib #447: total mass + pole mass.

    Also the friction of Barto, Sutton and Anderson (1983), and a transcription of Florian's correction that
    lacks a sinθ (beckyea/probabilistic_traj_opt).
    """
    p = Params(**params)
    for state in STATES:
        if p.cart_friction and abs(state[1]) < 1.1:
            continue  # friction may stop the cart within the step (tests/kernels/test_friction.py)
        for direction in (-1.0, 0.0, 1.0):
            after = _stepped(state, direction, integrator="euler", params=params)
            found = (after[[1, 3]] - state[[1, 3]]) / p.time_step
            np.testing.assert_allclose(found, _newton(state, direction * 10.0, p), rtol=1e-9, atol=1e-9)


def test_pole_mass_and_length_are_multiplied() -> None:
    """Gymnasium 1.4 phys2d/cartpole.py:37 adds them: from (0, 0, 0.1, 0.5) it gives ẋ = 0.323."""
    assert round(_stepped((0, 0, 0.1, 0.5), 1.0, integrator="euler")[1], 3) == 0.194


def test_signs_of_gravity_and_friction() -> None:
    """Sign errors in the 1983 paper (Florian, 2007): reversed gravity, friction that accelerates."""
    assert _stepped((0, 0, 0.1, 0), 0.0)[3] > 0 > _stepped((0, 0, -0.1, 0), 0.0)[3]
    for speed in (-1.0, 1.0):
        assert abs(_stepped((0, speed, 0, 0), 0.0, params={"cart_friction": 0.1})[1]) < 1.0
        assert abs(_stepped((0, 0, 0, speed), 0.0, params={"pole_damping": 0.1})[3]) < abs(
            _stepped((0, 0, 0, speed), 0.0)[3]
        )


def test_update_order_matches_the_integrator() -> None:
    """openai/gym#907, #1018 and Gymnasium#790: positions with old or with new velocities."""
    for state in STATES:
        for integrator, velocity_of in {"euler": state, "semi_implicit_euler": None}.items():
            after = _stepped(state, 1.0, integrator=integrator)
            used = after if velocity_of is None else velocity_of
            np.testing.assert_allclose(after[[0, 2]], state[[0, 2]] + 0.02 * used[[1, 3]], rtol=1e-12)


def test_rows_of_the_linear_model() -> None:
    """openai/gym#3246: an A matrix for the regulator with the pole's entry in the cart's row."""
    model, tiny = linearize(np.zeros(4)), 1e-5
    for j in range(4):
        state = np.eye(4)[j] * tiny
        x_acceleration, theta_acceleration = _newton(state, 0.0, Params())
        column = np.array([state[1], x_acceleration, state[3], theta_acceleration]) / tiny
        np.testing.assert_allclose(model.state_matrix[:, j], column, atol=1e-8)
    np.testing.assert_allclose(model.force_vector[[1, 3]], _newton(np.zeros(4), 1.0, Params()), rtol=1e-12)


@by_id
def test_derived_parameters_are_updated(env_id: str) -> None:
    """Gymnasium: setting ``masspole`` leaves ``total_mass`` as it was; gymnax and CARL likewise."""
    changed, fresh = _scalar(env_id), _scalar(env_id, params={"pole_mass": 0.5, "half_length": 0.3})
    envs = _vector(env_id)
    for env in (changed, fresh, envs):
        env.reset(seed=1)
    changed.params = {"pole_mass": 0.5, "half_length": 0.3}
    envs.set_attr("params", {"pole_mass": 0.5, "half_length": 0.3})
    expected = fresh.step(_actions(env_id, None))[0]
    assert_same(changed.step(_actions(env_id, None))[0], expected)
    assert_same(envs.step(_actions(env_id))[0][0], expected)
    assert changed.params.total_mass == 1.5
    with pytest.raises(dataclasses.FrozenInstanceError):
        changed.params.pole_mass = 0.1
    with pytest.raises(InputError, match="only 'params'"):
        envs.set_attr("pole_mass", 0.1)


@by_id
@pytest.mark.parametrize("seed", [5, [5, 1, 9, 0]])
def test_each_environment_has_its_own_seed(env_id: str, seed: Any) -> None:
    """Gymnasium's CartPoleVectorEnv draws from one generator, and a list of seeds raises; EnvPool #324."""
    envs = _vector(env_id)
    starts = envs.reset(seed=seed)[0]
    assert len(np.unique(starts, axis=0)) == NUM_ENVS
    seeds = [seed + i for i in range(NUM_ENVS)] if isinstance(seed, int) else seed
    for start, own in zip(starts, seeds, strict=True):
        assert_same(start, _scalar(env_id).reset(seed=own)[0])


def test_environments_that_were_never_seeded_differ() -> None:
    """EnvPool #324: the same observations in all environments."""
    assert len(np.unique(np.concatenate([_vector().reset()[0] for _ in range(2)]), axis=0)) == 2 * NUM_ENVS


@by_id
@pytest.mark.parametrize("mode", MODES)
def test_reset_mask_is_applied_and_options_are_not_modified(env_id: str, mode: str) -> None:
    """Gymnasium's CartPoleVectorEnv resets all; SyncVectorEnv removes the mask from the caller's options."""
    envs = _vector(env_id, autoreset_mode=mode)
    envs.reset(seed=0)
    before = envs.step(_actions(env_id))[0]
    mask = np.array([True, False, False, True])
    options = {"reset_mask": mask, "high": 0.04}
    after = envs.reset(options=options)[0]
    np.testing.assert_array_equal((after == before).all(axis=1), ~mask)
    assert list(options) == ["reset_mask", "high"]
    np.testing.assert_array_equal(mask, [True, False, False, True])


def test_autoreset_mode_is_an_argument() -> None:
    """Gymnasium's CartPoleVectorEnv has one mode and no argument for it."""
    assert [_vector(autoreset_mode=mode).metadata["autoreset_mode"].value for mode in MODES] == MODES
    assert _vector(autoreset_mode=AutoresetMode.DISABLED).autoreset_mode is AutoresetMode.DISABLED


@by_id
def test_rewards_are_float64_and_flags_bool(env_id: str) -> None:
    """Gymnasium's CartPoleVectorEnv: float32 rewards, where SyncVectorEnv has float64."""
    envs, env = _vector(env_id), _scalar(env_id)
    envs.reset(seed=0)
    env.reset(seed=0)
    assert [array.dtype for array in envs.step(_actions(env_id))[1:4]] == [np.float64, np.bool_, np.bool_]
    assert [type(value) for value in env.step(_actions(env_id, None))[1:4]] == [float, bool, bool]


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_start_bounds_apply_to_one_reset_only(mode: str) -> None:
    """Gymnasium's CartPoleVectorEnv keeps custom bounds for all later autoresets."""
    envs = _vector(autoreset_mode=mode, max_episode_steps=1)
    starts = [envs.reset(seed=0, options={"low": 0.19, "high": 0.2})[0]]
    for _ in range(20):
        starts += [envs.step(_actions(BALANCE))[0] for _ in range(1 if mode == "SameStep" else 2)][-1:]
    assert (starts[0] >= 0.18).all()
    assert np.abs(starts[1:]).max() <= 0.05


def test_get_attr_set_attr_and_call() -> None:
    """Gymnasium's CartPoleVectorEnv has no ``get_attr``, ``set_attr`` or ``call``."""
    envs = _vector()
    envs.reset(seed=0)
    envs.set_attr("params", [{"gravity": 9.0 + i} for i in range(NUM_ENVS)])
    assert [params.gravity for params in envs.get_attr("params")] == [9.0, 10.0, 11.0, 12.0]
    assert len(envs.call("reset", seed=3)) == NUM_ENVS


def test_vector_render_returns_a_tuple() -> None:
    """Gymnasium's CartPoleVectorEnv returns a list although it is annotated as a tuple."""
    envs = _vector(num_envs=2, render_mode="rgb_array")
    envs.reset(seed=0)
    assert type(envs.render()) is tuple


@pytest.mark.parametrize("mode", MODES)
def test_failure_at_the_time_limit_is_terminated(mode: str) -> None:
    """EnvPool core/env.h:241 marks it as truncated only."""
    env = _scalar()
    env.reset(options={"state": (0, 0, 0.2, 1.0)})
    length = 1
    while not env.step(_actions(BALANCE, None, -1))[2]:
        length += 1
    envs = _vector(autoreset_mode=mode, max_episode_steps=length)
    envs.reset(options={"state": (0, 0, 0.2, 1.0)})
    for _ in range(length):
        _, _, terminated, truncated, _ = envs.step(_actions(BALANCE, direction=-1))
    assert terminated.all()
    assert truncated.all()


def test_final_step_has_reward_and_valid_observation() -> None:
    """openai/gym#704 and PufferLib (0 on the last step); openai/gym#88 (bounds at the thresholds)."""
    for state in ((0, 0, 0.2, 3.0), (2.39, 3.0, 0, 0)):
        env = _scalar()
        env.reset(options={"state": state})
        observation, reward, terminated, _, _ = env.step(_actions(BALANCE, None))
        assert terminated
        assert reward == 1.0
        assert env.observation_space.contains(observation)


def test_start_states_and_time_limit_match_cartpole_v1() -> None:
    """PufferLib's cartpole.h: starts in ±0.04, 200 steps, truncations never written, float32 state."""
    envs = _vector(params={"force_mag": 1e-9, "gravity": 1e-9}, num_envs=200)
    starts = np.abs(envs.reset(seed=0, options={})[0])
    assert 0.049 < starts.max() <= 0.05
    envs.reset(options={"state": (0, 0, 0, 0)})
    lengths = [envs.step(np.zeros((200, 1), np.float32))[3].sum() for _ in range(500)]
    assert lengths == [0] * 499 + [200]
    states = envs.reset(seed=0) and envs.columns.states
    assert (states != states.astype(np.float32)).any()


def test_discrete_actions_are_scalar_integers() -> None:
    """Gymnasium's CartPole documentation gives actions of shape (1,); the space is ``Discrete(2)``."""
    env = _scalar(DISCRETE)
    env.reset(seed=0)
    assert env.step(1)[0][1] > 0
    with pytest.raises(InputError, match=r"of shape \(\), got int64 of shape \(1,\)"):
        env.step(np.array([1]))


def _arrays(value: Any) -> list[np.ndarray]:
    """Return every array in a result, including those in nested containers."""
    if isinstance(value, np.ndarray):
        return [value] if value.dtype != object else [*_arrays(list(value)), value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return [array for item in items for array in _arrays(item)]


@by_id
@pytest.mark.parametrize("mode", [None, "NextStep", "SameStep"])
@pytest.mark.parametrize("kwargs", [{}, EVERYTHING], ids=["plain", "everything"])
def test_returned_arrays_do_not_share_memory(env_id: str, mode: str | None, kwargs: Any) -> None:
    """Gymnasium#1681: a reused observation buffer corrupts the contents of a replay buffer."""
    env = (
        _vector(env_id, autoreset_mode=mode, max_episode_steps=2, **kwargs)
        if mode
        else _scalar(env_id, **kwargs)
    )
    results = [env.reset(seed=0)]
    for _ in range(4):
        results.append(env.step(_actions(env_id, NUM_ENVS if mode else None)))
    results.append(env.reset(options={"state": (0.1, 0, 0, 0)}))
    arrays = [_arrays([*result, env.get_state().memory]) for result in results]
    before = copy.deepcopy(arrays)
    env.step(_actions(env_id, NUM_ENVS if mode else None))
    env.reset()
    assert_same(arrays, before)
    returned = [array for several in arrays for array in several]
    for i, array in enumerate(returned):
        assert not np.shares_memory(array, env.columns.memory)
        assert not any(np.shares_memory(array, other) for other in returned[:i] if other.dtype != object)


@by_id
@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])  # noqa: S301
@pytest.mark.parametrize("mode", [None, *MODES])
def test_copies_continue_identically(env_id: str, twin_of: Callable[[Any], Any], mode: str | None) -> None:
    """Gymnasium#737: a deep copy through ``EzPickle`` loses the state."""
    kwargs = {**EVERYTHING, "max_episode_steps": 9}
    env = (
        _vector(env_id, autoreset_mode=mode, **kwargs)
        if mode
        else gym.make(env_id, disable_env_checker=True, **kwargs)
    )
    env.reset(seed=0)
    many = NUM_ENVS if mode else None
    for direction in (1, 1, -1):
        env.step(_actions(env_id, many, direction))
    twin = twin_of(env)
    for _ in range(2):
        for direction in (1, -1, 1, -1, 1):
            assert_same(
                twin.step(_actions(env_id, many, direction)), env.step(_actions(env_id, many, direction))
            )
        assert_same(twin.reset(), env.reset())
    assert twin.np_random.random() == env.np_random.random()


@by_id
def test_autoreset_step_has_zero_reward(env_id: str) -> None:
    """Gymnasium's NextStep mode: that step's action is ignored, so it must not count."""
    envs = _vector(env_id, max_episode_steps=3, diagnostics=True)
    envs.reset(seed=0)
    flags = [envs.step(_actions(env_id))[1:4] for _ in range(4)]
    assert flags[2][2].all()
    assert not np.any(flags[3])
    assert env_id != BALANCE or (flags[2][0] == 1.0).all()
    assert (envs.columns.elapsed == 0).all()
