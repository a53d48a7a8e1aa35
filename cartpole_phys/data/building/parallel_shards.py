"""Build of a data set as a folder of shards, each a validated file, with a manifest written last.

The rows of a shard depend on its number alone, so shards can be built anywhere and in any order. An
interrupted build resumes with the missing shards.
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

SHARD_FILE = re.compile(r"shard-\d{5,}-of-\d{5,}\.hdf5(\.partial|\.lock)?")  # finished or not


@dataclass(frozen=True, eq=False)
class ShardPlan:
    """Everything that one shard is built from."""

    name: str  # of the whole set
    recipe: Recipe  # of the whole set
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
        """The metadata that only shards have."""
        behavior = self.part.behavior
        place = {"set": self.name, "number": self.number, "count": self.count}
        return {
            "command": self.recipe.command,
            "shard": {
                **place,
                WHOLE: {"tier": self.recipe.tier, "recipe": self.recipe.as_dict()},
                "number_in_part": self.part.number,
                # A build may resume after its agent was retrained, which must not mix two agents.
                "behaviour_sha256": metadata_sha256(behavior.description, {"0": behavior.weights}),
            },
        }


def plan_shards(name: str, recipe: Recipe, prepared: Prepared) -> list[ShardPlan]:
    """All shards of a data set: those of its first part, then those of the next."""
    planned = [recipe.shard(number) for number in range(recipe.shard_count)]
    parts = [Part(own, prepared.parts[part].behavior, number=number) for part, number, own in planned]
    return [
        ShardPlan(name, recipe, number, len(parts), Prepared([part], prepared.references))
        for number, part in enumerate(parts)
    ]


def build_shard(plan: ShardPlan, folder: Path, jobs: int, progress: Progress) -> Built:
    """Build one shard in a folder, under its own name."""
    recipe = plan.part.recipe
    return build_file(folder / plan.file, plan.name, recipe, plan.prepared, jobs, progress, plan.metadata)


Builder = Callable[[Sequence[ShardPlan], Path], Iterator[Built]]  # yields each shard as it is finished


def local_builder(jobs: int) -> Builder:
    """Builds one shard after another on this machine."""

    def build_all(plans: Sequence[ShardPlan], folder: Path) -> Iterator[Built]:
        return (build_shard(plan, folder, jobs, Silent()) for plan in plans)

    return build_all


def build_shards(
    folder: Path, name: str, recipe: Recipe, prepared: Prepared, builder: Builder, progress: Progress
) -> Built:
    """Build the shards that are not there yet with ``builder``, in any order, then write the manifest.

    Raises:
        InputError: if a gate fails, or a file cannot be written.
    """
    plans = plan_shards(name, recipe, prepared)
    with reporting_write_errors(folder), writer_lock(folder), _folder(folder):
        (folder / MANIFEST).unlink(missing_ok=True)
        _remove_others(folder, {plan.file for plan in plans})
        progress.stage("shards")
        missing = [plan for plan in plans if not is_built(plan, folder)]
        done = len(plans) - len(missing)
        progress.shards(done, len(plans))
        for _ in builder(missing, folder):
            done += 1
            progress.shards(done, len(plans))
        return _conclude(folder, name, plans, prepared)


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    """A folder that is there while it is written to, and afterwards if anything came of it."""
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):  # it is not empty
            path.rmdir()


def is_built(plan: ShardPlan, folder: Path) -> bool:
    """Whether a shard's file is there, is of this very plan and passes its check."""
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
    """Remove shards of another build, and the partial files of a killed one."""
    for path in folder.iterdir():
        if SHARD_FILE.fullmatch(path.name) and path.name not in files:
            path.unlink()


def _conclude(folder: Path, name: str, plans: Sequence[ShardPlan], prepared: Prepared) -> Built:
    """Write the manifest of shards that are all there, and sum them up."""
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
    """Builds shards on the cluster at an address, such as ``auto`` for the one that this machine is in.

    A shard whose worker dies is built again elsewhere, with the same rows.

    Raises:
        InputError: if Ray is missing, or there is no such cluster.
    """

    def build_all(plans: Sequence[ShardPlan], folder: Path) -> Iterator[Built]:
        for plan, (built, content) in spread(build_away, plans, address):
            yield _keep(built, content, folder / plan.file)

    return build_all


def build_away(plan: ShardPlan) -> tuple[Built, bytes]:
    """Build a shard into a temporary folder and return the finished file."""
    with tempfile.TemporaryDirectory() as folder:
        built = build_shard(plan, Path(folder), 1, Silent())
        return built, built.path.read_bytes()


def _keep(built: Built, content: bytes, path: Path) -> Built:
    """Write a finished shard under its name here."""
    with atomic_file(path) as partial:
        partial.write_bytes(content)
    return replace(built, path=path)
