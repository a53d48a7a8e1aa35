"""The results page in a real browser: complete, self-contained, and fitting the screen."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from benchmarks.page import DOCS, DOCUMENTS, page, write
from cartpole_phys.utils.errors import InputError
from tests.support.browser import DESKTOP, PHONE, chromium, set_size

PICTURE = re.compile(r"!\[([^\]]*)\]")


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    """Headless Chromium without network access."""
    with chromium() as chrome:
        chrome.set_network_conditions(offline=True, latency=0, throughput=0)
        yield chrome


def _documents() -> str:
    return "".join((DOCS / f"{study}.md").read_text("utf-8") for study in DOCUMENTS)


@pytest.mark.clients
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_all_tables_and_figures_are_visible(
    driver: webdriver.Chrome, tmp_path: Path, size: tuple[int, int]
) -> None:
    (tmp_path / "results.html").write_text(page(), "utf-8")
    set_size(driver, size)
    driver.get((tmp_path / "results.html").as_uri())
    shown = driver.execute_script("return [...document.images].map(one => [one.alt, one.naturalWidth])")
    assert [name for name, _ in shown] == PICTURE.findall(_documents())
    assert all(width > 0 for _, width in shown)
    tables = driver.find_elements(By.TAG_NAME, "table")
    assert len(tables) == len(re.findall(r"^\|[-:| ]+\|$", _documents(), re.MULTILINE))
    widths = driver.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert max(widths) == size[0]
    assert driver.get_log("browser") == []


@pytest.mark.clients
def test_links_of_the_results_page_have_targets(driver: webdriver.Chrome, tmp_path: Path) -> None:
    (tmp_path / "results.html").write_text(page(), "utf-8")
    driver.get((tmp_path / "results.html").as_uri())
    links = [link.get_attribute("href") or "" for link in driver.find_elements(By.CSS_SELECTOR, "a[href]")]
    within = [link.partition("#")[2] for link in links if link.startswith("file:")]
    assert set(within) > set(DOCUMENTS)
    assert "scores-reproducing-and-extending" in within
    assert all(link.startswith("https:") for link in links if not link.startswith("file:"))
    assert all(driver.find_elements(By.ID, name) for name in within)


def test_page_is_self_contained_and_contains_every_study() -> None:
    text = page()
    assert not re.findall(r'(?:src|href)="(?!#|data:|https://[^"]+">)', text)
    assert "<script" not in text
    for study in DOCUMENTS:
        assert f'<section id="{study}">' in text


@pytest.mark.parametrize(
    ("study", "commands"),
    [
        ("scores", ("make scores", "make robustness", "python -m benchmarks.cost")),
        ("attention", ("python -m benchmarks.attention",)),
        ("halfcheetah", ("python -m benchmarks.halfcheetah",)),
        ("pendulum", ("python -m benchmarks.pendulum",)),
        ("models", ("make bench",)),
        ("datasets", ("make bench",)),
        ("environment", ("make bench",)),
    ],
)
def test_every_study_has_its_reproduction_commands(study: str, commands: tuple[str, ...]) -> None:
    section = page().partition(f'<section id="{study}">')[2].partition("</section>")[0]
    assert [command for command in commands if f"<code>{command}" not in section] == []


def test_files_of_other_kinds_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "set.hdf5").write_text("rows")
    with pytest.raises(InputError, match=r"Expected --out with a name that ends in \.html"):
        write(tmp_path / "set.hdf5")
    assert (tmp_path / "set.hdf5").read_text() == "rows"
