"""Evaluation of behavior policies on a stored seed, and the reference returns of their scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cartpole_phys.backends.base import Backend, PolicySource
from cartpole_phys.backends.workers import OnEpisodes
from cartpole_phys.data.score import mean_interval, score

if TYPE_CHECKING:
    from cartpole_phys.data.recipe import Recipe

EPISODES, AFFORDABLE_STEPS, MIN_EPISODES = 1_000, 200_000, 100  # of the evaluation of a policy
MAX_EVALUATION_STEPS = 5_000_000  # of the simulator; every check repeats the evaluation


def affordable_episodes(backend: Backend, episodes: int, steps: int, min_episodes: int) -> int:
    """Number of evaluation episodes, reduced to a step budget for environments that are not compiled.

    Args:
        backend: the environment.
        episodes: number of episodes in compiled environments, and the maximum in others.
        steps: budget of steps in other environments.
        min_episodes: minimum in other environments, even beyond the budget.
    """
    if backend.system is not None:
        return episodes
    return min(max(steps // backend.max_episode_steps, min_episodes), episodes)


def simulated_steps(backend: Backend, episodes: int) -> int:
    """Maximum number of simulator steps in a number of episodes."""
    return episodes * backend.max_episode_steps * int(backend.env_kwargs.get("substeps", 1))


def evaluation_of(recipe: Recipe) -> dict[str, int]:
    """Number of evaluation episodes of a recipe's policies, and their seed."""
    default = affordable_episodes(recipe.backend, EPISODES, AFFORDABLE_STEPS, MIN_EPISODES)
    most = max(MAX_EVALUATION_STEPS // simulated_steps(recipe.backend, 1), 1)
    episodes = min(default, most) if recipe.score_episodes is None else recipe.score_episodes
    return {"episodes": episodes, "seed": recipe.derived_seed("evaluation")}


def measured_return(
    recipe: Recipe, source: PolicySource, name: str, on_progress: OnEpisodes
) -> dict[str, Any]:
    """Reference return of scores: the mean return of a policy with its 95 % confidence interval."""
    mean, low, high = mean_interval(_returns(recipe, source, on_progress))
    return {"mean": mean, "low": low, "high": high, **evaluation_of(recipe), "policy": name}


def measured_score(
    recipe: Recipe, source: PolicySource, references: Mapping[str, Any], on_progress: OnEpisodes
) -> dict[str, float]:
    """Mean return of a policy and, if there are references, its score with a 95 % confidence interval."""
    return score_of_returns(_returns(recipe, source, on_progress), references)


def score_of_returns(returns: Any, references: Mapping[str, Any]) -> dict[str, float]:
    """Mean of returns and, if there are references, their score with a 95 % confidence interval."""
    measured = {"mean_return": float(returns.mean())}
    if not references:
        return measured
    mean, low, high = mean_interval(score(references, returns))
    return {**measured, "score": mean, "score_low": low, "score_high": high}


def _returns(recipe: Recipe, source: PolicySource, on_progress: OnEpisodes) -> Any:
    return recipe.backend.play(source, **evaluation_of(recipe), on_progress=on_progress).returns
