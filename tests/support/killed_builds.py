"""Build data sets in processes killed at random moments: ``killed_builds.py FOLDER COUNT SEED``.

Each build is a fork of this process, in which everything is imported and compiled already, so that most of
the moments fall into the build itself.
"""

import json
import multiprocessing
import random
import sys
import time
from pathlib import Path
from typing import Any

from cartpole_phys.data.building.build import build_dataset
from cartpole_phys.data.checks.run import FAILED, check

KINDS: list[dict[str, Any]] = [
    {"policy": "heuristic", "tier": "mixed", "steps": 60_000},
    {"policy": "random", "steps": 60_000, "shard_steps": 20_000},
]


def finished(path: Path) -> bool:
    """Whether the final path exists; if so, assert that it passes every gate."""
    final = path / "manifest.json" if path.suffix != ".hdf5" else path
    if final.exists():
        assert all(result.status != FAILED for result in check(path)), path
    for shard in path.glob("shard-*.hdf5"):
        assert all(result.status != FAILED for result in check(shard)), shard
    return final.exists()


def main() -> None:
    """Kill builds, check the remaining files, and finally build to completion."""
    folder, count, rng = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    seconds, paths = [], []
    for kind in KINDS:  # the second time nothing is compiled any more
        build_dataset(**kind, out=folder / "warm")
        begun = time.perf_counter()
        paths.append(folder / build_dataset(**kind, out=folder / "warm", overwrite=True).name)
        seconds.append(time.perf_counter() - begun)
    fork, killed, completed = multiprocessing.get_context("fork"), 0, 0
    for i in range(count):
        which = i % len(KINDS)
        process = fork.Process(
            target=build_dataset, kwargs={**KINDS[which], "out": folder, "overwrite": True}
        )
        process.start()
        process.join(rng.uniform(0.0, 1.1 * seconds[which]))
        killed += process.is_alive()
        process.kill()
        process.join()
        completed += finished(paths[which])
    for kind in KINDS:
        build_dataset(**kind, out=folder, overwrite=True)
    assert all(finished(path) for path in paths)
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    print(json.dumps({"killed": killed, "completed": completed, "left": left}))


if __name__ == "__main__":
    main()
