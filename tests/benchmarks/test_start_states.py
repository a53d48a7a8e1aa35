"""Start states of studies: shared between models and behavior policies, and paired comparisons."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.studies import behaviors
from benchmarks.studies.cell import Cell, data_path, measure, write
from benchmarks.studies.report import PROTOCOL as PENDULUM
from benchmarks.studies.statistics import difference, interquartile_mean, paired_difference
from benchmarks.studies.summary import Summary
from benchmarks.studies.tables import interval
from cartpole_phys.data.building.build import build_dataset
from cartpole_phys.utils.errors import InputError
from tests.benchmarks.test_studies import PROTOCOL, WEAK, _method

IDLE = _method("bc", scaling={"action_reach": (1e-9,)})  # its returns depend on the start states alone
SHARED = replace(PROTOCOL, shared_starts=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("data")
    build_dataset(policy=WEAK.policy, tier=WEAK.tier, steps=WEAK.steps, out=made)
    assert data_path(WEAK, made).exists()
    return made


def test_pendulum_seeds_share_their_start_states() -> None:
    assert len({PENDULUM.evaluation_seed(seed) for seed in range(PENDULUM.seeds)}) == 1


def test_all_seeds_and_behaviors_use_the_shared_start_states(folder: Path) -> None:
    first, second = (measure(Cell(WEAK, IDLE, seed), SHARED, folder) for seed in range(2))
    assert first["evaluation_seed"] == second["evaluation_seed"]
    assert first["played"] == second["played"]
    own = measure(Cell(WEAK, IDLE, 1), PROTOCOL, folder)
    assert own["played"] != second["played"]
    parts = behaviors.measure(WEAK, SHARED, folder)["parts"]
    assert {np.shape(part["returns"]) for part in parts} == {(1, SHARED.episodes)}


def test_results_of_other_start_states_are_rejected(folder: Path, tmp_path: Path) -> None:
    cell = Cell(WEAK, IDLE, 1)
    write(measure(cell, PROTOCOL, folder), cell.path(tmp_path))
    Summary([cell], tmp_path).check_protocol(PROTOCOL)
    with pytest.raises(InputError, match="start states of seed 1000, got those of 1001; delete its file"):
        Summary([cell], tmp_path).check_protocol(SHARED)


def test_behaviors_on_other_start_states_are_rejected(folder: Path, tmp_path: Path) -> None:
    """Otherwise a study resumed after a protocol change would compare models with them."""
    cell, acted = Cell(WEAK, IDLE, 0), behaviors.path(WEAK, tmp_path)
    write(behaviors.measure(WEAK, PROTOCOL, folder), acted)
    Summary([cell], tmp_path).check_protocol(PROTOCOL)
    with pytest.raises(InputError, match=r"behavior policies .* 1 set of 4 episodes, got 2 of 4; delete"):
        Summary([cell], tmp_path).check_protocol(SHARED)
    with pytest.raises(InputError, match=r"behavior policies .* 2 sets of 5 episodes, got 2 of 4; delete"):
        Summary([cell], tmp_path).check_protocol(replace(PROTOCOL, episodes=5))


def test_paired_differences_do_not_measure_start_states() -> None:
    generator = np.random.default_rng(0)
    starts = generator.normal(0, 50, (5, 1))  # offset of each pair's start states, common to both
    scores, others = (starts + generator.normal(mean, 1, (5, 1)) for mean in (10, 0))
    paired, apart = paired_difference(scores, others), difference(scores, others)
    assert paired.above
    assert not apart.above
    assert paired.high - paired.low < 5 < apart.high - apart.low


def test_intervals_of_zero_width_are_omitted() -> None:
    agreed = interquartile_mean(np.full((5, 1), 0.375))
    assert interval(agreed, 2) == "0.38"
    assert interval((0.375, 0.33, 0.41), 2) == "0.38 (0.33 – 0.41)"
