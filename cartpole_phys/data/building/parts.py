"""Preparation of the parts of a data set by their tiers, and of the reference returns of scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cartpole_phys.data.recipe import Recipe
from cartpole_phys.data.score import all_references
from cartpole_phys.data.tiers import TIERS
from cartpole_phys.data.tiers.base import Part
from cartpole_phys.policies.training.cache import Cache
from cartpole_phys.utils.progress import Progress


@dataclass(frozen=True, eq=False)
class Prepared:
    """All parts of a data set, and the reference returns of its scores, which may be empty."""

    parts: list[Part]
    references: Mapping[str, Any]


def prepare(recipe: Recipe, cache: Cache, progress: Progress) -> Prepared:
    """Calibrate, train or load the policies of a data set.

    Raises:
        InputError: if a tier cannot be reached or verified, or an extra is missing.
    """
    parts = [TIERS[part.tier].prepare(part, cache, progress) for part in recipe.parts]
    own = all_references().get(recipe.env_id, {})
    return Prepared(parts, own if parts[-1].references is None else parts[-1].references)
