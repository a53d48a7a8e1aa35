"""Which tiers there are, the scores that they stand for, and the behaviour policies behind each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cartpole_phys.data.score import return_of_score
from cartpole_phys.errors import InputError
from cartpole_phys.policies.behaviour import Behaviour
from cartpole_phys.policies.heuristic import DAMPING_RATIO, calibrate
from cartpole_phys.policies.sac import agent
from cartpole_phys.policies.sac_recipe import OnCheckpoint, SacRecipe
from cartpole_phys.system import CartPole
from cartpole_phys.task import BALANCE

# tier -> the scores that a policy of this tier may have
BANDS: Mapping[str, tuple[float, float]] = {
    "random": (-5.0, 5.0),
    "weak": (10.0, 30.0),
    "medium": (40.0, 60.0),
    "expert": (95.0, math.inf),
}
# tier -> the score that calibration and checkpoint selection aim at
TARGETS: Mapping[str, float] = {"weak": 20.0, "medium": 50.0, "expert": 99.0}
MIXED = ("weak", "medium", "expert")  # a third of the steps each

# policy -> the tiers that can be built from it
TIERS: Mapping[str, tuple[str, ...]] = {
    "random": ("random",),
    "heuristic": ("weak", "medium", "expert", "mixed"),
    "sac": ("medium", "expert"),
}
CONTINUOUS_ONLY = ("sac",)
BALANCE_ONLY = ("heuristic", "sac")

CALIBRATION_EPISODES = 1_000


@dataclass(frozen=True)
class Selection:
    """Which checkpoint of a training run stands for a tier; see ``SacRecipe``."""

    target: float  # score
    close_enough: float  # score
    low: float  # score
    high: float  # score
    settle_after: int  # training steps


# Measured on seeds 0 to 7: a checkpoint within 2 points of 50 comes within 6,000 steps on five of them, and
# one within 6 points on all; one above 97.5 comes after 1,700 to 17,000 steps. With Stable-Baselines3's
# defaults (learning rate 3e-4, tau 0.005) seed 0 had none within 40,000 steps, seed 1 one after 24,900.
SAC_SELECTION: Mapping[str, Selection] = {
    "medium": Selection(target=50.0, close_enough=2.0, low=44.0, high=56.0, settle_after=6_000),
    "expert": Selection(target=100.0, close_enough=2.5, low=95.5, high=100.0, settle_after=40_000),
}


def offered(policy: str, system: CartPole) -> bool:
    """Whether there are data sets of a policy in an environment."""
    balances = system.task.code == BALANCE
    return (system.continuous or policy not in CONTINUOUS_ONLY) and (balances or policy not in BALANCE_ONLY)


def check_combination(policy: str, tier: str, system: CartPole) -> None:
    """Refuse what makes no sense, and say what does.

    Raises:
        InputError: on an unknown policy or tier, or a combination that cannot be built.
    """
    if policy not in TIERS:
        raise InputError(f"Unknown policy {policy!r}; choose from {', '.join(TIERS)}.")
    if not offered(policy, system):
        others = ", ".join(other for other in TIERS if offered(other, system))
        raise InputError(
            f"Policy {policy!r} is not offered in this environment; choose --policy from {others}, "
            "or --env PhysCartPole-v0."
        )
    if tier not in TIERS[policy]:
        known = {name for tiers in TIERS.values() for name in tiers}
        kind = "has no tier" if tier in known else "does not know the tier"
        raise InputError(f"Policy {policy!r} {kind} {tier!r}; choose from {', '.join(TIERS[policy])}.")


def default_tier(policy: str) -> str:
    """The tier that is meant where none is named."""
    return "random" if policy == "random" else "medium"


def parts(tier: str) -> tuple[str, ...]:
    """The single-policy tiers that a tier is made of."""
    return MIXED if tier == "mixed" else (tier,)


def random_behaviour() -> Behaviour:
    """Uniform actions."""
    return Behaviour({"kind": "uniform", "tier": "random"})


def heuristic_behaviour(env_id: str, system: CartPole, tier: str, seed: int) -> Behaviour:
    """Proportional control with the gain that gives the tier's score.

    The discrete expert goes by the sign of K θ + D θ̇, where no gain needs to be found.
    """
    description: dict[str, Any] = {"kind": "proportional", "tier": tier, "continuous": system.continuous}
    if tier == "expert" and not system.continuous:
        return Behaviour({**description, "gain": 1.0, "damping": DAMPING_RATIO})
    gain = calibrate(system, return_of_score(env_id, TARGETS[tier]), CALIBRATION_EPISODES, seed)
    calibration = {"episodes": CALIBRATION_EPISODES, "seed": seed, "target_score": TARGETS[tier]}
    return Behaviour({**description, "gain": gain, "damping": 0.0, "calibration": calibration})


def sac_behaviour(
    env_id: str,
    env_kwargs: Mapping[str, Any],
    tier: str,
    seed: int,
    deterministic: bool,
    retrain: bool,
    on_checkpoint: OnCheckpoint | None,
) -> Behaviour:
    """The Soft Actor-Critic checkpoint whose score is nearest the tier's.

    Raises:
        InputError: if Stable-Baselines3 is missing or training never came into the tier's band.
    """
    wanted = SAC_SELECTION[tier]
    recipe = SacRecipe(
        env_id=env_id,
        env_kwargs=env_kwargs,
        target_return=return_of_score(env_id, wanted.target),
        close_enough=return_of_score(env_id, wanted.close_enough) - return_of_score(env_id, 0.0),
        low_return=return_of_score(env_id, wanted.low),
        high_return=return_of_score(env_id, wanted.high),
        settle_after=wanted.settle_after,
        deterministic=deterministic,
        seed=seed,
    )
    trained = agent(recipe, retrain, on_checkpoint)
    description = {
        "kind": "tanh_gaussian",
        "tier": tier,
        "algorithm": "SAC",
        "deterministic": deterministic,
        "iteration": trained.steps,
        "recipe": asdict(recipe),
        "recipe_sha256": recipe.sha256,
    }
    return Behaviour(description, trained.weights)
