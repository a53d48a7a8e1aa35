"""Metadata of a file: recipe, behavior policies, scores and versions."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from cartpole_phys.backends.make import physics_versions, spec_json
from cartpole_phys.data.building.commit import git_commit
from cartpole_phys.data.building.evaluate_policy import evaluation_of, measured_score
from cartpole_phys.data.building.parts import Prepared
from cartpole_phys.data.hdf5.file import SCHEMA_VERSION
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.data.tiers import TIERS
from cartpole_phys.data.tiers.base import COLLECTION, Part, collection_seed
from cartpole_phys.policies.training.recipe import training_versions
from cartpole_phys.utils.progress import Progress

PACKAGES = ("cartpole-phys", "numpy", "numba", "gymnasium", "h5py", "isal")


def metadata_of(
    recipe: Recipe,
    name: str,
    prepared: Prepared,
    hashes: Sequence[Mapping[str, str]],
    progress: Progress,
) -> dict[str, Any]:
    """Metadata of a file without the array hashes, with measured scores."""
    return {
        **implied_by(recipe),
        "dataset_name": name,
        "parts": [_described(part, own) for part, own in zip(prepared.parts, hashes, strict=True)],
        "scores": _scores(recipe, prepared, progress),
        "references": dict(prepared.references),
        "versions": versions(recipe),
        "git_commit": git_commit(),
    }


def implied_by(recipe: Recipe) -> dict[str, Any]:
    """Attributes of a file that follow from its recipe alone."""
    system = recipe.backend.system
    return {
        "schema_version": SCHEMA_VERSION,
        "env_id": recipe.env_id,
        "env_kwargs": dict(recipe.env_kwargs),
        "env_spec": spec_json(recipe.env_id, recipe.env_kwargs),
        "params": {} if system is None else dict(system.params.as_mapping()),
        "algorithm": recipe.policy,
        "tier": recipe.tier,
        "recipe": recipe.as_dict(),
        "command": recipe.command,
        "evaluation": evaluation_of(recipe),
    }


def implied_by_part(recipe: Recipe, number: int) -> dict[str, Any]:
    """Attributes of a part that follow from its recipe and the number of the shard."""
    source = TIERS[recipe.tier].source
    return {
        "tier": recipe.tier,
        "source": source,
        "collection_seed": collection_seed(recipe, number) if source == COLLECTION else None,
        "command": recipe.command,
    }


def _scores(recipe: Recipe, prepared: Prepared, progress: Progress) -> list[dict[str, float]]:
    """Measure the score of each part's policy; progress counts the episodes of all parts."""
    parts, scores = prepared.parts, []
    progress.stage("scoring")
    for number, part in enumerate(parts):

        def on_progress(done: int, total: int, before: int = number) -> None:
            progress.episodes(before * total + done, len(parts) * total)

        scores.append(measured_score(recipe, part.source, prepared.references, on_progress))
    return scores


def _described(part: Part, hashes: Mapping[str, str]) -> dict[str, Any]:
    return {
        **part.behavior.description,
        **implied_by_part(part.recipe, part.number),
        "rows": part.rows,
        "sha256": dict(hashes),
    }


def versions(recipe: Recipe) -> dict[str, str]:
    """Versions that determine the arrays of a data set besides its recipe; for agents also the CPU."""
    training = training_versions() if recipe.kind.is_trained else {}
    return {**package_versions(), **physics_versions(recipe.env_id), **training}


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that every build uses."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}}
