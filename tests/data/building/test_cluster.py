"""Builds on a Ray cluster of two nodes that loses a worker and then a node."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cartpole_phys.data.building.build import build_dataset
from cartpole_phys.data.checks.run import check
from cartpole_phys.data.hdf5.file import Reader
from cartpole_phys.data.shards import MANIFEST, read_manifest
from cartpole_phys.utils.errors import InputError
from tests.support.cluster_builds import BUILD

DRIVER = Path(__file__).parents[2] / "support" / "cluster_builds.py"


def _hashes(folder: Path) -> list[dict[str, str]]:
    hashes = []
    for shard in read_manifest(folder / MANIFEST).shards:
        with Reader(folder / shard.file) as reader:
            hashes.append(reader.header.metadata["sha256"])
    return hashes


def test_hashes_equal_the_local_build(tmp_path: Path) -> None:
    command = [sys.executable, str(DRIVER), str(tmp_path / "cluster")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout.splitlines()[-1])
    count = BUILD["steps"] // BUILD["shard_steps"]
    assert told["shards_when_worker_was_killed"] < told["shards_when_node_was_killed"] < count
    local = build_dataset(**BUILD, out=tmp_path / "local")
    assert len(_hashes(local)) == count
    assert _hashes(Path(told["path"])) == _hashes(local)
    assert {result.status for result in check(told["path"])} <= {"passed", "not applicable"}


def test_an_unreachable_cluster_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Expected a Ray cluster at '127\.0\.0\.1:1'"):
        build_dataset(policy="random", steps=200, shard_steps=100, ray="127.0.0.1:1", out=tmp_path)


def test_ray_requires_shards(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Expected --shard-steps with --ray"):
        build_dataset(policy="random", steps=200, ray="auto", out=tmp_path)
