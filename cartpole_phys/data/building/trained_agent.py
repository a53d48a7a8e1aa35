"""The trained agent of a tier: which checkpoint of which training run stands for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cartpole_phys.backends.make import physics_versions
from cartpole_phys.data.building.evaluate_policy import affordable_episodes, measured_return
from cartpole_phys.data.score import all_references, references, return_between, return_of_score, score
from cartpole_phys.policies.behavior import Behavior
from cartpole_phys.policies.training.cache import Cache, training_run
from cartpole_phys.policies.training.hyperparameters import measured_run
from cartpole_phys.policies.training.recipe import Goal, TrainingRecipe, training_versions
from cartpole_phys.policies.training.run import TrainingRun
from cartpole_phys.utils.errors import InputError

if TYPE_CHECKING:
    from cartpole_phys.data.recipe import Recipe
    from cartpole_phys.data.tiers.base import Tier
    from cartpole_phys.utils.progress import Progress

CHECKPOINTS = 100  # at least, in a run of a given length: between fewer a score jumps past a tier
EPISODES, AFFORDABLE_STEPS, FEWEST_EPISODES = 100, 20_000, 10  # that score a checkpoint


@dataclass(frozen=True, eq=False)
class Trained:
    """A checkpoint of a training run, and the returns that its score refers to."""

    behavior: Behavior
    run: TrainingRun
    steps: int  # training steps up to the checkpoint
    references: Mapping[str, Any]


def trained_agent(recipe: Recipe, tier: Tier, cache: Cache, progress: Progress) -> Trained:
    """The checkpoint whose score is nearest the tier's, from the cache or trained now.

    Where the environment has reference returns, training ends as soon as a checkpoint is near enough. In any
    other the whole run decides: its best checkpoint has the score 100, a random policy 0.

    Raises:
        InputError: if Stable-Baselines3 is missing, or training never came into the tier's band or never got
            better than random.
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
    return Trained(Behavior(description, run.weights_at(checkpoint)), run, steps, measured)


def _training_recipe(recipe: Recipe, tier: Tier) -> TrainingRecipe:
    chosen = tier.selection
    assert chosen is not None
    goal, learning = None, measured_run(recipe.policy, recipe.env_id)
    if recipe.env_id in all_references():
        goal = Goal(
            target_return=return_of_score(recipe.env_id, chosen.target),
            close_enough=return_of_score(recipe.env_id, chosen.close_enough)
            - return_of_score(recipe.env_id, 0.0),
            low_return=return_of_score(recipe.env_id, chosen.low),
            high_return=return_of_score(recipe.env_id, chosen.high),
            settle_after=learning.settle_after(chosen.target),
        )
    settings = dict(learning.hyperparameters)
    max_steps, checkpoint_every = learning.max_steps, learning.checkpoint_every
    if recipe.train_steps is not None:
        max_steps = recipe.train_steps
        checkpoint_every = _checkpoint_every(recipe, checkpoint_every, settings)
    return TrainingRecipe(
        algorithm=recipe.policy,
        env_id=recipe.env_id,
        env_kwargs=dict(recipe.env_kwargs),
        hyperparameters=settings,
        versions={**training_versions(), **physics_versions(recipe.env_id)},
        checkpoint_every=checkpoint_every,
        max_steps=max_steps,
        goal=goal,
        seed=recipe.seed,
        deterministic=recipe.deterministic,
        evaluation_episodes=affordable_episodes(recipe.backend, EPISODES, AFFORDABLE_STEPS, FEWEST_EPISODES),
    )


def _checkpoint_every(recipe: Recipe, most: int, settings: Mapping[str, Any]) -> int:
    """How many training steps, at ``most``, lie between the checkpoints of a run of a given length.

    Raises:
        InputError: if the run is shorter than the rollout that the learner begins with.
    """
    assert recipe.train_steps is not None
    at_once = int(settings.get("n_envs", 1))
    rollout = at_once * int(settings.get("n_steps", 1))
    if recipe.train_steps < rollout:
        raise InputError(
            f"Expected --train-steps of at least {rollout:,}, the rollout that {recipe.policy!r} begins with "
            f"in {recipe.env_id}, got {recipe.train_steps:,}."
        )
    return max(min(most, recipe.train_steps // CHECKPOINTS), at_once)


def _references(recipe: Recipe, run: TrainingRun, progress: Progress) -> Mapping[str, Any]:
    """The returns that the scores refer to, measured where this package has none.

    Raises:
        InputError: if no checkpoint is better than a random policy.
    """
    if recipe.env_id in all_references():
        return references(recipe.env_id)
    best = int(run.mean_returns.argmax())
    behavior = Behavior({**run.description, "deterministic": recipe.deterministic}, run.weights_at(best))
    acted = f"{recipe.policy} after {run.steps[best]} training steps, seed {recipe.seed}"
    progress.stage("scoring")
    told = progress.episodes
    lowest = measured_return(recipe, Behavior({"kind": "uniform"}), "uniformly random", told)
    highest = measured_return(recipe, behavior, acted, told)
    if not highest["mean"] > lowest["mean"]:
        raise InputError(
            f"Expected an agent that gets better than random, whose mean return is {lowest['mean']:g}; the "
            f"best one of this training has {highest['mean']:g}; try more --train-steps or another --seed."
        )
    return {"ref_min": lowest, "ref_max": highest}


def _checkpoint(run: TrainingRun, measured: Mapping[str, Any], tier: Tier) -> int:
    """Which checkpoint stands for a tier.

    Raises:
        InputError: if none comes into the tier's band.
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
