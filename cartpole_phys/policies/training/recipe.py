"""Recipes of training runs: all inputs on which the result depends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from cartpole_phys.utils.choices import unknown
from cartpole_phys.utils.errors import InputError, require_extra

ALGORITHMS = ("sac", "ppo")
PACKAGES = ("cartpole-phys", "stable-baselines3", "torch", "gymnasium", "numpy", "safetensors")
FOLDER = Path(__file__).parent
SOURCES = (
    *(FOLDER / f"{name}.py" for name in ("envs", "recipe", "recorder", "run", "sb3")),
    FOLDER.parents[1] / "sb3.py",
)  # of training; their hash is part of a recipe's versions


@dataclass(frozen=True)
class Goal:
    """Stopping criterion of a training run by the mean returns of its checkpoints."""

    target_return: float
    close_enough: float  # training ends at a checkpoint with at most this distance from the target
    low_return: float  # after ``settle_after`` steps, training also ends if the nearest checkpoint so far …
    high_return: float  # … has a mean return between these two
    settle_after: int  # training steps

    def accepts(self, mean_return: float) -> bool:
        """Whether a mean return lies in the accepted range."""
        return self.low_return <= mean_return <= self.high_return

    @property
    def accepted(self) -> str:
        """The accepted mean returns in words, without the upper limit if that is far above the target."""
        if self.high_return - self.target_return > 2 * (self.target_return - self.low_return):
            return f"of at least {self.low_return:.1f}"
        return f"from {self.low_return:.1f} to {self.high_return:.1f}"


@dataclass(frozen=True)
class TrainingRecipe:
    """All inputs of a training run; their hash is the run's name in the cache.

    ``max_steps`` and ``goal`` only determine the end of a run: runs that differ only in these are equal up to
    the end of the shorter one. ``hyperparameters`` are arguments of Stable-Baselines3's algorithm, besides
    ``n_envs`` and ``net_arch`` (the sizes of the hidden layers); SAC's replay buffer holds the whole run.

    Raises:
        InputError: on an unknown algorithm, or fewer steps than the first checkpoint takes.
    """

    algorithm: str  # one of ALGORITHMS
    env_id: str
    env_kwargs: Mapping[str, Any]
    hyperparameters: Mapping[str, Any]
    versions: Mapping[str, str]  # see ``training_versions``
    checkpoint_every: int  # training steps, summed over the environments
    max_steps: int  # training steps
    goal: Goal | None = None  # without a goal, training ends after ``max_steps``
    seed: int = 0
    deterministic: bool = False  # whether checkpoints are evaluated with mean actions instead of sampled ones
    evaluation_episodes: int = 100  # per checkpoint

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise unknown("algorithm", self.algorithm, ALGORITHMS)
        if not 1 <= self.checkpoint_every <= self.max_steps:
            raise InputError(
                f"Expected checkpoint_every from 1 to max_steps, {self.max_steps}, got "
                f"{self.checkpoint_every}."
            )

    @property
    def sha256(self) -> str:
        """Hash of all fields."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @property
    def n_envs(self) -> int:
        """Number of environments of the learner."""
        return int(self.hyperparameters.get("n_envs", 1))


def training_versions() -> dict[str, str]:
    """Versions on which an agent depends besides the environment: packages, training code and CPU.

    Raises:
        InputError: if Stable-Baselines3 is not installed.
    """
    with require_extra("sb3"):
        packages = {name: metadata.version(name) for name in PACKAGES}
        from cartpole_phys.policies.training.cpu_arithmetic import arithmetic, cpu_capability
    sources = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES))
    cpu = {"cpu-capability": cpu_capability(), "arithmetic": arithmetic()}
    return {**packages, "training": sources.hexdigest()[:16], **cpu}
