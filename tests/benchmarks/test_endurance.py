"""Random steps with random parameters stay finite over the documented ranges."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import endurance
from cartpole_phys.kernels.integrators import INTEGRATORS
from cartpole_phys.physics import DAMPING_LIMIT, RANGES, Params
from cartpole_phys.system import PARAM_NAMES
from cartpole_phys.tasks import TASKS

PAGE = Path(__file__).parents[2] / "docs" / "environment.md"


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("task", TASKS)
def test_random_steps_stay_finite(task: str, integrator: str) -> None:
    result = endurance.endure(task, integrator, steps=200_000, seed=1)
    assert result["not_finite"] == 0
    assert result["episodes"] > 0


def test_diverging_steps_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = endurance.draw_params
    monkeypatch.setattr(endurance, "draw_params", lambda *args: draw(*args) * np.inf)
    with np.errstate(all="ignore"):
        assert endurance.endure("swing_up", "rk4", steps=10_000, seed=1)["not_finite"] > 0


def test_parameters_are_sampled_over_their_ranges() -> None:
    drawn = endurance.draw_params(np.random.default_rng(0), 20_000)
    for row, name in enumerate(PARAM_NAMES[:7]):
        low, high = RANGES[name]
        assert low == drawn[row].min() < drawn[row, 10_000:].min() < low * 1.1 + 0.01 * high or low == 0.0
        assert 0.9 * high < drawn[row, 10_000:].max() < drawn[row].max() == high
        assert np.isin(drawn[row, :5_000], RANGES[name]).all()
        assert abs(np.median(drawn[row, 5_000:10_000]) / (low + high) - 0.5) < 0.02
    assert len(np.unique(drawn[:, :5_000], axis=1).T) == 256
    share = drawn[7] * drawn[5] / (drawn[2] * drawn[3] ** 2)
    assert share.max() <= DAMPING_LIMIT * (1 + 1e-12)
    Params(*drawn[:, 0].tolist())


def test_docs_document_the_ranges() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| [\d.]+ \| ([\d.]+) – ([\d.]+) \|", PAGE.read_text("utf-8"), re.MULTILINE
    )
    assert {name: (float(low), float(high)) for name, low, high in rows} == RANGES
