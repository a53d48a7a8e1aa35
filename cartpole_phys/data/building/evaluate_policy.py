"""Evaluation of behavior policies on a stored seed, and the reference returns of their scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cartpole_phys.backends.base import Backend, PolicySource
from cartpole_phys.backends.workers import OnEpisodes
from cartpole_phys.data.score import mean_interval, score

if TYPE_CHECKING:
    from cartpole_phys.data.recipe import Recipe

EPISODES, AFFORDABLE_STEPS, FEWEST_EPISODES = 1_000, 200_000, 100  # that score a policy
MOST_EVALUATED = 5_000_000  # steps of the simulator: a check plays the evaluation again


def affordable_episodes(backend: Backend, episodes: int, steps: int, fewest: int) -> int:
    """So many episodes; as many as so many steps hold where the environment is not compiled."""
    if backend.system is not None:
        return episodes
    return min(max(steps // backend.max_episode_steps, fewest), episodes)


def simulated_steps(backend: Backend, episodes: int) -> int:
    """How many steps of the simulator so many episodes take at most."""
    return episodes * backend.max_episode_steps * int(backend.env_kwargs.get("substeps", 1))


def evaluation_of(recipe: Recipe) -> dict[str, int]:
    """Number of evaluation episodes of a recipe's policies, and their seed."""
    usual = affordable_episodes(recipe.backend, EPISODES, AFFORDABLE_STEPS, FEWEST_EPISODES)
    most = max(MOST_EVALUATED // simulated_steps(recipe.backend, 1), 1)
    episodes = min(usual, most) if recipe.score_episodes is None else recipe.score_episodes
    return {"episodes": episodes, "seed": recipe.derived_seed("evaluation")}


def measured_return(recipe: Recipe, source: PolicySource, name: str, told: OnEpisodes) -> dict[str, Any]:
    """The mean return of a policy with its 95 % interval, as one end of the scores."""
    mean, low, high = mean_interval(_returns(recipe, source, told))
    return {"mean": mean, "low": low, "high": high, **evaluation_of(recipe), "policy": name}


def measured_score(
    recipe: Recipe, source: PolicySource, references: Mapping[str, Any], told: OnEpisodes
) -> dict[str, float]:
    """The mean return of a policy, and where there are references its score with its 95 % interval."""
    return score_of_returns(_returns(recipe, source, told), references)


def score_of_returns(returns: Any, references: Mapping[str, Any]) -> dict[str, float]:
    """The mean of returns, and where there are references their score with its 95 % interval."""
    measured = {"mean_return": float(returns.mean())}
    if not references:
        return measured
    mean, low, high = mean_interval(score(references, returns))
    return {**measured, "score": mean, "score_low": low, "score_high": high}


def _returns(recipe: Recipe, source: PolicySource, told: OnEpisodes) -> Any:
    backend: Backend = recipe.backend
    return backend.play(source, **evaluation_of(recipe), on_progress=told).returns
