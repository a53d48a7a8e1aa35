"""Parallel work: tasks on a Ray cluster, and the number of available processors."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from cartpole_phys.utils.errors import InputError, require_extra

RETRIES = 5  # of a task after the loss of its worker or machine
CONNECT_TIMEOUT = 5.0  # s
AHEAD = 2  # submitted tasks per processor of the cluster

Task = TypeVar("Task")
Result = TypeVar("Result")


def spread(
    work: Callable[[Task], Result], tasks: Sequence[Task], address: str
) -> Iterator[tuple[Task, Result]]:
    """Run tasks on a cluster, one processor each, and yield each with its result on completion.

    A task is rerun elsewhere if its worker dies.

    Args:
        work: a function of a module that the cluster's machines can import.
        tasks: submitted in this order.
        address: of the cluster, such as ``auto`` for the cluster of this machine.

    Raises:
        InputError: if Ray is not installed, or there is no such cluster.
    """
    with require_extra("ray"):
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
            del ready  # so that the cluster can free the result
    finally:
        if started:
            ray.shutdown()


def _connect(address: str) -> None:
    """Connect to a cluster.

    Raises:
        InputError: if there is no cluster at this address.
    """
    import ray

    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if host:  # Ray itself would wait for minutes
            socket.create_connection((host, int(port)), CONNECT_TIMEOUT).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"Expected a Ray cluster at {address!r}, but there is none ({str(error).splitlines()[0]}); "
            "start one with: ray start --head"
        ) from error


def processors() -> int:
    """The number of processors available to this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
