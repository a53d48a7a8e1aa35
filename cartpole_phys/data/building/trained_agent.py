"""The trained agent of a tier: a checkpoint of a training run, selected by its score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cartpole_phys.backends.make import physics_versions
from cartpole_phys.data.building.evaluate_policy import affordable_episodes, measured_return
from cartpole_phys.data.score import all_references, references, return_between, return_of_score, score
from cartpole_phys.policies.behavior import Behavior
from cartpole_phys.policies.training.cache import Cache, training_run
from cartpole_phys.policies.training.hyperparameters import training_settings
from cartpole_phys.policies.training.recipe import Goal, TrainingRecipe, training_versions
from cartpole_phys.policies.training.run import TrainingRun
from cartpole_phys.utils.errors import InputError

if TYPE_CHECKING:
    from cartpole_phys.data.recipe import Recipe
    from cartpole_phys.data.tiers.base import Tier
    from cartpole_phys.utils.progress import Progress

CHECKPOINTS = 100  # minimum in a run of a given length; between fewer, scores skip the band of a tier
EPISODES, AFFORDABLE_STEPS, MIN_EPISODES = 100, 20_000, 10  # of the evaluation of a checkpoint


@dataclass(frozen=True, eq=False)
class TrainedAgent:
    """A checkpoint of a training run, and the reference returns of its score."""

    behavior: Behavior
    run: TrainingRun
    steps: int  # training steps up to the checkpoint
    references: Mapping[str, Any]


def trained_agent(recipe: Recipe, tier: Tier, cache: Cache, progress: Progress) -> TrainedAgent:
    """The checkpoint whose score is nearest to the target of a tier, from the cache or a new training run.

    In environments with reference returns, training ends at the first checkpoint close enough to the target.
    In others, the scores refer to the whole run: its best checkpoint has the score 100, a random policy 0.

    Raises:
        InputError: if Stable-Baselines3 is missing, no checkpoint lies in the tier's band, or none is better
            than a random policy.
    """
    training = _training_recipe(recipe, tier)
    progress.stage("training")
    run = training_run(training, cache, progress.training)
    measured = _references(recipe, run, progress)
    checkpoint = _checkpoint(run, measured, tier)
    steps = int(run.steps[checkpoint])
    description = {
        **run.description,
        "tier": recipe.tier,
        "algorithm": recipe.policy,
        "deterministic": recipe.deterministic,
        "iteration": steps,
        "training": asdict(training),
        "training_sha256": training.sha256,
    }
    return TrainedAgent(Behavior(description, run.weights_at(checkpoint)), run, steps, measured)


def _training_recipe(recipe: Recipe, tier: Tier) -> TrainingRecipe:
    selection = tier.selection
    assert selection is not None
    goal, settings = None, training_settings(recipe.policy, recipe.env_id)
    if recipe.env_id in all_references():
        goal = Goal(
            target_return=return_of_score(recipe.env_id, selection.target),
            close_enough=return_of_score(recipe.env_id, selection.close_enough)
            - return_of_score(recipe.env_id, 0.0),
            low_return=return_of_score(recipe.env_id, selection.low),
            high_return=return_of_score(recipe.env_id, selection.high),
            settle_after=settings.settle_after(selection.target),
        )
    max_steps, checkpoint_every = settings.max_steps, settings.checkpoint_every
    if recipe.train_steps is not None:
        max_steps = recipe.train_steps
        checkpoint_every = _checkpoint_every(recipe, checkpoint_every, settings.hyperparameters)
    return TrainingRecipe(
        algorithm=recipe.policy,
        env_id=recipe.env_id,
        env_kwargs=dict(recipe.env_kwargs),
        hyperparameters=dict(settings.hyperparameters),
        versions={**training_versions(), **physics_versions(recipe.env_id)},
        checkpoint_every=checkpoint_every,
        max_steps=max_steps,
        goal=goal,
        seed=recipe.seed,
        deterministic=recipe.deterministic,
        evaluation_episodes=affordable_episodes(recipe.backend, EPISODES, AFFORDABLE_STEPS, MIN_EPISODES),
    )


def _checkpoint_every(recipe: Recipe, most: int, hyperparameters: Mapping[str, Any]) -> int:
    """Training steps between the checkpoints of a run of a given length, ``most`` at most.

    Raises:
        InputError: if the run is shorter than the algorithm's first rollout.
    """
    assert recipe.train_steps is not None
    n_envs = int(hyperparameters.get("n_envs", 1))
    rollout = n_envs * int(hyperparameters.get("n_steps", 1))
    if recipe.train_steps < rollout:
        raise InputError(
            f"Expected --train-steps of at least {rollout:,}, the first rollout of {recipe.policy!r} in "
            f"{recipe.env_id}, got {recipe.train_steps:,}."
        )
    return max(min(most, recipe.train_steps // CHECKPOINTS), n_envs)


def _references(recipe: Recipe, run: TrainingRun, progress: Progress) -> Mapping[str, Any]:
    """Reference returns of the scores, measured if this package has none for the environment.

    Raises:
        InputError: if no checkpoint is better than a random policy.
    """
    if recipe.env_id in all_references():
        return references(recipe.env_id)
    best = int(run.mean_returns.argmax())
    behavior = Behavior({**run.description, "deterministic": recipe.deterministic}, run.weights_at(best))
    name = f"{recipe.policy} after {run.steps[best]} training steps, seed {recipe.seed}"
    progress.stage("scoring")
    random = Behavior({"kind": "uniform"})
    lowest = measured_return(recipe, random, "uniformly random", progress.episodes)
    highest = measured_return(recipe, behavior, name, progress.episodes)
    if not highest["mean"] > lowest["mean"]:
        raise InputError(
            f"Expected a checkpoint with a mean return above the {lowest['mean']:g} of a random policy, got "
            f"{highest['mean']:g} as the highest; try more --train-steps or another --seed."
        )
    return {"ref_min": lowest, "ref_max": highest}


def _checkpoint(run: TrainingRun, measured: Mapping[str, Any], tier: Tier) -> int:
    """Index of the checkpoint whose score is nearest to the target of a tier.

    Raises:
        InputError: if the score is outside the tier's band.
    """
    assert tier.selection is not None
    assert tier.band is not None
    scores = score(measured, run.mean_returns)
    checkpoint = run.nearest(return_between(measured, tier.selection.target))
    low, high = tier.band
    if not low <= scores[checkpoint] <= high:
        raise InputError(
            f"Expected a checkpoint with a score from {low:g} to {high:g} for the tier {tier.name!r}, got "
            f"{scores[checkpoint]:.1f} as the nearest; try another --seed or more --train-steps."
        )
    return checkpoint
