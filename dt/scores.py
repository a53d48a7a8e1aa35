"""Returns and normalized scores of a model at one or more target returns."""

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
# Target returns of Chen et al. (2021) by environment: github.com/kzl/decision-transformer
PUBLISHED_TARGETS = {
    "HalfCheetah": (12_000.0, 6_000.0),
    "Hopper": (3_600.0, 1_800.0),
    "Walker2d": (5_000.0, 2_500.0),
    "Reacher": (76.0, 40.0),
}


@dataclass(frozen=True)
class Evaluation:
    """Returns and scores of a model at one target return."""

    target: float | None  # None: the model is not return-conditioned
    mean_return: float
    return_low: float  # ends of the 95 % bootstrap interval of the mean return
    return_high: float
    score: float | None  # normalized: 0 random, 100 the best known policy; None without reference returns
    score_low: float | None  # ends of the 95 % bootstrap interval of the mean score
    score_high: float | None


def default_targets(checkpoint: Checkpoint) -> list[float | None]:
    """Return evenly spaced targets from the mean to the highest return of the data.

    A model that is not return-conditioned gets ``[None]``. An imported checkpoint, whose data's returns are
    unknown, gets the targets of Chen et al. (2021) for its environment.

    Raises:
        InputError: if neither the returns nor published targets are known.
    """
    if not checkpoint.model.return_conditioned:
        return [None]
    source = checkpoint.source
    if not np.isfinite([source.mean_return, source.max_return]).all():
        name = source.env_id.rpartition("-v")[0]
        if name in PUBLISHED_TARGETS:
            return list(PUBLISHED_TARGETS[name])
        raise InputError(
            "Expected the returns of the training data in the checkpoint, got none; add --target."
        )
    return [float(t) for t in np.unique(np.linspace(source.mean_return, source.max_return, DEFAULT_TARGETS))]


def evaluate(
    checkpoint: Checkpoint, targets: Sequence[float | None], episodes: int = 100, seed: int = 0
) -> list[Evaluation]:
    """Evaluate ``episodes`` episodes for each target, on the same start states for all targets.

    Args:
        checkpoint: a trained model.
        targets: target returns, in the environment's units; None for the highest return in the data.
        episodes: number of parallel episodes per target.
        seed: random seed of the start states and the bootstrap.

    Raises:
        InputError: if the environment cannot be made or an argument is out of range.
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
    """Mean score with its 95 % interval, or None without reference returns."""
    if env_id not in all_references():
        return None, None, None
    return mean_interval(normalized_score(env_id, returns), seed=seed)
