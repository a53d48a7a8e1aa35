"""Killed builds: every file under a final name passes its check."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = Path(__file__).parents[2] / "support" / "killed_builds.py"


@pytest.mark.parametrize("count", [6, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_at_random_moments(tmp_path: Path, count: int) -> None:
    command = [sys.executable, str(DRIVER), str(tmp_path), str(count), "0"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=1_200)
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["killed"] >= count // 2
    assert not [name for name in told["left"] if name.endswith(".partial")]
