"""Normalized scores and confidence intervals.

score = 100 × (R − ref_min) / (ref_max − ref_min), with the reference returns of each environment id
measured by ``python -m benchmarks.references`` and stored in references.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, TypeGuard, overload

import numpy as np
import numpy.typing as npt

from cartpole_phys.utils.choices import choices
from cartpole_phys.utils.errors import InputError, is_number
from cartpole_phys.utils.typing import FloatArray

REFERENCES = ("ref_min", "ref_max")
RESAMPLES = 2_000  # bootstrap samples of a mean
INDICES = 1_000_000  # drawn at once, which bounds the memory


@cache
def all_references() -> dict[str, dict[str, Any]]:
    """Reference returns by environment id: ``ref_min`` and ``ref_max``, each with its protocol."""
    text = resources.files("cartpole_phys.data").joinpath("references.json").read_text("utf-8")
    loaded: dict[str, dict[str, Any]] = json.loads(text)
    return loaded


def references(env_id: str) -> Mapping[str, Any]:
    """The reference returns of one environment id.

    Raises:
        InputError: if none were measured for it.
    """
    known = all_references()
    if env_id not in known:
        raise InputError(f"No reference returns for {env_id!r}; {choices(env_id, sorted(known))}")
    return known[env_id]


def references_of(env_id: str, recorded: Any) -> Mapping[str, Any]:
    """Reference returns of an environment: those of this package, otherwise those recorded in its file.

    Raises:
        InputError: if there are none, or the recorded ones are invalid.
    """
    if env_id in all_references():
        return references(env_id)
    if not are_references(recorded):
        raise InputError(
            f"No reference returns for {env_id!r} with ref_min below ref_max: its score is undefined."
        )
    return recorded


def are_references(recorded: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether an untrusted value is a pair of mean returns, ``ref_min`` below ``ref_max``."""
    if not isinstance(recorded, Mapping) or not all(_is_measured(recorded.get(end)) for end in REFERENCES):
        return False
    low, high = _reference_means(recorded)
    return low < high


def _is_measured(end: Any) -> bool:
    return isinstance(end, Mapping) and is_number(end.get("mean")) and abs(end["mean"]) < sys.float_info.max


def score(measured: Mapping[str, Any], returns: Any) -> FloatArray:
    """Normalized scores of returns of any shape, given the reference returns ``measured``."""
    low, high = _reference_means(measured)
    with np.errstate(over="ignore", invalid="ignore"):  # the references of a file may be almost equal
        return np.asarray(100.0 * (np.asarray(returns, dtype=np.float64) - low) / (high - low))


@overload
def normalized_score(env_id: str, returns: float) -> float: ...


@overload
def normalized_score(env_id: str, returns: npt.ArrayLike) -> FloatArray: ...


def normalized_score(env_id: str, returns: Any) -> float | FloatArray:
    """Normalized scores of returns of any shape (a float for a scalar): 0 random policy, 100 best known one.

    Raises:
        InputError: if there are no reference returns for the environment.
    """
    scores = score(references(env_id), returns)
    return scores if scores.ndim else float(scores)


def return_of_score(env_id: str, target: float) -> float:
    """Return that corresponds to a normalized score; the inverse of ``normalized_score``.

    Raises:
        InputError: if there are no reference returns for the environment.
    """
    return return_between(references(env_id), target)


def return_between(measured: Mapping[str, Any], target: float) -> float:
    """Return that corresponds to a normalized score, given the reference returns ``measured``."""
    low, high = _reference_means(measured)
    return low + target / 100.0 * (high - low)


def _reference_means(measured: Mapping[str, Any]) -> tuple[float, float]:
    return float(measured["ref_min"]["mean"]), float(measured["ref_max"]["mean"])


def mean_interval(values: Any, seed: int = 0) -> tuple[float, float, float]:
    """Mean of the values and its 95 % confidence interval by percentile bootstrap.

    Equals ``scipy.stats.bootstrap`` up to rounding (a test compares them), which is not used here because
    importing ``scipy.stats`` takes 0.8 s in every build, as long as importing all of this package.

    Returns:
        mean, lower and upper end of the interval

    Raises:
        InputError: if there are no values.
    """
    samples = np.asarray(values, dtype=np.float64).ravel()
    if not len(samples):
        raise InputError("Expected at least one value to average, got none.")
    generator, rows = np.random.default_rng(seed), max(1, INDICES // len(samples))
    drawn = [
        samples[generator.integers(0, len(samples), (min(rows, RESAMPLES - first), len(samples)))].mean(
            axis=1
        )
        for first in range(0, RESAMPLES, rows)
    ]  # in blocks, since all indices at once would not fit into memory; the draws are the same
    low, high = np.percentile(np.concatenate(drawn), [2.5, 97.5])
    return float(samples.mean()), float(low), float(high)
