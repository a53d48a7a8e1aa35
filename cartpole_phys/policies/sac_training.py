"""Trains Soft Actor-Critic agents with Stable-Baselines3, up to the score that a recipe wants."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from cartpole_phys.errors import InputError
from cartpole_phys.policies.sac_recipe import Agent, OnCheckpoint, SacRecipe, Weights
from cartpole_phys.policies.tanh_gaussian import WEIGHT_NAMES, TanhGaussianPolicy
from cartpole_phys.rollout import play
from cartpole_phys.sb3 import PhysCartPoleVecEnv
from cartpole_phys.system import CartPole
from cartpole_phys.vector import PhysCartPoleVectorEnv


def train(recipe: SacRecipe, on_checkpoint: OnCheckpoint | None = None) -> Agent:
    """Train, score the agent every ``checkpoint_every`` steps and return the one nearest the target.

    One torch thread: faster at this size, and the sums do not depend on the number of cores.

    Raises:
        InputError: if no checkpoint within ``max_steps`` came into the recipe's range.
    """
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


def new_model(recipe: SacRecipe) -> SAC:
    """An untrained SAC model on the recipe's environment."""
    envs = gym.make_vec(recipe.env_id, num_envs=1, autoreset_mode="SameStep", **recipe.env_kwargs)
    assert isinstance(envs, PhysCartPoleVectorEnv)
    model = SAC(
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
    model.set_logger(Logger(folder=None, output_formats=[]))  # the default one leaves a folder in /tmp
    return model


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
