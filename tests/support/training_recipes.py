"""Small training runs shared by several tests."""

from typing import Any

from cartpole_phys.policies.training.envs import training_environment
from cartpole_phys.policies.training.recipe import TrainingRecipe
from cartpole_phys.policies.training.run import TrainingRun
from cartpole_phys.policies.training.sb3 import train

PPO = {"net_arch": [16, 16], "n_envs": 3, "n_steps": 16, "batch_size": 24, "learning_rate": 1e-3}
SAC = {"net_arch": [16, 16], "batch_size": 32, "learning_starts": 50, "train_freq": 4, "learning_rate": 1e-3}


def small_recipe(algorithm: str = "ppo", env_id: str = "PhysCartPole-v0", **changes: Any) -> TrainingRecipe:
    """Recipe of half a second of training."""
    fields: dict[str, Any] = {
        "env_kwargs": {},
        "hyperparameters": PPO if algorithm == "ppo" else SAC,
        "versions": {},
        "checkpoint_every": 48,
        "max_steps": 288,
        "evaluation_episodes": 5,
        **changes,
    }
    return TrainingRecipe(algorithm, env_id, **fields)


def trained(recipe: TrainingRecipe) -> TrainingRun:
    """Train by the recipe, bypassing the cache."""
    return train(recipe, training_environment(recipe.env_id, recipe.env_kwargs))
