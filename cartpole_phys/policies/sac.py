"""Soft Actor-Critic agents, trained with Stable-Baselines3 up to a wanted score.

The same recipe is trained only once: its agent is kept in the cache folder, under the recipe's hash.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import platformdirs

from cartpole_phys.errors import InputError
from cartpole_phys.policies.tanh_gaussian import WEIGHT_NAMES, TanhGaussianPolicy
from cartpole_phys.rollout import play
from cartpole_phys.simulator import CartPole

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
    learning_rate: float = 1e-3  # with tau, measured: at 3e-4 and 0.005 two of two seeds never became expert
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


def agent(recipe: SacRecipe, retrain: bool = False, on_checkpoint: OnCheckpoint | None = None) -> Agent:
    """The agent of a recipe, from the cache or trained now.

    Raises:
        InputError: if Stable-Baselines3 is missing, or no checkpoint came into the recipe's range.
    """
    folder = Path(platformdirs.user_cache_dir("cartpole-phys")) / "agents"
    path = folder / f"{recipe.sha256}.safetensors"
    if path.exists() and not retrain:
        return _load(path)
    trained = train(recipe, on_checkpoint)
    _save(path, trained)
    return trained


def _load(path: Path) -> Agent:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        note = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    return Agent(weights, int(note["steps"]), float(note["mean_return"]))


def _save(path: Path, trained: Agent) -> None:
    from safetensors.numpy import save

    note = {"steps": str(trained.steps), "mean_return": repr(trained.mean_return)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
        try:
            file.write(save(trained.weights, metadata=note))
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def train(recipe: SacRecipe, on_checkpoint: OnCheckpoint | None = None) -> Agent:
    """Train, score the agent every ``checkpoint_every`` steps and return the one nearest the target.

    One torch thread: faster at this size, and the sums do not depend on the number of cores.

    Raises:
        InputError: if no checkpoint within ``max_steps`` came into the recipe's range.
    """
    import torch

    from cartpole_phys.policies.sac_training import NearestCheckpoint, new_model

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        nearest = NearestCheckpoint(recipe, on_checkpoint)
        new_model(recipe).learn(recipe.max_steps, callback=nearest)
    finally:
        torch.set_num_threads(threads)
    best = nearest.best
    if best is None or not recipe.low_return <= best.mean_return <= recipe.high_return:
        got = "none" if best is None else f"{best.mean_return:.1f} as the nearest"
        raise InputError(
            f"Expected a SAC checkpoint with a mean return between {recipe.low_return:.1f} and "
            f"{recipe.high_return:.1f} within {recipe.max_steps} steps, got {got}; try another --seed."
        )
    return best


def score_actor(recipe: SacRecipe, actor: Any) -> tuple[Weights, float]:
    """The weights of a Stable-Baselines3 actor and its mean return over fixed episodes."""
    state = actor.state_dict()
    weights = {name: state[name].numpy().copy() for name in WEIGHT_NAMES}
    system = CartPole.from_id(recipe.env_id, recipe.env_kwargs)
    policy = TanhGaussianPolicy(weights, recipe.deterministic)
    return weights, float(play(system, policy, recipe.evaluation_episodes, recipe.seed).returns.mean())
