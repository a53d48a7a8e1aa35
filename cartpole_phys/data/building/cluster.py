"""Builds shards on a Ray cluster, whose machines need not share a disk: finished files come back as bytes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from cartpole_phys.cluster import spread
from cartpole_phys.data.building.progress import Silent
from cartpole_phys.data.building.shards import Builder, ShardPlan, build_shard
from cartpole_phys.data.building.writing import Built
from cartpole_phys.files import unfinished


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
    with unfinished(path) as partial:
        partial.write_bytes(content)
    return replace(built, path=path)
