"""The committed results on energy drift and random pushes are reproduced by the code."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import energy_drift, shoves
from cartpole_phys.kernels.integrators import INTEGRATORS
from cartpole_phys.tasks import TASKS


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_committed_energy_drift_is_reproduced(integrator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy_drift, "INTEGRATORS", [integrator])
    monkeypatch.setattr(energy_drift, "LONG", energy_drift.SHORT)
    rows = json.loads(energy_drift.RESULT.read_text("utf-8"))["rows"]
    committed = {row["start"]: row["short_percent"] for row in rows if row["integrator"] == integrator}
    found = {drift.start: drift.largest(energy_drift.SHORT) for drift in energy_drift.compute()}
    assert found == pytest.approx(committed, rel=1e-6)


def test_committed_push_results_are_reproduced(tmp_path: Path) -> None:
    played = shoves.compute()
    committed = json.loads(shoves.RESULT.read_text("utf-8"))
    result = shoves.summary(played)
    assert shoves.answers(result) == shoves.answers(committed)
    assert result["seeds"] == committed["seeds"]
    shoves.draw(tmp_path / "shoves.png", played, result)
    assert (tmp_path / "shoves.png").stat().st_size > 10_000


def test_episode_endings_are_distinguished() -> None:
    tilted, out = 1.01 * TASKS["balance"].theta_threshold, 1.01 * TASKS["balance"].x_threshold
    assert shoves.ending(np.array([0, 0, -tilted, 0], np.float32)) == shoves.TILT
    assert shoves.ending(np.array([out, 0, 0, 0], np.float32)) == shoves.TRACK
    assert shoves.ending(np.zeros(4, np.float32)) == shoves.TIME


@pytest.mark.parametrize(
    ("value", "text"),
    [(5332.98, "5,333"), (10.0, "10"), (5.249, "5.2"), (3.0, "3"), (0.0001248, "0.00012"), (0.0, "0")],
)
def test_percentages_are_readable(value: float, text: str) -> None:
    assert energy_drift.percent(value) == text
