"""A build under a released name says whether its rows are the released ones."""

from pathlib import Path

import pytest

from cartpole_phys import build_dataset
from cartpole_phys.data.storage.d4rl import read_header


@pytest.mark.xfail(strict=True, raises=AssertionError, reason="no build is compared with the release")
def test_a_build_says_whether_its_rows_are_the_released_ones(tmp_path: Path) -> None:
    path = build_dataset(policy="ppo", tier="medium-replay", out=tmp_path)
    assert "release" in read_header(path).metadata
