"""How each environment is learnt, and which checkpoint of a run stands for a tier: what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BALANCE, DISCRETE, SWING_UP = "PhysCartPole-v0", "PhysCartPoleDiscrete-v0", "PhysCartPoleSwingUp-v0"
PENDULUM = "Pendulum-v1"


@dataclass(frozen=True)
class Selection:
    """Which checkpoint of a training run stands for a tier, in scores; see ``training_recipe.Goal``."""

    target: float
    close_enough: float
    low: float
    high: float


@dataclass(frozen=True)
class Run:
    """How an algorithm learns an environment; all but the hyperparameters are training steps."""

    hyperparameters: Mapping[str, Any]  # Stable-Baselines3's own where none were measured
    checkpoint_every: int
    halfway: int  # from here on a checkpoint for a score up to 50 need not be close to it
    nearly_done: int  # from here on one for a higher score need not be
    max_steps: int

    def settle_after(self, score: float) -> int:
        """From which training step on a checkpoint for a score need not be close to it."""
        return self.halfway if score <= 50.0 else self.nearly_done


_SAC_BALANCE = Run(
    {
        "net_arch": [64, 64],
        "learning_rate": 1e-3,
        "tau": 0.02,
        "gamma": 0.99,
        "batch_size": 256,
        "learning_starts": 100,
    },
    checkpoint_every=100,
    halfway=6_000,
    nearly_done=40_000,
    max_steps=40_000,
)
_SAC_SWING_UP = Run(
    {
        "net_arch": [64, 64],
        "learning_rate": 5e-4,
        "tau": 0.01,
        "gamma": 0.98,
        "batch_size": 256,
        "learning_starts": 1_000,
    },
    checkpoint_every=100,
    halfway=20_000,
    nearly_done=45_000,
    max_steps=50_000,
)
_PPO = {"net_arch": [64, 64], "n_epochs": 10, "batch_size": 256, "gamma": 0.99}
_PPO_BALANCE = {**_PPO, "n_envs": 8, "n_steps": 32, "gae_lambda": 0.9}
_PPO_SWING_UP = {**_PPO, "n_envs": 16, "n_steps": 256, "gae_lambda": 0.95, "learning_rate": 3e-4}

_RUNS: Mapping[tuple[str, str], Run] = {
    # Seeds 0 to 7: a checkpoint within 2 points of 50 comes within 6,000 steps on five of them, and one
    # within 6 points on all; one above 97.5 comes after 1,700 to 17,000 steps. With Stable-Baselines3's
    # defaults (learning rate 3e-4, tau 0.005) seed 0 had none within 40,000 steps, seed 1 one after 24,900.
    ("sac", BALANCE): _SAC_BALANCE,
    # Seeds 0 to 4: a checkpoint within 2 points of 50 after 4,608 to 13,312 steps, one above 97.5 after
    # 16,384 to 37,888; 2 to 14 s. The rollouts are short, so that an update changes little.
    ("ppo", BALANCE): Run({**_PPO_BALANCE, "learning_rate": 1e-3}, 256, 20_000, 80_000, 100_000),
    # Seeds 0 to 4: within 2 points of 50 after 8,960 to 12,032 steps on four of them, within 6 on all; above
    # 97.5 after 23,296 to 44,032; 3 to 12 s. With a learning rate of 1e-3 seed 1 was not within 2 points.
    ("ppo", DISCRETE): Run({**_PPO_BALANCE, "learning_rate": 5e-4}, 256, 20_000, 80_000, 100_000),
    # Seeds 0 to 2: within 2 points of 50 after 10,400 to 14,800 steps (90 s); with a checkpoint every 500
    # steps seed 2 jumped from 39 to 59. Above 97.5 after 23,000 to 37,000 steps (3 to 4 minutes), at 98 to
    # 100 from 45,000 on. With the balance task's settings seed 0 came to 94.5 and fell back to 74.
    ("sac", SWING_UP): _SAC_SWING_UP,
    # Seeds 0 to 4: within 2 points of 50 after 102,400 to 118,784 steps (17 s), above 97.5 after 249,856 to
    # 266,240 (35 s), at 100 from 350,000 on, somewhat above the reference.
    ("ppo", SWING_UP): Run(_PPO_SWING_UP, 4_096, 150_000, 350_000, 500_000),
    # Seeds 0 to 2, 0 being a return of -1,235 (random) and 100 one of -145: within 2 points of 50 after
    # 3,050 to 3,950 steps, above 97.5 after 4,100 to 4,550 (1 minute). With a learning rate of 1e-3 the score
    # jumps from 10 to 85 within 250 steps.
    ("sac", PENDULUM): Run({"net_arch": [64, 64], "learning_rate": 5e-4}, 50, 6_000, 8_000, 10_000),
}
_DEFAULTS: Mapping[str, Run] = {
    "sac": Run({"net_arch": [256, 256]}, 1_000, 50_000, 100_000, 100_000),
    "ppo": Run({"net_arch": [64, 64], "n_envs": 8, "n_steps": 256}, 2_048, 500_000, 1_000_000, 1_000_000),
}


def measured_run(algorithm: str, env_id: str) -> Run:
    """How an algorithm learns an environment, as measured; defaults where it was not."""
    return _RUNS.get((algorithm, env_id), _DEFAULTS[algorithm])
