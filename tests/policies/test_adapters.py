"""Adapters for trained models, functions and factories of policies."""

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm

from cartpole_phys.backends.base import Backend
from cartpole_phys.backends.random_policy import UniformPolicy
from cartpole_phys.backends.resolve import make_backend
from cartpole_phys.kernels.control_laws import UNIFORM
from cartpole_phys.policies.controllers import uniform
from cartpole_phys.policies.resolve import (
    FunctionPolicy,
    PredictPolicy,
    as_policy,
    factory_description,
    named_policy,
    names_for,
    policy_from_factory,
)
from cartpole_phys.rollouts.policy import CompiledPolicy
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError


class Recurrent:
    """A model that counts the steps of an episode, with the interface of recurrent SB3 models."""

    def predict(
        self,
        observation: np.ndarray,
        state: np.ndarray | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        assert deterministic
        assert (state is None) == (episode_start is None)
        state = np.zeros(len(observation)) if state is None else state + 1
        return (state[:, None] / 100).astype("f4"), state


class Memoryless:
    """A model whose ``predict`` has no recurrent state."""

    def predict(self, observations: np.ndarray, deterministic: bool) -> tuple[np.ndarray, None]:
        return -observations[:, 1:2], None


def by_backend(backend: Backend) -> UniformPolicy:
    """A factory that needs to know the backend."""
    return UniformPolicy(backend.action_space)


def by_system(system: CartPole) -> Any:
    """A factory that needs to know the system, and returns a function."""
    assert isinstance(system, CartPole)
    return lambda observations: np.sign(observations[:, 2:3])


def gained(gain: float, add: Sequence[float] = (0.0,)) -> Callable[[np.ndarray], np.ndarray]:
    """A proportional policy."""
    return lambda observations: gain * observations[:, 1:2] + add[0]


def to_the_right(observations: np.ndarray) -> Any:
    """A policy, not a factory."""
    return observations[:, 2] > 0


def nothing() -> None:
    """A factory that returns None."""


@pytest.mark.parametrize(
    ("algorithm", "env_id"), [(PPO, "Pendulum-v1"), (DQN, "CartPole-v1"), (PPO, "PhysCartPole-v0")]
)
def test_trained_models_act_as_in_stable_baselines3(algorithm: type[BaseAlgorithm], env_id: str) -> None:
    model = algorithm("MlpPolicy", gym.make(env_id), seed=0, device="cpu")  # type: ignore[call-arg]
    policy = as_policy(model)
    assert isinstance(policy, PredictPolicy)
    episodes = make_backend(env_id).play(policy, 2, 0)
    expected = model.predict(episodes.observations, deterministic=True)[0]
    np.testing.assert_allclose(episodes.actions, expected, rtol=1e-5, atol=1e-6)


def test_recurrent_models_keep_their_state_for_an_episode() -> None:
    backend, policy = make_backend("Pendulum-v1", {"max_episode_steps": 10}), as_policy(Recurrent())
    for _ in range(2):
        episodes = backend.play(policy, 3, 0)
        expected = np.tile(np.arange(10, dtype="f4") / 100, 3)
        np.testing.assert_array_equal(episodes.actions[:, 0], expected.astype("f4"))


@pytest.mark.parametrize("given", [Memoryless(), lambda observations: -observations[:, 1:2]])
def test_models_and_functions_without_states(given: Any) -> None:
    episodes = make_backend("Pendulum-v1", {"max_episode_steps": 10}).play(as_policy(given), 1, 0)
    np.testing.assert_array_equal(episodes.actions, -episodes.observations[:, 1:2])


def test_functions_of_discrete_actions() -> None:
    policy = as_policy(lambda observations: (observations[:, 2] > 0).astype(int))
    assert isinstance(policy, FunctionPolicy)
    for env_id in ("CartPole-v1", "PhysCartPoleDiscrete-v0"):
        episodes = make_backend(env_id).play(policy, 2, 0)
        np.testing.assert_array_equal(episodes.actions, episodes.observations[:, 2] > 0)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "PhysCartPoleDiscrete-v0"])
def test_functions_of_one_observation_get_an_error_about_batches(env_id: str) -> None:
    words = r"takes a batch of observations, here of shape \(\d+, 4\), .* but it raised TypeError"
    with pytest.raises(InputError, match=words):
        make_backend(env_id).play(as_policy(lambda observation: int(observation[2] > 0)), 3, 0)


