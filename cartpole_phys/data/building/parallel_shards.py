"""Builds of folders of shards, each a validated file; the manifest is written last.

The rows of a shard depend only on the recipe and its number, so shards can be built on any machine and in any
order. An interrupted build resumes with the missing shards.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cartpole_phys.data.building.parts import Prepared
from cartpole_phys.data.building.summary import Summary, total
from cartpole_phys.data.building.write import Built, build_file, built_from
from cartpole_phys.data.checks.run import FAILED, run_gates
from cartpole_phys.data.hashing import METADATA_HASH, file_sha256, metadata_sha256
from cartpole_phys.data.hdf5.file import Reader, read_header
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.data.shards import (
    MANIFEST,
    WHOLE,
    Manifest,
    Shard,
    joined_sha256,
    write_manifest,
)
from cartpole_phys.data.tiers.base import Part
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.files import atomic_file, reporting_write_errors, writer_lock
from cartpole_phys.utils.parallel import spread
from cartpole_phys.utils.progress import Progress, Silent

SHARD_FILE = re.compile(r"shard-\d{5,}-of-\d{5,}\.hdf5(\.partial|\.lock)?")  # complete or partial


@dataclass(frozen=True, eq=False)
class ShardPlan:
    """Inputs of the build of one shard."""

    name: str  # of the whole data set
    recipe: Recipe  # of the whole data set
    number: int  # from 0 to count − 1
    count: int
    prepared: Prepared  # with one part

    @property
    def file(self) -> str:
        """The shard's file name."""
        return f"shard-{self.number:05d}-of-{self.count:05d}.hdf5"

    @property
    def part(self) -> Part:
        """The part that the shard contains."""
        return self.prepared.parts[0]

    @property
    def metadata(self) -> dict[str, Any]:
        """Additional metadata of shards."""
        behavior = self.part.behavior
        return {
            "command": self.recipe.command,
            "shard": {
                "set": self.name,
                "number": self.number,
                "count": self.count,
                WHOLE: {"tier": self.recipe.tier, "recipe": self.recipe.as_dict()},
                "number_in_part": self.part.number,
                # Detects that an agent was retrained before a build resumes, so agents are not mixed.
                "behaviour_sha256": metadata_sha256(behavior.description, {"0": behavior.weights}),
            },
        }


def plan_shards(name: str, recipe: Recipe, prepared: Prepared) -> list[ShardPlan]:
    """Plan all shards of a data set, part by part."""
    planned = [recipe.shard(number) for number in range(recipe.shard_count)]
    parts = [Part(own, prepared.parts[part].behavior, number=number) for part, number, own in planned]
    return [
        ShardPlan(name, recipe, number, len(parts), Prepared([part], prepared.references))
        for number, part in enumerate(parts)
    ]


def build_shard(plan: ShardPlan, folder: Path, jobs: int, progress: Progress) -> Built:
    """Build one shard in a folder under its file name."""
    recipe = plan.part.recipe
    return build_file(folder / plan.file, plan.name, recipe, plan.prepared, jobs, progress, plan.metadata)


Builder = Callable[[Sequence[ShardPlan], Path], Iterator[Built]]  # yields each shard when it is complete


def local_builder(jobs: int) -> Builder:
    """Return a builder of one shard at a time on this machine."""
    return lambda plans, folder: (build_shard(plan, folder, jobs, Silent()) for plan in plans)


def build_shards(
    folder: Path, name: str, recipe: Recipe, prepared: Prepared, builder: Builder, progress: Progress
) -> Built:
    """Build the missing shards with ``builder``, in any order, then write the manifest.

    Raises:
        InputError: if a gate fails or a file cannot be written.
    """
    plans = plan_shards(name, recipe, prepared)
    with reporting_write_errors(folder), writer_lock(folder), _created(folder):
        (folder / MANIFEST).unlink(missing_ok=True)
        _remove_others(folder, {plan.file for plan in plans})
        progress.stage("shards")
        missing = [plan for plan in plans if not is_built(plan, folder)]
        done = len(plans) - len(missing)
        progress.shards(done, len(plans))
        for _ in builder(missing, folder):
            done += 1
            progress.shards(done, len(plans))
        return _write_manifest(folder, name, plans, prepared)


@contextmanager
def _created(folder: Path) -> Iterator[None]:
    """Create a folder, and remove it afterwards if it is empty."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):  # it is not empty
            folder.rmdir()


def is_built(plan: ShardPlan, folder: Path) -> bool:
    """Whether a shard's file exists, belongs to this plan and passes validation."""
    path = folder / plan.file
    if not path.exists():
        return False
    try:
        with Reader(path) as reader:
            stated = reader.header.metadata
            same = all(stated.get(key) == value for key, value in plan.metadata.items())
            return same and all(result.status != FAILED for result in run_gates(reader, Silent()))
    except InputError:
        return False


def _remove_others(folder: Path, files: set[str]) -> None:
    """Remove the shards of other builds and the partial files of killed ones."""
    for path in folder.iterdir():
        if SHARD_FILE.fullmatch(path.name) and path.name not in files:
            path.unlink()


def _write_manifest(folder: Path, name: str, plans: Sequence[ShardPlan], prepared: Prepared) -> Built:
    """Write the manifest of the complete shards, and return their summary."""
    headers = [read_header(folder / plan.file) for plan in plans]
    summaries = [Summary(**header.metadata["summary"]) for header in headers]
    shards = tuple(
        Shard(plan.file, summary.transitions, summary.episodes, file_sha256(folder / plan.file))
        for plan, summary in zip(plans, summaries, strict=True)
    )
    manifest = Manifest(name, shards, joined_sha256(header.metadata[METADATA_HASH] for header in headers))
    write_manifest(folder / MANIFEST, manifest)
    return built_from(folder, total(summaries), prepared.references, manifest.metadata_sha256)


def cluster_builder(address: str) -> Builder:
    """Return a builder of shards on the Ray cluster at an address; ``auto`` is this machine's cluster.

    If a worker dies, its shard is built again on another one, with the same rows.

    Raises:
        InputError: if Ray is missing, or there is no such cluster.
    """

    def build_all(plans: Sequence[ShardPlan], folder: Path) -> Iterator[Built]:
        for plan, (built, content) in spread(build_remote, plans, address):
            path = folder / plan.file
            with atomic_file(path) as partial:
                partial.write_bytes(content)
            yield replace(built, path=path)

    return build_all


def build_remote(plan: ShardPlan) -> tuple[Built, bytes]:
    """Build a shard in a temporary folder, and return its summary and the content of its file."""
    with tempfile.TemporaryDirectory() as folder:
        built = build_shard(plan, Path(folder), 1, Silent())
        return built, built.path.read_bytes()
