"""Work spread over a Ray cluster."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from cartpole_phys.utils.errors import InputError, needing

RETRIES = 5  # of a task whose worker or machine was lost
PATIENCE = 5.0  # seconds to reach the cluster
AHEAD = 2  # tasks that are asked for, to each processor of the cluster

Task = TypeVar("Task")
Result = TypeVar("Result")


def spread(
    work: Callable[[Task], Result], tasks: Sequence[Task], address: str
) -> Iterator[tuple[Task, Result]]:
    """Every task with its result, as they are finished, each on one processor of a cluster.

    A task whose worker dies is done again elsewhere.

    Args:
        work: a function of a module that the cluster's machines can import.
        tasks: begun in this order.
        address: of the cluster, such as ``auto`` for the one that this machine is in.

    Raises:
        InputError: if Ray is missing, or there is no such cluster.
    """
    with needing("ray"):
        import ray

    started = not ray.is_initialized()
    if started:
        _connect(address)
    try:
        remote = ray.remote(max_retries=RETRIES, num_cpus=1)(work)
        limit = AHEAD * max(int(ray.cluster_resources().get("CPU", 1)), 1)
        waiting: list[Task] = list(reversed(tasks))
        running: dict[Any, Task] = {}
        while waiting or running:
            while waiting and len(running) < limit:
                task = waiting.pop()
                running[remote.remote(task)] = task
            (ready,), _ = ray.wait(list(running), num_returns=1)
            task = running.pop(ready)
            yield task, ray.get(ready)
            del ready  # so that the cluster can forget the result
    finally:
        if started:
            ray.shutdown()


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


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