def test_policies_of_this_package_are_returned_unchanged() -> None:
    policy = UniformPolicy(make_backend("Pendulum-v1").action_space)
    assert as_policy(policy) is policy
    compiled = uniform()
    assert as_policy(compiled) is compiled


@pytest.mark.parametrize(
    ("given", "words"),
    [(7, "got 7"), (None, "got None"), (Memoryless, "got the class Memoryless; make an object of it")],
)
def test_invalid_policies_are_rejected(given: Any, words: str) -> None:
    with pytest.raises(InputError, match=f"Expected a policy .*{words}"):
        as_policy(given)


def test_factories_receive_the_backend_or_system() -> None:
    pendulum, own = make_backend("Pendulum-v1"), make_backend("PhysCartPole-v0")
    made = policy_from_factory("tests.policies.test_adapters:by_backend", pendulum)
    assert isinstance(made, UniformPolicy)
    assert made.action_space is pendulum.action_space
    for place in (own, CartPole()):
        assert isinstance(
            policy_from_factory("tests.policies.test_adapters:by_system", place), FunctionPolicy
        )
    assert isinstance(named_policy("tests.policies.test_adapters:Memoryless", pendulum), PredictPolicy)
    with pytest.raises(
        InputError, match=r"Expected 'tests.policies.test_adapters:by_system' .*it raised AssertionError"
    ):
        policy_from_factory("tests.policies.test_adapters:by_system", pendulum)
    with pytest.raises(InputError, match=r"TypeError.*; if it is the policy itself, name a function that"):
        policy_from_factory("tests.policies.test_adapters:to_the_right", CartPole())
    with pytest.raises(
        InputError, match=r"Expected 'tests.policies.test_adapters:nothing' to return a policy .*, got None"
    ):
        policy_from_factory("tests.policies.test_adapters:nothing", pendulum)


def test_factories_receive_the_arguments() -> None:
    backend = make_backend("Pendulum-v1")
    observations = np.array([[0.0, 0.5, 0.0]], np.float32)
    for text, expected in (
        ("tests.policies.test_adapters:gained(2)", 1.0),
        ("tests.policies.test_adapters:gained(gain=-3.0)", -1.5),
        ("tests.policies.test_adapters:gained(2, add=[1])", 2.0),
    ):
        policy = policy_from_factory(text, backend)
        assert isinstance(policy, FunctionPolicy)
        policy.begin(1, np.random.default_rng(0))
        np.testing.assert_array_equal(policy.act(observations, np.zeros(1)).actions, [[expected]])
    with pytest.raises(
        InputError, match=r"'tests.policies.test_adapters:gained\(\)' to return a policy .*TypeError"
    ):
        policy_from_factory("tests.policies.test_adapters:gained()", backend)


@pytest.mark.parametrize(
    "rest", ["gained(", "gained(x)", "gained(1)(2)", "gained.more(1)", "gained(*[1])", "gained(**{})", "(1)"]
)
def test_arguments_other_than_literals_are_rejected(rest: str) -> None:
    with pytest.raises(InputError, match=r"Expected MODULE:FACTORY, or MODULE:FACTORY\(ARGUMENTS\) with"):
        policy_from_factory(f"tests.policies.test_adapters:{rest}", make_backend("Pendulum-v1"))


def test_names_in_other_backends() -> None:
    backend = make_backend("CartPole-v1")
    assert names_for(backend) == ("random",)
    for name in (None, "random"):
        policy = named_policy(name, backend)
        assert isinstance(policy, CompiledPolicy)
        assert policy.rule == UNIFORM
    with pytest.raises(
        InputError, match="'lqr' does not support this task; choose from random, a data set's FILE"
    ):
        named_policy("lqr", backend)


def test_a_factory_is_described_by_its_source() -> None:
    described = factory_description("tests.policies.test_adapters:by_backend")
    source = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    assert described == {
        "kind": "factory",
        "place": "tests.policies.test_adapters:by_backend",
        "source_sha256": source,
    }
    backend = make_backend("Pendulum-v1")
    policy_from_factory(described["place"], backend, source)
    with pytest.raises(
        InputError, match=f"differs from that of the behavior policy .sha256 {'0' * 64}.; get that version"
    ):
        policy_from_factory(described["place"], backend, "0" * 64)
    with pytest.raises(InputError, match=re.escape("module with a source file, but 'builtins' has none")):
        factory_description("builtins:dict")
    with pytest.raises(InputError, match="has no function or class 'absent'"):
        factory_description("tests.policies.test_adapters:absent")
