"""README and the documentation show what was measured, and their commands exist."""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.readme import (
    ATTENTION,
    CATALOGUE,
    DATASETS,
    ENVIRONMENT,
    HALFCHEETAH,
    MODELS,
    PENDULUM,
    README,
    ROOT,
    SCORES,
    render,
    updated,
    verdict,
)
from cartpole_phys.data.recipe import released_recipes
from cartpole_phys.utils.errors import InputError
from tests.support.readme import examples

PAGES = [README, ENVIRONMENT, DATASETS, MODELS]
WRITTEN = [*PAGES, SCORES, PENDULUM, ATTENTION, HALFCHEETAH, CATALOGUE]
ILLUSTRATED = [README, ENVIRONMENT, SCORES, PENDULUM, ATTENTION]


@pytest.fixture(scope="module")
def written() -> dict[Path, str]:
    """All pages, as the committed results have them."""
    return render()


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.parent.name + page.name)
def test_figures_are_those_of_the_committed_results(page: Path, written: dict[Path, str]) -> None:
    assert page.read_text("utf-8") == written[page]


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.parent.name + page.name)
def test_rows_of_tables_are_as_wide_as_their_headings(page: Path) -> None:
    text = page.read_text("utf-8").replace(r"\|", "")
    lines = [line.count("|") if line.startswith("|") else 0 for line in text.splitlines()]
    uneven = [number for number, (above, own) in enumerate(pairwise(lines), start=2) if 0 < above != own > 0]
    assert not uneven, f"line {uneven[0]}"


@pytest.mark.parametrize("page", ILLUSTRATED, ids=lambda page: page.name)
def test_pictures_are_there(page: Path) -> None:
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text("utf-8"))
    assert pictures
    assert all((page.parent / picture).exists() for picture in pictures)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_run(page: Path, tmp_path: Path) -> None:
    blocks = examples(page)
    assert blocks
    for block in [
        *blocks,
        *(block for block in blocks if "build_dataset" in block),
    ]:  # again: files are there
        subprocess.run(
            [sys.executable, "-c", block],
            check=True,
            capture_output=True,
            timeout=60,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )


def test_missing_marker_is_an_error() -> None:
    with pytest.raises(InputError, match="demo:begin"):
        updated("no markers", "demo", "table")


def test_verdict_names_what_is_not_beaten() -> None:
    def row(name: str, score: float, target: float | None = None) -> dict[str, object]:
        return {
            "name": name,
            "target": target,
            "score": score,
            "score_low": score - 2,
            "score_high": score + 2,
        }

    text = verdict([row("random", 0), row("cloning", 49), row("DT", 50, 500.0), row("DT", 20, 50.0)])
    assert text.startswith("Asked for 500, ")
    assert text.endswith("beats: random. It does not clearly beat: cloning.")


def test_catalogue_lists_the_released_recipes() -> None:
    listed = re.findall(r"^\| \[([a-z0-9-]+)\]\((.+)\) \|", CATALOGUE.read_text("utf-8"), re.MULTILINE)
    assert [name for name, _ in listed] == list(released_recipes())
    assert all((CATALOGUE.parent / card).is_file() for _, card in listed)
