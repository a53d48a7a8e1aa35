"""What decides a Soft Actor-Critic agent, and what comes out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt

from cartpole_phys.errors import InputError

Weights = dict[str, npt.NDArray[np.float32]]
OnCheckpoint = Callable[[int, float], None]  # (training steps so far, mean return of the agent)


@dataclass(frozen=True)
class SacRecipe:
    """Everything that decides which agent comes out; its hash is the agent's name in the cache."""

    env_id: str
    env_kwargs: Mapping[str, Any]
    target_return: float  # the mean return that is wanted
    close_enough: float  # training ends at a checkpoint this near the target (return)
    low_return: float  # after ``settle_after`` steps it also ends once the nearest checkpoint so far …
    high_return: float  # … lies between these two
    settle_after: int  # training steps
    deterministic: bool = False  # whether the mean action is scored instead of sampled ones
    seed: int = 0
    hidden_sizes: tuple[int, int] = (64, 64)
    learning_rate: float = 1e-3  # with tau, measured: see data/tiers.py
    tau: float = 0.02  # how fast the target networks follow
    gamma: float = 0.99
    batch_size: int = 256
    learning_starts: int = 100
    checkpoint_every: int = 100  # training steps
    evaluation_episodes: int = 100  # per checkpoint
    max_steps: int = 40_000
    versions: Mapping[str, str] = field(default_factory=lambda: package_versions())

    @property
    def sha256(self) -> str:
        """Hash of all fields."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Agent:
    """A trained actor and how far it was trained."""

    weights: Weights
    steps: int  # training steps
    mean_return: float  # over the checkpoint's evaluation episodes


def package_versions() -> dict[str, str]:
    """The versions that training depends on.

    Raises:
        InputError: if Stable-Baselines3 is not installed.
    """
    try:
        return {name: metadata.version(name) for name in ("stable-baselines3", "torch", "safetensors")}
    except metadata.PackageNotFoundError as error:
        raise InputError(
            f'Policy "sac" needs {error.name}, which is not installed; '
            'install it with: pip install "cartpole-phys[sb3]"'
        ) from error
