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

from cartpole_phys.utils.typing import FloatArray

RESAMPLES = 10_000
SEED = 0
FEWEST = 3  # runs that an interval can be told of, which is then from the worst to the best
ENOUGH = 5  # runs to judge by: of so many, an interval holds the truth in 89 of 100 cases, of three in 73
CUT = 0.25  # of the runs, on either side
ENDS = (2.5, 97.5)  # % of the resampled values that the ends of an interval lie above


class Estimate(NamedTuple):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def above(self) -> bool:
        """Whether all of the interval is above zero, told as tables tell it, to one decimal.

        More than that would hang on which runs the bootstrap happens to draw.
        """
        return round(self.low, 1) > 0.0

    @property
    def below(self) -> bool:
        """Whether all of the interval is below zero, likewise."""
        return round(self.high, 1) < 0.0


def interquartile_mean(scores: FloatArray) -> Estimate:
    """Of the scores (runs, tasks) of one method, over all tasks; of too few runs, without an interval."""
    if len(scores) < FEWEST:
        return _bare(_of_all(scores))
    return _estimate(_of_all(scores), _resampled(scores, SEED))


def mean(scores: FloatArray) -> Estimate:
    """Of the same, with all runs: few tasks are few enough to cut one that a method fails at."""
    value = float(scores.mean())
    if len(scores) < FEWEST:
        return _bare(value)
    return _estimate(value, _drawn(scores, SEED).mean(axis=(1, 2)))


def difference(scores: FloatArray, others: FloatArray) -> Estimate:
    """Of the interquartile means of two methods, whose runs are drawn apart.

    Runs of one seed share their start states, which would only make intervals narrower.
    """
    resampled = _resampled(scores, SEED) - _resampled(others, SEED + 1)
    return _estimate(_of_all(scores) - _of_all(others), resampled)


def paired_difference(scores: FloatArray, others: FloatArray) -> Estimate:
    """Interquartile mean of the differences (runs, tasks) of runs with the same start states.

    What start states do to both runs of a pair cancels, so that it does not widen the interval.
    """
    return interquartile_mean(scores - others)


def probability_of_improvement(scores: FloatArray, others: FloatArray) -> Estimate:
    """That a run of one method (runs, tasks) scores more than one of another (others' runs, tasks).

    The mean over tasks; runs that score the same count by half.
    """
    drawn, others_drawn = _drawn(scores, SEED), _drawn(others, SEED + 1)
    return _estimate(float(_above(scores[None], others[None])[0]), _above(drawn, others_drawn))


def performance_profile(scores: FloatArray, thresholds: FloatArray) -> FloatArray:
    """The share of the runs (runs, tasks) that score more than each of T thresholds, with its interval.

    Returns:
        (3, T): value, low end, high end
    """
    drawn = _drawn(scores, SEED)
    shares = [np.mean(scores > one) for one in thresholds]
    resampled = [np.mean(drawn > one, axis=(1, 2)) for one in thresholds]  # each (RESAMPLES,)
    low, high = np.percentile(resampled, ENDS, axis=1)  # each (T,)
    return np.stack([np.array(shares), low, high])


def _above(scores: FloatArray, others: FloatArray) -> FloatArray:
    """How often, (n,), scores (n, runs, tasks) are above others (n, runs', tasks) of the same task."""
    first, second = scores[:, :, None], others[:, None]  # (n, runs, 1, tasks), (n, 1, runs', tasks)
    return np.asarray(np.mean((first > second) + 0.5 * (first == second), axis=(1, 2, 3)))


def _of_all(scores: FloatArray) -> float:
    return float(trim_mean(scores.ravel(), CUT))


def _resampled(scores: FloatArray, seed: int) -> FloatArray:
    """The interquartile mean (RESAMPLES,) over runs that are drawn anew for each task."""
    return np.asarray(trim_mean(_drawn(scores, seed).reshape(RESAMPLES, -1), CUT, axis=1))


def _drawn(scores: FloatArray, seed: int) -> FloatArray:
    """Runs drawn anew for each task, (RESAMPLES, runs, tasks)."""
    runs, tasks = scores.shape
    drawn = np.random.default_rng(seed).integers(0, runs, (RESAMPLES, runs, tasks))
    return scores[drawn, np.arange(tasks)]


def _bare(value: float) -> Estimate:
    """A figure of too few runs for an interval."""
    return Estimate(value, value, value)


def _estimate(value: float, resampled: FloatArray) -> Estimate:
    low, high = np.percentile(resampled, ENDS)
    return Estimate(value, float(low), float(high))
