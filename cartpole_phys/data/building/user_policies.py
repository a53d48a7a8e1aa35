"""Validation of user-supplied policies (MODULE:FACTORY): reproducible actions, score in the tier's band."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cartpole_phys.backends.base import PolicySource, different, policy_of
from cartpole_phys.data.building.evaluate_policy import affordable_episodes, evaluation_of
from cartpole_phys.data.score import all_references
from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.errors import InputError

if TYPE_CHECKING:
    from cartpole_phys.data.recipe import Recipe
    from cartpole_phys.data.tiers.base import Tier

EPISODES, AFFORDABLE_STEPS, MIN_EPISODES = 64, 5_000, 4  # of each of the two rollouts
MIN_SCORED_EPISODES = 100  # with fewer, the score does not verify a tier


def _require_reproducible(recipe: Recipe, source: PolicySource) -> None:
    """Roll out one policy object twice in the same episodes, and compare its actions.

    This detects global random generators, generators that are seeded only once, and memory of earlier
    episodes: with any of them the rows would not be reproducible.

    Raises:
        InputError: if the actions for the same observations differ.
    """
    backend, policy = recipe.backend, policy_of(source)
    episodes = affordable_episodes(backend, EPISODES, AFFORDABLE_STEPS, MIN_EPISODES)
    seed = recipe.derived_seed("repetition")
    if _acts_differently(*(backend.play(policy, episodes, seed) for _ in range(2))):
        raise InputError(
            f"Expected a policy with the same actions in the same episodes, but {recipe.policy!r} chose "
            "other actions for the same observations; draw random numbers only from the generator that the "
            "policy's begin(batch_size, generator) receives, and reset its memory there."
        )


def require_verifiable(recipe: Recipe, tier: Tier, source: PolicySource) -> None:
    """Refuse a claimed tier that no evaluation can verify, and a policy with irreproducible actions.

    Raises:
        InputError: if the tier requires a score, but the environment has no reference returns or the
            evaluation has too few episodes; or as ``_require_reproducible``.
    """
    if tier.band is not None:
        _require_scored(recipe)
    _require_reproducible(recipe, source)


def _require_scored(recipe: Recipe) -> None:
    if evaluation_of(recipe)["episodes"] < MIN_SCORED_EPISODES:
        raise InputError(
            f"Expected --score-episodes of at least {MIN_SCORED_EPISODES} to verify the tier "
            f"{recipe.tier!r}, got {recipe.score_episodes}; leave out --tier or --score-episodes."
        )
    if recipe.env_id not in all_references():
        raise InputError(
            f"No reference returns for {recipe.env_id!r}, so the tier {recipe.tier!r} cannot be verified; "
            "leave out --tier."
        )


def require_tier(recipe: Recipe, tier: Tier, measured: Mapping[str, float]) -> None:
    """Refuse a policy whose measured score lies outside the band of its claimed tier.

    Args:
        recipe: recipe of the data set.
        tier: the claimed tier.
        measured: the policy's score and its 95 % confidence interval, from ``measured_score``.

    Raises:
        InputError: if the score lies outside.
    """
    limits = tier.band
    if limits is None or limits[0] <= measured["score"] <= limits[1]:
        return
    low, high = limits
    expected = f"at least {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"
    raise InputError(
        f"Expected a policy of the tier {recipe.tier!r} to score {expected}, but {recipe.policy!r} scores "
        f"{measured['score']:.1f} ({measured['score_low']:.1f} to {measured['score_high']:.1f}) over "
        f"{evaluation_of(recipe)['episodes']:,} episodes; leave out --tier, or choose the tier of that score."
    )


def _acts_differently(first: Episodes, second: Episodes) -> bool:
    """Whether the first difference between two rollouts is an action, and not an observation before it."""
    rows = min(first.steps, second.steps)
    actions = different(first.actions[:rows], second.actions[:rows])
    observations = different(first.observations[:rows], second.observations[:rows])
    return bool(actions.any() and not observations[: actions.argmax() + 1].any())
