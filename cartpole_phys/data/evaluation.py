"""Policy evaluation in any environment, by the protocol that scores data sets."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from cartpole_phys.backends.base import Backend, PolicySource
from cartpole_phys.backends.resolve import backend_from, make_backend
from cartpole_phys.data.score import all_references, mean_interval, normalized_score
from cartpole_phys.data.stored_policies import is_dataset_path, stored_policy
from cartpole_phys.policies.resolve import as_policy, named_policy
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Returns, lengths and normalized score of a policy over E episodes."""

    returns: FloatArray = field(repr=False)  # (E,), undiscounted
    lengths: IntArray = field(repr=False)  # (E,), steps
    mean_return: float
    low: float  # lower end of the mean return's 95 % confidence interval, by bootstrap
    high: float  # upper end
    score: float | None  # of the mean return; None where the environment has no reference returns


def evaluate(
    policy: Any, env: str | EnvSpec | gym.Env[Any, Any], episodes: int = 100, seed: int = 0
) -> Evaluation:
    """Evaluate a policy; equal seeds give every policy the same start states.

    Args:
        policy: a name such as ``"lqr"`` or ``"random"``, ``"module:factory"``, the path of a data set (its
            behavior policy), a Stable-Baselines3 model, a function from observations (n, obs) to actions, or
            a policy of this package.
        env: an environment id, an ``EnvSpec``, or an environment from ``gymnasium.make``, of which only the
            id and the arguments are used.
        episodes: number of complete episodes.
        seed: random seed of the start states and of every random draw.

    Raises:
        InputError: if the policy or the environment is invalid, or the two are incompatible.
    """
    backend = backend_from(env)
    played = backend.play(_resolve_policy(policy, backend), episodes, seed)
    returns = played.returns
    mean, low, high = mean_interval(returns)
    known = backend.env_id in all_references()
    score = float(normalized_score(backend.env_id, mean)) if known else None
    return Evaluation(returns, played.lengths, mean, low, high, score)


def _resolve_policy(policy: Any, backend: Backend) -> PolicySource:
    """Resolve the ``policy`` argument of ``evaluate``."""
    if isinstance(policy, os.PathLike) or (isinstance(policy, str) and is_dataset_path(policy)):
        return _policy_of_file(os.fspath(policy), backend)
    return named_policy(policy, backend) if isinstance(policy, str) else as_policy(policy)


def _policy_of_file(path: str, backend: Backend) -> PolicySource:
    """The behavior policy stored in a file, if its spaces are those of the environment."""
    stored = stored_policy(path)
    expected = make_backend(stored.env_id, stored.env_kwargs)
    if (expected.observation_space.shape, expected.action_space) != (
        backend.observation_space.shape,
        backend.action_space,
    ):
        raise InputError(
            f"Expected the observation and action spaces of {stored.env_id}, the environment of the "
            f"policy in {path!r}, got {backend.env_id}, which differs."
        )
    return stored.behavior
