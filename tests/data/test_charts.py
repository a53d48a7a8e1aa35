"""Charts of a data set's page: bar positions and text that fits."""

import re
from pathlib import Path

import numpy as np
import pytest

from cartpole_phys.data.building.build import build_dataset
from cartpole_phys.data.report.charts import LEFT, RIGHT, WIDTH, Axes, histogram_chart, score_chart
from cartpole_phys.data.report.show import show, write_page
from cartpole_phys.data.report.statistics import histogram
from cartpole_phys.utils.progress import Silent
from tests.support.browser import DESKTOP, PHONE, chromium, set_size

INSIDE = WIDTH - LEFT - RIGHT
CHARACTER = 6.5  # approximate width in the chart's units


def test_a_constant_is_a_bar_among_empty_ones() -> None:
    for values in (np.array([500, 500]), np.array([0]), np.array([7.25, 7.25]), np.array([1e300])):
        drawn = histogram_chart(histogram("length", "steps", values), "episodes")
        found = re.findall(r'class="bar"[^>]* width="([\d.]+)" height="([\d.]+)"', drawn)
        widths, heights = np.array(found, dtype=np.float64).T
        (place,) = np.flatnonzero(heights)
        assert 0 < place < len(heights) - 1
        assert widths[place] < INSIDE / 4


def test_bars_of_integers_are_centered_on_them() -> None:
    for values in ([0, 1, 1], [5, 5], [3, 4, 9], [-2, 0]):
        found = histogram("action", "", np.array(values))
        axes = Axes(found.edges.tolist(), [0.0, 1.0], "", "")
        centers = (found.edges[1:] + found.edges[:-1]) / 2
        np.testing.assert_allclose(centers, np.round(centers), atol=1e-9)
        for value in set(values):
            assert found.counts[np.isclose(centers, value)].tolist() == [values.count(value)]
        assert LEFT < axes.x(min(values)) <= axes.x(max(values)) < WIDTH - RIGHT


def _text_ends(svg: str) -> list[tuple[float, float]]:
    """Horizontal extents of texts, by the approximate character width."""
    found = re.findall(r'<text class="([^"]*)" x="([\d.-]+)"[^>]*>([^<]*)</text>', svg)
    ends = []
    for kind, x, text in found:
        share = 0.0 if "begin" in kind else 1.0 if "up" in kind else 0.5  # fraction of the text left of x
        ends.append(
            (float(x) - share * CHARACTER * len(text), float(x) + (1 - share) * CHARACTER * len(text))
        )
    return ends


def test_labels_of_scores_stay_in_the_chart() -> None:
    bands = [("random", -5.0, 5.0), ("weak", 10.0, 30.0), ("medium", 40.0, 60.0), ("expert", 95.0, 110.0)]
    for score in (-80.0, 0.0, 50.0, 99.0, 100.4, 180.0):
        drawn = score_chart([("medium-expert", score, score - 0.1, score + 0.1)], bands)
        assert all(begin >= 0 and end <= WIDTH for begin, end in _text_ends(drawn))


def test_a_page_without_a_player_gives_the_reason(tmp_path: Path) -> None:
    path = build_dataset("Pendulum-v1", "random", steps=200, out=tmp_path, jobs=1, score_episodes=60)
    text = show(path, Silent()).html()
    assert (
        "Not available: the player needs the states, actions and pushes of every step of PhysCartPole" in text
    )
    assert "Pendulum-v1" in text.partition("Not available")[2].partition("</p>")[0]


@pytest.mark.clients
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_no_text_is_cut_off_in_a_browser(size: tuple[int, int], mixed_file: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_page(show(mixed_file, Silent()), page)
    outside = """return [...document.querySelectorAll('svg')].flatMap(chart => {
        const frame = chart.getBoundingClientRect();
        return [...chart.querySelectorAll('text')].filter(text => {
            const own = text.getBoundingClientRect();
            return own.left < frame.left - 1 || own.right > frame.right + 1;
        }).map(text => text.textContent)})"""
    with chromium() as driver:
        set_size(driver, size)
        driver.get(page.as_uri())
        assert driver.execute_script(outside) == []
