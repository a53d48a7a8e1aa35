"""Rollouts of a trained agent against Stable-Baselines3: ``python -m benchmarks.speeds.sampling``.

Both roll out the same Soft Actor-Critic agent with actions sampled from its distribution. Stable-Baselines3
steps this package's vector environment, its fastest.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import SAC

import cartpole_phys
from benchmarks.speeds.side_by_side import compare, rate, run
from cartpole_phys.data.building.parts import prepare
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.policies.behavior import Behavior
from cartpole_phys.policies.network import NetworkPolicy
from cartpole_phys.policies.training.cache import Cache
from cartpole_phys.rollouts.collect import collect
from cartpole_phys.sb3 import PhysCartPoleVecEnv
from cartpole_phys.system import CartPole
from cartpole_phys.utils.progress import Silent

gym.register_envs(cartpole_phys)

ENV_ID = "PhysCartPole-v0"
STEPS = 1_000_000
PEER_ENVS = (1, 8, 64)
PEER_STEPS = 2_000  # of all environments at once, in a round
TOLERANCE = 1e-5  # between two networks' mean actions
NAMES = {"fc0": "latent_pi.0", "fc1": "latent_pi.2", "last_fc": "mu", "last_fc_log_std": "log_std"}
RESULT = Path(__file__).parent.parent / "results" / "sampling.json"


def agent() -> Behavior:
    """The agent of the medium tier, cached or newly trained."""
    return prepare(Recipe(ENV_ID, "sac", "medium"), Cache.USE, Silent()).parts[0].behavior


def same_in_sb3(behavior: Behavior, num_envs: int) -> SAC:
    """Stable-Baselines3's model with an agent's weights.

    Raises:
        SystemExit: if its mean actions differ.
    """
    envs: Any = gym.make_vec(ENV_ID, num_envs=num_envs, autoreset_mode="SameStep")
    hidden = [len(behavior.weights[f"{name}.bias"]) for name in ("fc0", "fc1")]
    model = SAC("MlpPolicy", PhysCartPoleVecEnv(envs), policy_kwargs={"net_arch": hidden}, buffer_size=1)
    own = {
        f"{theirs}.{part}": torch.from_numpy(behavior.weights[f"{ours}.{part}"])
        for ours, theirs in NAMES.items()
        for part in ("weight", "bias")
    }
    model.actor.load_state_dict(own)
    observations = np.random.default_rng(0).normal(0.0, 0.1, (100, 4)).astype(np.float32)
    theirs, _ = model.predict(observations, deterministic=True)
    mine = NetworkPolicy({**behavior.description, "deterministic": True}, behavior.weights)
    mine.begin(100, np.random.default_rng(0))
    if not np.allclose(mine.act(observations, np.zeros(100)).actions, theirs, atol=TOLERANCE):
        raise SystemExit("error: both should choose the same mean actions.")
    return model


def predict_loop(model: SAC) -> Callable[[], float]:
    """A function that rolls out one round and returns steps per second."""
    envs = model.get_env()
    assert envs is not None
    observations: Any = envs.reset()

    def step() -> None:
        nonlocal observations
        actions, _ = model.predict(observations, deterministic=False)
        observations, _, _, _ = envs.step(actions)

    return lambda: rate(step, PEER_STEPS, envs.num_envs)


def measure(rounds: int) -> list[dict[str, Any]]:
    """A comparison for each number of environments."""
    behavior = agent()
    policy = behavior.policy
    return [
        compare(
            f"{STEPS:,} transitions from a trained sac agent, sampled",
            f"Stable-Baselines3's predict, {num_envs} environment{'s'[: num_envs - 1]}",
            lambda: rate(lambda: collect(CartPole(), policy, STEPS, seed=0), each=STEPS),
            predict_loop(same_in_sb3(behavior, num_envs)),
            rounds,
        )
        for num_envs in PEER_ENVS
    ]


if __name__ == "__main__":
    run(measure, RESULT, "Steps beside Stable-Baselines3's loop")
