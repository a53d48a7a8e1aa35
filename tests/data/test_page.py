"""The page of a data set in a real browser: player, layout, dark mode, escaping."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from cartpole_phys.data.loading import load_file
from cartpole_phys.data.report.charts import HEIGHT, LEFT, WIDTH, Axes, _ticks
from cartpole_phys.data.report.show import show, write_page
from cartpole_phys.utils.progress import Silent
from tests.support.browser import DESKTOP, PHONE, chromium, set_size

browser = pytest.mark.clients


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    """Headless Chromium."""
    with chromium() as chrome:
        yield chrome


@pytest.fixture(scope="module")
def varied_page(varied_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a set with pushes."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(show(varied_file, Silent()), path)
    return path


def _open(driver: webdriver.Chrome, page: Path, size: tuple[int, int] = DESKTOP, dark: bool = False) -> None:
    set_size(driver, size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    driver.get_log("browser")  # clear the messages of earlier pages
    driver.get(page.as_uri())


def _told(driver: webdriver.Chrome) -> list[float]:
    """Step, last step, x, θ, force and push shown on the page."""
    text = driver.find_element(By.ID, "status").text
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text)]


def _canvas_image(driver: webdriver.Chrome) -> str:
    return str(driver.execute_script("return document.getElementById('stage').toDataURL()"))


@browser
def test_the_player_plays_to_the_end_and_pauses(driver: webdriver.Chrome, varied_page: Path) -> None:
    _open(driver, varied_page)
    button, before = driver.find_element(By.ID, "play"), _canvas_image(driver)
    button.click()
    assert button.text == "Pause"
    WebDriverWait(driver, 20).until(lambda _: button.text == "Play")
    step, last, *_ = _told(driver)
    assert step == last > 0
    assert _canvas_image(driver) != before
    button.send_keys(Keys.SPACE)  # restart with the keyboard
    button.send_keys(Keys.SPACE)
    assert button.text == "Play"
    assert driver.get_log("browser") == []


@browser
def test_scrubbing_shows_what_is_in_the_file(
    driver: webdriver.Chrome, varied_page: Path, varied_file: Path
) -> None:
    _open(driver, varied_page)
    data = load_file(varied_file)
    choice, slider = Select(driver.find_element(By.ID, "episode")), driver.find_element(By.ID, "step")
    eligible = np.flatnonzero(data.eligible)
    assert len(choice.options) == len(eligible)
    best = int(eligible[np.argmax(data.returns[eligible])])
    choice.select_by_index(len(choice.options) - 1)
    assert choice.first_selected_option.text == f"episode {best}: return {data.returns[best]:.4g}"
    for _ in range(7):
        slider.send_keys(Keys.ARROW_RIGHT)
    row = int(data.offsets[best]) + 7
    step, last, x, theta, force, push = _told(driver)
    assert (step, last) == (7, data.lengths[best] - 1)
    np.testing.assert_allclose([x, theta], data.infos["qpos"][row], atol=0.006)
    assert force == pytest.approx(10.0 * data.actions[row, 0], abs=0.06)
    assert push == pytest.approx(data.infos["push"][row], abs=0.06)
    assert driver.get_log("browser") == []


@browser
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_page_fits_the_width(driver: webdriver.Chrome, varied_page: Path, size: tuple[int, int]) -> None:
    _open(driver, varied_page, size)
    widths = "return [document.documentElement.scrollWidth, window.innerWidth]"
    content, window = driver.execute_script(widths)
    assert window == size[0]
    assert content <= window


@browser
def test_the_page_supports_dark_mode(driver: webdriver.Chrome, varied_page: Path) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    _open(driver, varied_page)
    light, picture = driver.execute_script(ground), _canvas_image(driver)
    _open(driver, varied_page, dark=True)
    assert driver.execute_script(ground) != light
    assert _canvas_image(driver) != picture


@browser
def test_the_page_loads_no_other_resources(driver: webdriver.Chrome, varied_page: Path) -> None:
    _open(driver, varied_page)
    assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0


@browser
def test_every_control_has_a_label_and_keyboard_access(driver: webdriver.Chrome, varied_page: Path) -> None:
    _open(driver, varied_page)
    named = []
    for _ in range(3):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        named.append(driver.switch_to.active_element.accessible_name)
    assert named == ["Play", "Step", "Episode"]


HOSTILE = "</script><script>window.ran = true</script><img src=x onerror='window.ran = true'>"


def _hostile(file: Path, path: Path) -> Path:
    """Write a copy of a file with malicious metadata."""
    path.write_bytes(file.read_bytes())
    with h5py.File(path, "r+") as copy:
        copy.attrs["dataset_name"] = copy.attrs["command"] = copy.attrs["algorithm"] = HOSTILE
        copy.attrs["versions"] = json.dumps({HOSTILE: HOSTILE})
        parts = json.loads(copy.attrs["parts"])
        copy.attrs["parts"] = json.dumps([{**part, "tier": HOSTILE} for part in parts])
    return path


@browser
def test_text_from_a_file_never_runs(driver: webdriver.Chrome, varied_file: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_page(show(_hostile(varied_file, tmp_path / "hostile.hdf5"), Silent()), page)
    _open(driver, page)
    assert driver.find_element(By.TAG_NAME, "h1").text == HOSTILE
    assert driver.execute_script("return window.ran") is None
    assert _told(driver)  # the player still works


def test_text_from_a_file_is_escaped(varied_file: Path, tmp_path: Path) -> None:
    text = show(_hostile(varied_file, tmp_path / "hostile.hdf5"), Silent()).html()
    assert HOSTILE not in text
    assert text.count("<script") == text.count("</script>") == 2


@pytest.mark.parametrize("name", ["medium_file", "discrete_file", "mixed_file"])
def test_every_kind_has_a_page(name: str, request: pytest.FixtureRequest) -> None:
    text = show(request.getfixturevalue(name), Silent()).html()
    found = re.search(r'id="episodes">(.*?)</script>', text, re.DOTALL)
    assert found
    embedded: Any = json.loads(found[1])
    assert sum(episode["steps"] for episode in embedded["episodes"]) <= 100_000
    assert text.count("<svg") >= 6
    assert "http" not in re.sub(r"<table>.*", "", text, flags=re.DOTALL)


def test_ticks_are_round() -> None:
    assert _ticks(0.0, 827.0) == [0.0, 200.0, 400.0, 600.0, 800.0]
    np.testing.assert_allclose(_ticks(-0.998, 0.998), [-0.5, 0.0, 0.5])
    assert _ticks(3.0, 3.0) == [3.0]
    assert _ticks(0.0, 5e-324) == [0.0]
    assert _ticks(-1.7e308, 1.7e308) == [-1e308, 0.0, 1e308]


@pytest.mark.parametrize("end", [5e-324, 1.0, 1.7e308])
def test_all_of_any_axis_is_within_its_frame(end: float) -> None:
    axes = Axes([-end, end], [-end, end], "across", "up")
    assert LEFT <= axes.x(-end) <= axes.x(0.0) <= axes.x(end) <= WIDTH
    assert 0 <= axes.y(end) <= axes.y(0.0) <= axes.y(-end) <= HEIGHT
    assert "inf" not in "".join(axes.frame())
