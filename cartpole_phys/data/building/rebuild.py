"""Rebuild of a data set from its own recipe and weights, with a comparison of array hashes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cartpole_phys.data.building.metadata import versions
from cartpole_phys.data.building.parts import prepare
from cartpole_phys.data.building.summary import d4rl_arrays
from cartpole_phys.data.declared_env import declared_env
from cartpole_phys.data.hashing import ARRAY_HASHES, TableHash
from cartpole_phys.data.hdf5.file import Header, read_header
from cartpole_phys.data.provenance import Differences, recorded_versions, version_differences
from cartpole_phys.data.recipe import Recipe, recipe_from
from cartpole_phys.data.shards import verified_shards
from cartpole_phys.data.tiers.base import COLLECTION, Part
from cartpole_phys.policies.behavior import from_description
from cartpole_phys.policies.training.cache import Cache
from cartpole_phys.utils.errors import InputError, is_integer
from cartpole_phys.utils.progress import Progress


@dataclass(frozen=True)
class Rebuilt:
    """Comparison of a file's arrays with those rebuilt from its recipe."""

    equal: list[str]  # names of arrays
    different: list[str]
    other_versions: Differences  # by name, of the build and of now; possible causes of different arrays


def rebuild(
    path: str | os.PathLike[str], jobs: int, progress: Progress, policy: str | None = None
) -> Rebuilt:
    """Rebuild a file's arrays and compare their hashes with the stored ones.

    Collected parts are rolled out again with the stored weights; replay tiers train their agent again, and
    stitching tiers divide the expert's episodes again.

    Args:
        path: a file from ``build_dataset``, or a folder of shards.
        jobs: number of threads or processes.
        progress: receives the number of transitions collected.
        policy: the file's MODULE:FACTORY, if it has one: permits running that code.

    Raises:
        InputError: if the file cannot be read, or has no recipe or hashes.
    """
    place = Path(path)
    headers = [reader.header for reader in verified_shards(place)] if place.is_dir() else [read_header(place)]
    rebuilt = [_rebuild_file(header, place, jobs, progress, policy) for header in headers]
    different = {name for one in rebuilt for name in one.different}
    names = {name for one in rebuilt for name in one.equal}
    others = {name: change for one in rebuilt for name, change in one.other_versions.items()}
    return Rebuilt(sorted(names - different), sorted(different), others)


def _rebuild_file(header: Header, place: Path, jobs: int, progress: Progress, policy: str | None) -> Rebuilt:
    stated = header.metadata.get(ARRAY_HASHES)
    if not isinstance(stated, Mapping):
        raise InputError(
            f"Expected a data set with a recipe and hashes, got {str(place)!r} without; use one from: "
            "build-dataset"
        )
    parts = _parts(header, policy, progress)
    progress.stage("collecting")
    total = sum(part.rows for part in parts)
    hashes, done = TableHash(total), 0
    for part in parts:
        for episodes in part.episodes(jobs):
            hashes.update(d4rl_arrays(episodes))
            done += episodes.steps
            progress.rows(done, total)
    again = hashes.hexdigests()
    names = sorted({*stated, *again})
    return Rebuilt(
        [name for name in names if stated.get(name) == again.get(name)],
        [name for name in names if stated.get(name) != again.get(name)],
        version_differences(recorded_versions(header.metadata), versions(parts[0].recipe)),
    )


def _parts(header: Header, policy: str | None, progress: Progress) -> list[Part]:
    """Prepare a file's parts from its recipe and its stored weights.

    Raises:
        InputError: if the file does not describe them.
    """
    fields = header.metadata.get("recipe")
    declared_env(fields if isinstance(fields, Mapping) else {})
    recipe: Recipe = recipe_from(fields)
    described: Any = header.metadata.get("parts")
    if (
        not isinstance(described, list)
        or len(described) != len(recipe.parts)
        or not all(isinstance(part, Mapping) for part in described)
    ):
        raise InputError(
            "Expected a file that describes all parts of its recipe; use one from: build-dataset"
        )
    if recipe.kind.is_user_code and recipe.policy != policy:
        raise InputError(
            f"The behavior policy {recipe.policy!r} is user-supplied code; permit running it with --policy "
            f"{recipe.policy}"
        )
    number = _number_in_part(header)
    if recipe.kind.is_user_code or any(part.get("source") != COLLECTION for part in described):
        return [replace(part, number=number) for part in prepare(recipe, Cache.BYPASS, progress).parts]
    return [
        Part(own, from_description(part, header.weights.get(str(i), {})), number=number)
        for i, (own, part) in enumerate(zip(recipe.parts, described, strict=True))
    ]


def _number_in_part(header: Header) -> int:
    """Number of a file among the shards of its part; 0 for a file that is not a shard.

    Raises:
        InputError: if the number is missing or invalid.
    """
    shard = header.metadata.get("shard", {"number_in_part": 0})
    number = shard.get("number_in_part") if isinstance(shard, Mapping) else None
    if not is_integer(number) or number < 0:
        raise InputError(
            f"Expected a shard with its number_in_part as an integer of at least 0, got {shard!r:.200}; "
            "use one from: build-dataset"
        )
    return number
