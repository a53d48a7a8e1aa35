"""Soft Actor-Critic agents: each recipe is trained only once, and its agent kept in the cache folder."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import platformdirs

from cartpole_phys.policies.sac_recipe import Agent, OnCheckpoint, SacRecipe


def agent(recipe: SacRecipe, retrain: bool = False, on_checkpoint: OnCheckpoint | None = None) -> Agent:
    """The agent of a recipe, from the cache or trained now.

    Raises:
        InputError: if Stable-Baselines3 is missing, or no checkpoint came into the recipe's range.
    """
    folder = Path(platformdirs.user_cache_dir("cartpole-phys")) / "agents"
    path = folder / f"{recipe.sha256}.safetensors"
    if path.exists() and not retrain:
        return _load(path)
    from cartpole_phys.policies.sac_training import train

    trained = train(recipe, on_checkpoint)
    with suppress(OSError):  # a cache that cannot be written costs time, not the result
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
