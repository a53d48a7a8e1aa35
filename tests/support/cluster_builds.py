"""Build shards on two Ray nodes, killing a worker and then a node: ``cluster_builds.py FOLDER``."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster

from cartpole_phys.data.building.build import build_dataset

BUILD: dict[str, Any] = {"policy": "heuristic", "tier": "mixed", "steps": 1_200_000, "shard_steps": 100_000}


def workers() -> list[int]:
    """Ids of the processes that are building a shard."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cmdline").read_bytes().startswith(b"ray::build_remote"):
                found.append(int(entry.name))
        except OSError:  # it has ended
            continue
    return found


def wait_for(what: Any, seconds: float = 120.0) -> Any:
    """The first true value of ``what()``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := what():
            return value
        time.sleep(0.005)
    raise TimeoutError


def main() -> None:
    """Build, kill, and print the number of finished shards at each kill."""
    folder = Path(sys.argv[1])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    told: dict[str, Any] = {}
    build = threading.Thread(
        target=lambda: told.update(path=str(build_dataset(**BUILD, out=folder, ray=cluster.address)))
    )
    build.start()
    shards = lambda: list(folder.rglob("shard-*.hdf5"))  # noqa: E731
    wait_for(lambda: len(shards()) >= 2)
    victim = wait_for(workers)[0]
    os.kill(victim, signal.SIGKILL)
    told["shards_when_worker_was_killed"] = len(shards())
    wait_for(lambda: len(shards()) >= told["shards_when_worker_was_killed"] + 3)
    cluster.remove_node(second, allow_graceful=False)
    told["shards_when_node_was_killed"] = len(shards())
    build.join()
    cluster.shutdown()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
