"""Builds shards on a Ray cluster, whose machines need not share a disk: finished files come back as bytes."""

from __future__ import annotations

import logging
import socket
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cartpole_phys.data.building.progress import Silent
from cartpole_phys.data.building.shards import Builder, ShardPlan, build_shard
from cartpole_phys.data.building.writing import Built
from cartpole_phys.errors import InputError
from cartpole_phys.files import unfinished

RETRIES = 5  # of a shard whose worker or machine was lost
PATIENCE = 5.0  # seconds to reach the cluster
AHEAD = 2  # shards that are asked for, to each processor of the cluster


def cluster_builder(address: str) -> Builder:
    """Builds shards on the cluster at an address, such as ``auto`` for the one that this machine is in.

    A shard whose worker dies is built again elsewhere, with the same rows.

    Raises:
        InputError: if Ray is missing, or there is no such cluster.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError(
            '--ray needs Ray, which is not installed; install it with: pip install "cartpole-phys[ray]"'
        ) from error

    def build_all(plans: Sequence[ShardPlan], folder: Path) -> Iterator[Built]:
        started = not ray.is_initialized()
        if started:
            _connect(address)
        try:
            remote = ray.remote(max_retries=RETRIES, num_cpus=1)(build_away)
            limit = AHEAD * max(int(ray.cluster_resources().get("CPU", 1)), 1)
            waiting: list[ShardPlan] = list(reversed(plans))
            running: dict[Any, ShardPlan] = {}
            while waiting or running:
                while waiting and len(running) < limit:
                    plan = waiting.pop()
                    running[remote.remote(plan)] = plan
                (ready,), _ = ray.wait(list(running), num_returns=1)
                built, content = ray.get(ready)
                yield _keep(built, content, folder / running.pop(ready).file)
                del ready, content  # so that the cluster can forget the file
        finally:
            if started:
                ray.shutdown()

    return build_all


def _connect(address: str) -> None:
    """Join a cluster.

    Raises:
        InputError: if there is none at this address.
    """
    import ray

    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if host:  # Ray itself would wait for minutes
            socket.create_connection((host, int(port)), PATIENCE).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"Expected a Ray cluster at {address!r}, but there is none ({str(error).splitlines()[0]}); "
            "start one with: ray start --head"
        ) from error


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
