"""Description of the training data set, validated before training."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from cartpole_phys.backends.base import Backend
from cartpole_phys.data.declared_env import declared_backend
from cartpole_phys.episodes import Episodes
from cartpole_phys.spaces import ActionSpace
from cartpole_phys.utils.errors import InputError


@dataclass(frozen=True)
class Spaces:
    """Observation and action spaces of a model."""

    observation_size: int
    action_size: int  # components of a continuous action, or number of discrete actions
    continuous: bool  # False: discrete actions 0, 1, …
    max_episode_steps: int  # timesteps are 0 to max_episode_steps − 1
    action_low: tuple[float, ...]  # lower bound of continuous actions per component
    action_high: tuple[float, ...]  # upper bound


ENDED = "ended by termination or time limit"
ALL = "all, since none ended by termination or time limit"
UNKNOWN = "unknown"  # for imported models


@dataclass(frozen=True)
class Eligible:
    """Summary of the episodes used for training and statistics: ``Episodes.eligible``."""

    rule: str  # ENDED, ALL or UNKNOWN
    episodes: int
    rows: int
    sha256: str  # as in ``Source``, of these episodes only


@dataclass(frozen=True)
class Source:
    """Provenance of a model: its training data set and environment."""

    env_id: str
    env_kwargs: Mapping[str, Any]
    dataset_name: str
    sha256: str  # of observations, actions, rewards and episode offsets
    eligible: Eligible
    spaces: Spaces
    min_return: float  # of the eligible episodes
    mean_return: float
    max_return: float


def describe(episodes: Episodes) -> Source:
    """Validate ``episodes``, and describe them for a checkpoint.

    Raises:
        InputError: if the data are empty, contain NaN or Inf, name no environment or do not fit it.
    """
    _check_values(episodes)
    backend = declared_backend(episodes.metadata)
    _check_fit(episodes, backend)
    eligible = episodes.filter(episodes.eligible)
    returns = eligible.returns
    return Source(
        env_id=backend.env_id,
        env_kwargs=dict(backend.env_kwargs),
        dataset_name=str(episodes.metadata.get("dataset_name", "unnamed")),
        sha256=_fingerprint(episodes),
        eligible=Eligible(
            rule=ENDED if episodes.complete.any() else ALL,
            episodes=len(eligible),
            rows=eligible.steps,
            sha256=_fingerprint(eligible),
        ),
        spaces=spaces_of(backend),
        min_return=float(returns.min()),
        mean_return=float(returns.mean()),
        max_return=float(returns.max()),
    )


def _check_values(episodes: Episodes) -> None:
    if not episodes.steps:
        raise InputError("Expected at least one transition, got an empty data set.")
    for name in ("observations", "actions", "rewards", "final_observations"):
        finite = np.isfinite(getattr(episodes, name))
        if not finite.all():
            row = int(np.argwhere(~finite)[0, 0])
            of = "of episode" if name == "final_observations" else "in row"
            raise InputError(
                f"Expected finite {name.replace('_', ' ')}, got {getattr(episodes, name)[row]} {of} {row}; "
                "run `cartpole-phys check` to list all faults of the data set."
            )


def spaces_of(backend: Backend) -> Spaces:
    """Return the spaces of a model for an environment.

    Raises:
        InputError: if discrete actions do not start at 0.
    """
    low, high = _bounds(backend.action_space)
    return Spaces(
        observation_size=(backend.observation_space.shape or (0,))[0],
        action_size=len(low) if backend.continuous else int(high) + 1,
        continuous=backend.continuous,
        max_episode_steps=backend.max_episode_steps,
        action_low=tuple(low.tolist()) if backend.continuous else (),
        action_high=tuple(high.tolist()) if backend.continuous else (),
    )


def _check_fit(episodes: Episodes, backend: Backend) -> None:
    """Check that the data fit the environment.

    Raises:
        InputError: if episodes are too long, or shapes or actions do not match the spaces.
    """
    longest = int(episodes.lengths.max())
    if longest > backend.max_episode_steps:
        raise InputError(
            f"Expected episodes of at most {backend.max_episode_steps} steps, as {backend.env_id} has, got "
            f"one of {longest}; shorten it or register the environment with more steps."
        )
    rows, space = episodes.steps, backend.action_space
    _check_shape("observations", episodes.observations, (rows, *(backend.observation_space.shape or ())))
    _check_shape("actions", episodes.actions, (rows, *(space.shape or ())))
    low, high = _bounds(space)
    outside = (episodes.actions < low) | (episodes.actions > high)
    if outside.any() or (episodes.actions.dtype.kind == "f") != backend.continuous:
        row = int(np.argwhere(outside)[0, 0]) if outside.any() else 0
        raise InputError(
            f"Expected actions in {space}, as {backend.env_id} has, got {episodes.actions[row]} in row {row}."
        )


def _check_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise InputError(f"Expected {name} of shape {shape}, as the environment has, got {array.shape}.")


def _bounds(space: ActionSpace) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds of actions.

    Raises:
        InputError: if discrete actions do not start at 0.
    """
    if isinstance(space, Box):
        return space.low, space.high
    if space.start != 0:
        raise InputError(f"Expected discrete actions that start at 0, got {space}.")
    return np.zeros(()), np.asarray(space.n - 1)


def _fingerprint(episodes: Episodes) -> str:
    digest = hashlib.sha256()
    for array in (episodes.observations, episodes.actions, episodes.rewards, episodes.offsets):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
