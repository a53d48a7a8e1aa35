"""Other projects' own code and ours, on the same data; ``make test-clients`` installs theirs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flat_data import KINDS, flat_data

from benchmarks.transitions import d4rl, differences

pytestmark = pytest.mark.clients


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("qlearning_dataset", {"terminate_on_end": False}),
        ("qlearning_dataset", {"terminate_on_end": True}),
        ("sequence_dataset", {}),
    ],
)
def test_d4rl_returns_the_same(tmp_path: Path, kind: str, function: str, arguments: dict[str, Any]) -> None:
    arrays = flat_data(kind, steps=2_000)
    with d4rl(function, arrays, tmp_path, **arguments) as child:
        child.ask()
    with np.load(tmp_path / "result.npz") as theirs:
        assert "rewards" in theirs or kind == "no flags"
    assert differences(function, arrays, tmp_path, **arguments) == []


def test_difference_is_seen(tmp_path: Path) -> None:
    arrays = flat_data("overlapping flags")
    with d4rl("qlearning_dataset", arrays, tmp_path) as child:
        child.ask()
    arrays["timeouts"][5] ^= True
    arrays["terminals"][:] = False
    assert "terminals" in differences("qlearning_dataset", arrays, tmp_path)
