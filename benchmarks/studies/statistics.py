"""What a few training seeds tell of a method: interquartile means, with intervals.

A run is one training seed: its score is the mean over its evaluation episodes. The interquartile mean over
runs is less led by single runs than the mean, and less blind to them than the median. Intervals are those of
a percentile bootstrap that draws runs anew within each task. Source: Agarwal et al., "Deep Reinforcement
Learning at the Edge of the Statistical Precipice" (2021).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import trim_mean

from cartpole_phys.memory import FloatArray

RESAMPLES = 10_000
SEED = 0
CUT = 0.25  # of the runs, on either side
ENDS = (2.5, 97.5)  # % of the resampled values that the ends of an interval lie above


class Estimate(NamedTuple):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def interquartile_mean(scores: FloatArray) -> Estimate:
    """Of the scores (runs, tasks) of one method, over all tasks."""
    return _estimate(_of_all(scores), _resampled(scores, SEED))


def difference(scores: FloatArray, others: FloatArray) -> Estimate:
    """Of the interquartile means of two methods, whose runs have nothing to do with each other."""
    resampled = _resampled(scores, SEED) - _resampled(others, SEED + 1)
    return _estimate(_of_all(scores) - _of_all(others), resampled)


def _of_all(scores: FloatArray) -> float:
    return float(trim_mean(scores.ravel(), CUT))


def _resampled(scores: FloatArray, seed: int) -> FloatArray:
    """The interquartile mean (RESAMPLES,) over runs that are drawn anew for each task."""
    runs, tasks = scores.shape
    drawn = np.random.default_rng(seed).integers(0, runs, (RESAMPLES, runs, tasks))
    again = scores[drawn, np.arange(tasks)]  # (RESAMPLES, runs, tasks)
    return np.asarray(trim_mean(again.reshape(RESAMPLES, runs * tasks), CUT, axis=1))


def _estimate(value: float, resampled: FloatArray) -> Estimate:
    low, high = np.percentile(resampled, ENDS)
    return Estimate(value, float(low), float(high))
