"""Evaluates anything that can act, in any environment, the way data sets are evaluated."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from cartpole_phys.backends.base import Backend, PolicySource
from cartpole_phys.backends.resolve import backend_from, make_backend
from cartpole_phys.data.score import all_references, mean_interval, normalized_score
from cartpole_phys.data.stored_policies import behaviour_of, names_file
from cartpole_phys.policies.resolve import as_policy, named_policy
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a policy reached in E episodes."""

    returns: FloatArray = field(repr=False)  # (E,), undiscounted
    lengths: IntArray = field(repr=False)  # (E,), steps
    mean_return: float
    low: float  # of the mean return's 95 % interval, by bootstrap
    high: float
    score: float | None  # of the mean return; None where the environment has no reference returns


def evaluate(
    policy: Any, env: str | EnvSpec | gym.Env[Any, Any], episodes: int = 100, seed: int = 0
) -> Evaluation:
    """Play a policy and measure its returns; equal seeds give every policy the same start states.

    Args:
        policy: a name such as ``"lqr"`` or ``"random"``, ``"module:factory"``, the path of a data set (the
            policy that acted in it), a Stable-Baselines3 model, a function from observations (n, obs) to
            actions, or a policy of this package.
        env: an environment id, an ``EnvSpec``, or an environment as ``gymnasium.make`` gives it: its id and
            arguments are taken, the environment itself is left alone.
        episodes: how many are played to their ends.
        seed: decides start states and every random choice.

    Raises:
        InputError: on a policy or an environment that is none, or that do not fit together.
    """
    backend = backend_from(env)
    played = backend.play(_source(policy, backend), episodes, seed)
    returns = played.returns
    mean, low, high = mean_interval(returns)
    known = backend.env_id in all_references()
    score = float(normalized_score(backend.env_id, mean)) if known else None
    return Evaluation(returns, played.lengths, mean, low, high, score)


def _source(policy: Any, backend: Backend) -> PolicySource:
    """What a word or a path stands for, or anything that can act itself."""
    if isinstance(policy, os.PathLike) or (isinstance(policy, str) and names_file(policy)):
        return _of_file(os.fspath(policy), backend)
    return named_policy(policy, backend) if isinstance(policy, str) else as_policy(policy)


def _of_file(path: str, backend: Backend) -> PolicySource:
    acted = behaviour_of(path)
    own = make_backend(acted.env_id, acted.env_kwargs)
    if (own.observation_space.shape, own.action_space) != (
        backend.observation_space.shape,
        backend.action_space,
    ):
        raise InputError(
            f"The policy of {path!r} acts in {acted.env_id}, which differs from {backend.env_id}."
        )
    return acted.behaviour
