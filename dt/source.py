"""What a data set says about itself, checked before any training starts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from cartpole_phys.episodes import Episodes
from cartpole_phys.errors import InputError


@dataclass(frozen=True)
class Spaces:
    """What a model reads and writes."""

    observation_size: int
    action_size: int  # components of a continuous action, or number of discrete ones
    continuous: bool  # components in [−1, 1], or one of 0, 1, …
    max_episode_steps: int  # an episode's time steps are 0 to this − 1


@dataclass(frozen=True)
class Source:
    """The data set that a model was trained on."""

    env_id: str
    env_kwargs: Mapping[str, Any]
    dataset_name: str
    sha256: str  # of observations, actions, rewards and episode offsets
    spaces: Spaces
    min_return: float  # of the episodes that were not cut by the end of collecting
    mean_return: float
    max_return: float


def describe(episodes: Episodes) -> Source:
    """Everything about ``episodes`` that goes into a checkpoint.

    Raises:
        InputError: if the data are empty, not finite, without an environment or not possible in it.
    """
    _check_values(episodes)
    env_id = episodes.metadata.get("env_id")
    if env_id is None:
        raise InputError(
            "Expected metadata with an env_id, found none; build the data set with build-dataset."
        )
    returns = episodes.returns[episodes.complete] if episodes.complete.any() else episodes.returns
    return Source(
        env_id=env_id,
        env_kwargs=dict(episodes.metadata.get("env_kwargs", {})),
        dataset_name=str(episodes.metadata.get("dataset_name", "unnamed")),
        sha256=_fingerprint(episodes),
        spaces=_spaces(episodes, env_id),
        min_return=float(returns.min()),
        mean_return=float(returns.mean()),
        max_return=float(returns.max()),
    )


def _check_values(episodes: Episodes) -> None:
    if not episodes.steps:
        raise InputError("Expected at least one transition, got an empty data set.")
    for name in ("observations", "actions", "rewards"):
        finite = np.isfinite(getattr(episodes, name))
        if not finite.all():
            row = int(np.argwhere(~finite)[0, 0])
            raise InputError(
                f"Expected finite {name}, got {getattr(episodes, name)[row]} in row {row}; "
                "`cartpole-phys check` names every fault of a data set."
            )


def _spaces(episodes: Episodes, env_id: str) -> Spaces:
    try:
        limit = gymnasium.spec(env_id).max_episode_steps
    except gymnasium.error.Error as error:
        raise InputError(f"Unknown environment {env_id!r} in the data set's metadata: {error}.") from None
    longest = int(episodes.lengths.max())
    if limit is not None and longest > limit:
        raise InputError(
            f"Expected episodes of at most {limit} steps, as {env_id} has, got one of {longest}; "
            "cut it or register the environment with more steps."
        )
    actions = episodes.actions
    continuous = actions.dtype.kind == "f"
    if actions.ndim != (2 if continuous else 1):
        raise InputError(f"Expected actions (N, size) of floats or (N,) of integers, got {actions.shape}.")
    low, high = actions.min(), actions.max()
    if (continuous and max(-low, high) > 1.0) or (not continuous and low < 0):
        raise InputError(f"Expected actions in [-1, 1], or 0, 1, …; got some from {low} to {high}.")
    return Spaces(
        observation_size=episodes.observations.shape[1],
        action_size=actions.shape[1] if continuous else max(int(high) + 1, 2),
        continuous=continuous,
        max_episode_steps=longest if limit is None else limit,
    )


def _fingerprint(episodes: Episodes) -> str:
    digest = hashlib.sha256()
    for array in (episodes.observations, episodes.actions, episodes.rewards, episodes.offsets):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
