"""How a model does when it is asked for one return or another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cartpole_phys.data.declared_env import declared_backend
from cartpole_phys.data.score import all_references, mean_interval, normalized_score
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.typing import FloatArray
from dt.policy import load
from dt.training.checkpoint import Checkpoint

DEFAULT_TARGETS = 3  # from the data's mean return to its highest
# What Chen et al. (2021) ask for, by the environment's name: github.com/kzl/decision-transformer
PUBLISHED_TARGETS = {
    "HalfCheetah": (12_000.0, 6_000.0),
    "Hopper": (3_600.0, 1_800.0),
    "Walker2d": (5_000.0, 2_500.0),
    "Reacher": (76.0, 40.0),
}


@dataclass(frozen=True)
class Evaluation:
    """How a model did when asked for one return."""

    target: float | None  # the return that was wanted; None if the model takes no such wish
    mean_return: float
    return_low: float  # ends of the 95 % bootstrap interval of the mean return
    return_high: float
    score: float | None  # normalised: 0 random, 100 the best known policy; None where nobody measured these
    score_low: float | None  # ends of the 95 % bootstrap interval of the mean score
    score_high: float | None


def default_targets(checkpoint: Checkpoint) -> list[float | None]:
    """Returns between the data's mean and its highest, or only None if the model takes no target.

    Where the returns of the data are not known, as in others' checkpoints, those that their authors ask for.

    Raises:
        InputError: if neither is known.
    """
    if not checkpoint.model.return_conditioned:
        return [None]
    source = checkpoint.source
    if not np.isfinite([source.mean_return, source.max_return]).all():
        name = source.env_id.rpartition("-v")[0]
        if name in PUBLISHED_TARGETS:
            return list(PUBLISHED_TARGETS[name])
        raise InputError("The checkpoint does not say the returns of its data; say what is wanted: --target")
    return [float(t) for t in np.unique(np.linspace(source.mean_return, source.max_return, DEFAULT_TARGETS))]


def evaluate(
    checkpoint: Checkpoint, targets: Sequence[float | None], episodes: int = 100, seed: int = 0
) -> list[Evaluation]:
    """Play ``episodes`` episodes for each target, the same start states for all of them.

    Args:
        checkpoint: a trained model.
        targets: wanted returns, in the environment's units; None for the highest one in the data.
        episodes: how many to play at once.
        seed: decides the start states and the bootstrap.

    Raises:
        InputError: if the environment cannot be made, or a number is impossible.
    """
    source = checkpoint.source
    backend = declared_backend({"env_id": source.env_id, "env_kwargs": source.env_kwargs})
    results = []
    for target in targets:
        returns = backend.play(load(checkpoint, target), episodes, seed).returns
        results.append(
            Evaluation(target, *mean_interval(returns, seed=seed), *_scores(source.env_id, returns, seed))
        )
    return results


def _scores(
    env_id: str, returns: FloatArray, seed: int
) -> tuple[float, float, float] | tuple[None, None, None]:
    """The mean score with its interval, where there are reference returns."""
    if env_id not in all_references():
        return None, None, None
    return mean_interval(normalized_score(env_id, returns), seed=seed)
