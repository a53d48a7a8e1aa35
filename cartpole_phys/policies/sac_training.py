"""The part of SAC training that needs Stable-Baselines3: the model and its checkpoint callback."""

from __future__ import annotations

import gymnasium as gym
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback

import cartpole_phys
from cartpole_phys.policies.sac import Agent, OnCheckpoint, SacRecipe, score_actor
from cartpole_phys.sb3 import PhysCartPoleVecEnv
from cartpole_phys.vector import PhysCartPoleVectorEnv

gym.register_envs(cartpole_phys)


def new_model(recipe: SacRecipe) -> SAC:
    """An untrained SAC model on the recipe's environment."""
    envs = gym.make_vec(recipe.env_id, num_envs=1, autoreset_mode="SameStep", **recipe.env_kwargs)
    assert isinstance(envs, PhysCartPoleVectorEnv)
    return SAC(
        "MlpPolicy",
        PhysCartPoleVecEnv(envs),
        learning_rate=recipe.learning_rate,
        tau=recipe.tau,
        gamma=recipe.gamma,
        batch_size=recipe.batch_size,
        buffer_size=recipe.max_steps,
        learning_starts=recipe.learning_starts,
        policy_kwargs={"net_arch": list(recipe.hidden_sizes)},
        seed=recipe.seed,
        device="cpu",
    )


class NearestCheckpoint(BaseCallback):
    """Scores the actor every so many steps, keeps the one nearest the target and stops when it is near."""

    def __init__(self, recipe: SacRecipe, on_checkpoint: OnCheckpoint | None) -> None:
        super().__init__()
        self.recipe = recipe
        self.on_checkpoint = on_checkpoint
        self.best: Agent | None = None

    def _on_step(self) -> bool:
        recipe = self.recipe
        if self.num_timesteps % recipe.checkpoint_every:
            return True
        weights, mean_return = score_actor(recipe, self.model.policy.actor)
        if self.on_checkpoint is not None:
            self.on_checkpoint(self.num_timesteps, mean_return)
        distance = abs(mean_return - recipe.target_return)
        if self.best is None or distance < abs(self.best.mean_return - recipe.target_return):
            self.best = Agent(weights, self.num_timesteps, mean_return)
        in_range = recipe.low_return <= self.best.mean_return <= recipe.high_return
        settled = self.num_timesteps >= recipe.settle_after and in_range
        return distance > recipe.close_enough and not settled
