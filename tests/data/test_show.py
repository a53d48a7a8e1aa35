"""Reports of data sets match their contents."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from cartpole_phys import build_dataset
from cartpole_phys.data.loading import load_file
from cartpole_phys.data.report.page import _selected_episodes
from cartpole_phys.data.report.statistics import Column, coverage, histogram, statistics_of
from cartpole_phys.utils.errors import printable
from tests.support.commands import Command

FILES = ("medium_file", "discrete_file", "varied_file", "random_file", "mixed_file")


@pytest.mark.parametrize("name", FILES)
def test_statistics_cover_all_rows_and_episodes(name: str, request: pytest.FixtureRequest) -> None:
    data = load_file(request.getfixturevalue(name))
    found = statistics_of(data)
    assert (found.steps, found.episodes) == (data.steps, len(data))
    assert found.returns.counts.sum() == found.lengths.counts.sum() == len(data)
    assert all(actions.counts.sum() == data.steps for actions in found.actions)
    assert all(covered.counts.sum() == data.steps for covered in found.coverage)
    assert found.mean_return == data.returns[data.complete].mean()
    assert [column.name for column in found.columns] == ["x", "ẋ", "θ", "θ̇"]
    np.testing.assert_array_equal(found.columns[2].values, data.infos["qpos"][:, 1])
    assert found.columns[0].quantiles == sorted(found.columns[0].quantiles)


def test_reports_rank_and_score_eligible_episodes(medium_file: Path, tmp_path: Path) -> None:
    data = load_file(medium_file)
    assert not data.complete.all()
    assert data.complete[_selected_episodes(data)].all()
    short = load_file(build_dataset(policy="random", steps=5, out=tmp_path))
    assert not short.complete.any()
    assert statistics_of(short).mean_return == short.returns.mean()
    assert _selected_episodes(short) == [0]


def test_histograms_span_the_values() -> None:
    values = np.array([3.0, 4.0, 4.5, 7.0])
    found = histogram("return", "", values, bins=4)
    assert (found.edges[0], found.edges[-1]) == (3.0, 7.0)
    assert found.counts.tolist() == [1, 2, 0, 1]
    assert histogram("action", "", np.array([0, 1, 1])).counts.tolist() == [1, 2]
    assert histogram("length", "steps", np.array([5, 5])).counts.tolist() == [0, 0, 2, 0, 0]


def test_coverage_counts_cells() -> None:
    grid = np.linspace(0.0, 1.0, 400)
    x, y = (values.ravel() for values in np.meshgrid(grid, grid))
    assert coverage(Column("x", "m", x), Column("y", "m", y)).fraction == 1.0
    line = coverage(Column("x", "m", grid), Column("y", "m", grid))
    assert line.fraction == pytest.approx(1 / len(line.counts))


def test_other_environments_have_numbered_observations(tmp_path: Path) -> None:
    path = build_dataset("MountainCarContinuous-v0", "random", steps=1_000, score_episodes=10, out=tmp_path)
    assert [column.name for column in statistics_of(load_file(path)).columns] == [
        "observation 0",
        "observation 1",
    ]


def _show(path: Path) -> str:
    command = [
        sys.executable,
        "-c",
        "from cartpole_phys.cli import main; main()",
        "show",
        str(path),
        "--quiet",
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_the_terminal_report_shows_the_statistics(medium_file: Path) -> None:
    told, data = _show(medium_file), load_file(medium_file)
    assert told.startswith("physcartpole-heuristic-medium-steps5000-v0")
    assert f"5,000 transitions in {len(data)} episodes" in told
    assert f"mean return {data.returns[data.complete].mean():.1f}" in told
    for word in ("θ̇ (rad/s)", "coverage", "✓ replay", "build-dataset --policy heuristic", "█"):
        assert word in told


def test_a_page_does_not_overwrite_a_data_set(medium_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "set.hdf5"
    file.write_bytes(medium_file.read_bytes())
    code, output, errors = Command("cartpole_phys.cli", "show", file, "--html", file).finish()
    assert (code, output) == (2, "")
    assert errors.startswith("error: Expected --html with a name that ends in .html, got")
    assert file.read_bytes() == medium_file.read_bytes()


def test_shards_and_untrusted_files_are_shown(tmp_path: Path) -> None:
    folder = build_dataset(policy="random", steps=300, shard_steps=100, out=tmp_path)
    assert "300 transitions" in _show(folder)
    path = tmp_path / "foreign.hdf5"
    with h5py.File(path, "w") as file:
        for name in ("observations", "next_observations"):
            file[name] = np.zeros((4, 3), np.float32)
        file["actions"], file["rewards"] = np.zeros((4, 2), np.float32), np.ones(4, np.float32)
        file["terminals"], file["timeouts"] = np.eye(4, dtype=bool)[3], np.zeros(4, bool)
        file.attrs["env_id"] = "Ev\x1b[31mil-v0 [bold]"
        file.attrs["parts"] = json.dumps([{"kind": "\x07"}])
    told = _show(path)
    assert "normalized score unknown" in told
    assert "Ev\ufffd[31mil-v0 [bold]" in told
    assert "\x1b" not in told


def test_terminal_reports_escape_control_characters() -> None:
    assert printable("a\x1b[2J\r\nθ̇") == "a\ufffd[2J\ufffd\ufffdθ̇"
