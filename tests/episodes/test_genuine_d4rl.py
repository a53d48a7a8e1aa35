"""Files in the layouts of D4RL's own data sets: every entry point agrees with D4RL's functions."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cartpole_phys import check, qlearning_dataset, sequence_dataset
from cartpole_phys.data.checks.run import FAILED
from cartpole_phys.data.exports.export import export
from cartpole_phys.data.hdf5.file import read
from cartpole_phys.data.hdf5.file import write as write_own
from cartpole_phys.data.loading import load_file, load_whole
from cartpole_phys.data.report.show import show
from cartpole_phys.episodes import CUT, Episodes
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.progress import Silent
from tests.support.flat_data import transitions_row_by_row
from tests.support.genuine_d4rl import (
    LAYOUTS,
    ROWS,
    Arrays,
    adroit_human,
    columns,
    kitchen,
    maze2d,
    mujoco,
    without_timeouts,
    write,
)

by_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


def _flat(arrays: Arrays) -> Arrays:
    """Arrays as D4RL's ``get_dataset`` returns them; timeouts are False where a file has none."""
    flags: Arrays = {
        name: arrays[name].reshape(ROWS) for name in ("rewards", "terminals", "timeouts") if name in arrays
    }
    return {**arrays, "timeouts": np.zeros(ROWS, np.bool_), **flags}


@pytest.mark.parametrize(
    "layout", [maze2d, adroit_human, LAYOUTS["antmaze"], LAYOUTS["adroit_cloned"], kitchen]
)
def test_transitions_are_those_of_d4rls_own_function(layout: Callable[[], Arrays], tmp_path: Path) -> None:
    expected = transitions_row_by_row(_flat(layout()), keep_timeouts=False)
    data = load_file(write(tmp_path / "set.hdf5", layout()))
    for got in (qlearning_dataset(data), qlearning_dataset(layout())):
        for name, array in expected.items():
            assert got[name].dtype == array.dtype
            np.testing.assert_array_equal(got[name][: len(array)], array, err_msg=name)
        # Only terminal rows are kept without a next row: their next value is never bootstrapped.
        assert got["terminals"][len(expected["rewards"]) :].all()


@by_layout
def test_no_gate_fails(layout: Callable[[], Arrays], tmp_path: Path) -> None:
    results = check(write(tmp_path / "set.hdf5", layout()))
    assert [result for result in results if result.status == FAILED] == []


@by_layout
def test_every_entry_point_reads_them(layout: Callable[[], Arrays], tmp_path: Path) -> None:
    path = write(tmp_path / "set.hdf5", layout())
    data = load_file(path)
    shown = show(path, Silent())
    assert shown.statistics.steps == data.steps
    assert "set.hdf5" in shown.html()
    for form in ("parquet", "pickle", "ogbench"):
        assert export(path, form, tmp_path).transitions == data.steps
    again = load_whole(tmp_path / "set.pkl")
    np.testing.assert_array_equal(again.returns, data.returns)
    rows = sum(len(episode["rewards"]) for episode in sequence_dataset(layout()))
    assert rows == ROWS


def test_rows_without_a_next_observation_are_dropped(tmp_path: Path) -> None:
    arrays = maze2d()
    data = load_file(write(tmp_path / "set.hdf5", arrays))
    # Episodes of 10, 1, 30 and 19 rows become episodes of 9, 0, 29 and 18 rows.
    assert data.lengths.tolist() == [9, 29, 18]
    np.testing.assert_array_equal(data[0].final_observation, arrays["observations"][9])
    np.testing.assert_array_equal(data[1].observations, arrays["observations"][11:40])
    np.testing.assert_array_equal(data[2].final_observation, arrays["observations"][-1])
    assert [episode.truncated for episode in data] == [True] * 3
    assert list(data.complete) == [True, True, False]  # the file ends within the last
    np.testing.assert_array_equal(data.infos["goal"][9:], arrays["infos/goal"][11:59][np.r_[0:29, 30:48]])


def test_a_cut_is_kept_where_its_row_is_dropped() -> None:
    cut = np.zeros(ROWS, np.bool_)
    cut[40] = True
    data = Episodes.from_d4rl({**maze2d(), f"infos/{CUT}": cut})
    assert list(data.complete) == [True, False, False]


def test_terminals_alone_end_episodes_where_there_are_no_timeouts(tmp_path: Path) -> None:
    data = load_file(write(tmp_path / "set.hdf5", kitchen()))
    assert data.lengths.tolist() == [20, 20, 20]
    assert [episode.terminated for episode in data] == [True] * 3


def test_timeouts_are_inferred_from_next_observations(tmp_path: Path) -> None:
    arrays = without_timeouts()
    data = load_file(write(tmp_path / "set.hdf5", arrays))
    assert np.cumsum(data.lengths).tolist() == [18, 42, ROWS]
    np.testing.assert_array_equal(data.next_observations, arrays["next_observations"])


def test_columns_are_flattened(tmp_path: Path) -> None:
    plain, column = (load_file(write(tmp_path / "set.hdf5", make())) for make in (mujoco, columns))
    for name, array in plain.as_d4rl().items():
        np.testing.assert_array_equal(column.as_d4rl()[name], array)
        assert column.as_d4rl()[name].dtype == array.dtype


@pytest.mark.parametrize("value", [0.5, 2, -1, np.nan])
@pytest.mark.parametrize("name", ["terminals", "timeouts", f"infos/{CUT}"])
def test_flags_are_0_or_1(name: str, value: float, tmp_path: Path) -> None:
    flags = np.zeros(ROWS)
    flags[7] = value
    path = write(tmp_path / "set.hdf5", {**mujoco(), name: flags})
    for look in (load_file, check):
        with pytest.raises(InputError, match=f"Expected {name} to be 0 or 1"):
            look(path)


def test_a_float_cut_array_fails_its_gates(medium_file: Path, tmp_path: Path) -> None:
    contents = read(medium_file)
    cuts = contents.arrays[f"infos/{CUT}"].astype(np.float32)
    path = tmp_path / "set.hdf5"
    write_own(path, replace(contents, arrays={**contents.arrays, f"infos/{CUT}": cuts}))
    assert {result.gate for result in check(path) if result.status == FAILED} == {"schema", "metadata"}


def test_a_model_trains_on_a_d4rl_file(tmp_path: Path) -> None:
    from dt.models.recipes import recipe
    from dt.training.loop import train

    arrays: dict[str, Any] = {
        **maze2d(),
        "observations": maze2d()["observations"][:, :3],
        "actions": maze2d()["actions"][:, :1],
    }
    path = write(tmp_path / "set.hdf5", arrays, env_id="Pendulum-v1")
    data = load_file(path)
    assert train(data, recipe("decision", "tiny", 2, 0), tmp_path / "model").step == 2


def test_a_file_with_a_recipe_must_hold_its_own_layout(tmp_path: Path) -> None:
    path = write(tmp_path / "set.hdf5", maze2d(), schema_version=1, recipe="{}")
    with pytest.raises(InputError, match="'next_observations' is missing"):
        load_file(path)
    assert "schema" in {result.gate for result in check(path) if result.status == FAILED}
