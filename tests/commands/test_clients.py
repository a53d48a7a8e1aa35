"""Comparison with D4RL's own code on the same data; ``make test-clients`` installs it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.speeds.transitions import D4RL_PYTHON, d4rl, differences
from cartpole_phys import build_dataset, qlearning_dataset
from cartpole_phys.data.loading import load_file
from tests.support.flat_data import KINDS, flat_data
from tests.support.genuine_d4rl import Arrays, adroit_cloned, adroit_human, antmaze, maze2d, write

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
def test_d4rl_functions_return_the_same_arrays(
    tmp_path: Path, kind: str, function: str, arguments: dict[str, Any]
) -> None:
    arrays = flat_data(kind, steps=2_000)
    with d4rl(function, arrays, tmp_path, **arguments) as child:
        child.ask()
    with np.load(tmp_path / "result.npz") as theirs:
        assert "rewards" in theirs or kind == "no flags"
    assert differences(function, arrays, tmp_path, **arguments) == []


@pytest.mark.parametrize("layout", [maze2d, antmaze, adroit_human, adroit_cloned])
def test_d4rl_files_load_as_in_d4rl(tmp_path: Path, layout: Callable[[], Arrays]) -> None:
    arrays = {name: array for name, array in layout().items() if array.ndim}
    with d4rl("qlearning_dataset", arrays, tmp_path) as child:
        child.ask()
    ours = qlearning_dataset(load_file(write(tmp_path / "set.hdf5", layout())))
    with np.load(tmp_path / "result.npz") as theirs:
        assert set(theirs) == set(ours)
        for name, array in ours.items():
            assert theirs[name].dtype == array.dtype
            np.testing.assert_array_equal(theirs[name], array, err_msg=name)


@pytest.mark.parametrize("v2", [False, True])
def test_d4rl_reads_the_file_itself(tmp_path: Path, v2: bool) -> None:
    env_id = "PhysCartPoleDiscrete-v0"
    path = build_dataset(env_id, "heuristic", "weak", steps=2_000, d4rl_v2_metadata=v2, out=tmp_path)
    script = str(Path(__file__).parents[1] / "support" / "d4rl_reader.py")
    command = [str(D4RL_PYTHON), "-I", "-W", "ignore", script, str(path)]
    output = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    data = load_file(path)
    found = json.loads(output.splitlines()[-1])
    assert found.pop("rows") == data.steps
    assert (
        found.pop("transitions") == data.steps - int(data.truncations[:-1].sum()) - 1
    )  # D4RL also drops the last row
    # D4RL fails on groups (IndexError), so attributes are the default.
    assert found == ({"error": "IndexError"} if v2 else {"episodes": len(data)})


def test_comparison_detects_differences(tmp_path: Path) -> None:
    arrays = flat_data("overlapping flags")
    with d4rl("qlearning_dataset", arrays, tmp_path) as child:
        child.ask()
    arrays["timeouts"][5] ^= True
    arrays["terminals"][:] = False
    assert "terminals" in differences("qlearning_dataset", arrays, tmp_path)
