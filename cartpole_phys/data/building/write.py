"""Atomic write of one file, which is renamed to its final name after it passes all gates."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cartpole_phys.data.building.metadata import metadata_of
from cartpole_phys.data.building.parts import Prepared
from cartpole_phys.data.building.summary import Summary, d4rl_arrays, summary_of, total
from cartpole_phys.data.building.user_policies import require_tier
from cartpole_phys.data.checks.run import FAILED, check_file
from cartpole_phys.data.hashing import METADATA_HASH, TableHash
from cartpole_phys.data.hdf5.d4rl_v2 import add_v2_metadata
from cartpole_phys.data.hdf5.file import Writer
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.data.release.identity import ReleaseWarning, release_attribute, release_warning
from cartpole_phys.data.score import score
from cartpole_phys.data.tiers import TIERS
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.files import atomic_file, reporting_write_errors
from cartpole_phys.utils.progress import Progress

NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Built:
    """Path and summary of a finished data set."""

    path: Path  # a file, or a folder of shards
    transitions: int
    episodes: int
    mean_return: float | None  # of the complete episodes
    score: float | None  # of the complete episodes, if the environment has reference returns
    sha256: str  # of the metadata, which contain the hash of every array, or of the manifest


def build_file(
    path: Path,
    name: str,
    recipe: Recipe,
    prepared: Prepared,
    jobs: int,
    progress: Progress,
    extra: Mapping[str, Any] = NOTHING,
) -> Built:
    """Write one file, validate it, then rename it to ``path``; ``extra`` is added to its metadata.

    Raises:
        InputError: if a gate fails or the file cannot be written; the partial file is then removed.
    """
    with reporting_write_errors(path), atomic_file(path) as partial:
        progress.stage("collecting")
        metadata = _write(partial, name, recipe, prepared, jobs, progress, extra)
        if recipe.kind.is_user_code:
            require_tier(recipe, TIERS[recipe.tier], *metadata["scores"])
        failed = [result for result in check_file(partial, progress) if result.status == FAILED]
        if failed:
            raise InputError(
                f"The built data set failed validation and was discarded: gate {failed[0].gate}, "
                f"{failed[0].detail}; try another --seed or more --steps."
            )
    if (message := release_warning(metadata)) is not None:
        warnings.warn(message, ReleaseWarning, stacklevel=2)
    return built_from(path, Summary(**metadata["summary"]), prepared.references, metadata[METADATA_HASH])


def built_from(path: Path, summary: Summary, references: Mapping[str, Any], sha256: str) -> Built:
    """Describe a finished data set by its summary."""
    mean = summary.mean_return
    return Built(
        path=path,
        transitions=summary.transitions,
        episodes=summary.episodes,
        mean_return=mean,
        score=float(score(references, mean)) if references and mean is not None else None,
        sha256=sha256,
    )


def _write(
    path: Path,
    name: str,
    recipe: Recipe,
    prepared: Prepared,
    jobs: int,
    progress: Progress,
    extra: Mapping[str, Any],
) -> Mapping[str, Any]:
    """Write the rows of all parts and then the metadata, which are returned."""
    parts, hashes, summary = prepared.parts, [], Summary()
    rows = sum(part.rows for part in parts)
    with Writer(path, rows) as writer:
        for part in parts:
            part_hashes = TableHash(part.rows)
            for episodes in part.episodes(jobs):
                arrays = d4rl_arrays(episodes)
                if len(parts) > 1:
                    part_hashes.update(arrays)
                writer.append(arrays)
                summary = total([summary, summary_of(episodes)])
                progress.rows(summary.transitions, rows)
            hashes.append(part_hashes.hexdigests())
        metadata = metadata_of(recipe, name, prepared, hashes, progress)
        release = release_attribute(name, writer.hexdigests())
        metadata |= {"summary": asdict(summary), **release, **extra}
        weights = {str(i): part.behavior.weights for i, part in enumerate(parts) if part.behavior.weights}
        written = writer.finish(metadata, weights)
    if recipe.d4rl_v2_metadata:
        add_v2_metadata(path, written, weights)
    return written


def file_exists_error(path: Path, other: str) -> InputError:
    """Error about an existing file, with the option ``other`` that chooses another path."""
    return InputError(
        f"'{path}' exists already; pass --overwrite (in Python overwrite=True) to replace it, or another "
        f"{other}."
    )
