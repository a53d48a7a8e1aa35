"""README.md and docs/: generated tables, figures, links, Python examples and the citation."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks import swing_up_gif
from benchmarks.readme import (
    ATTENTION,
    CATALOGUE,
    DATASETS,
    DEMO,
    ENVIRONMENT,
    HALFCHEETAH,
    MODELS,
    PENDULUM,
    ROOT,
    SCORES,
    TESTING,
    render,
    updated,
    verdict,
)
from cartpole_phys.data.recipe import released_recipes
from cartpole_phys.utils.errors import InputError
from tests.support.commands import Command
from tests.support.readme import FENCED, README, examples

PAGES = [README, ENVIRONMENT, DATASETS, MODELS]
WRITTEN = [ENVIRONMENT, DATASETS, MODELS, SCORES, DEMO, PENDULUM, ATTENTION, HALFCHEETAH, TESTING, CATALOGUE]
INDEX = ROOT / "docs" / "README.md"
CITATION = ROOT / "CITATION.cff"
ALL = [README, INDEX, *WRITTEN]
ILLUSTRATED = [README, ENVIRONMENT, SCORES, DEMO, PENDULUM, ATTENTION]
LONGEST = 200  # lines of README.md
LARGEST_GIF = 1_000_000  # bytes


@pytest.fixture(scope="module")
def written() -> dict[Path, str]:
    """All pages, generated from the committed results."""
    return render()


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.parent.name + page.name)
def test_generated_blocks_match_the_committed_results(page: Path, written: dict[Path, str]) -> None:
    assert page.read_text("utf-8") == written[page]


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.parent.name + page.name)
def test_table_rows_have_as_many_cells_as_their_headings(page: Path) -> None:
    text = page.read_text("utf-8").replace(r"\|", "")
    lines = [line.count("|") if line.startswith("|") else 0 for line in text.splitlines()]
    uneven = [number for number, (above, own) in enumerate(pairwise(lines), start=2) if 0 < above != own > 0]
    assert not uneven, f"line {uneven[0]}"


@pytest.mark.parametrize("page", ILLUSTRATED, ids=lambda page: page.name)
def test_images_exist(page: Path) -> None:
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text("utf-8"))
    assert pictures
    assert all((page.parent / picture).exists() for picture in pictures)


def test_readme_is_short_and_its_gif_small() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= LONGEST
    assert swing_up_gif.GIF.stat().st_size < LARGEST_GIF
    assert str(swing_up_gif.GIF.relative_to(ROOT)) in README.read_text("utf-8")


def test_gif_shows_a_swing_up_a_fall_and_another_swing_up() -> None:
    heights = swing_up_gif.episode().observations[:, 2]  # cos θ
    upright = np.flatnonzero(np.diff(heights > 0.95, prepend=False))  # rows where this begins or ends
    assert len(heights) == swing_up_gif.STEPS
    assert len(upright) == 3
    assert heights[upright[1] : upright[2]].min() < -0.9


def anchors(page: Path) -> set[str]:
    """Anchors that GitHub generates for the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.parent.name + page.name)
def test_link_targets_exist(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?://)([^)]+)\)", FENCED.sub("", page.read_text("utf-8"))):
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_index_lists_every_page() -> None:
    listed = re.findall(r"\]\(([^)]+\.md)\)", INDEX.read_text("utf-8"))
    assert {page.name for page in INDEX.parent.glob("*.md")} - {INDEX.name} <= set(listed)


def test_citations_agree() -> None:
    cited = dict(re.findall(r"^  (\w+) += \{+(.+?)\}+,?$", README.read_text("utf-8"), re.MULTILINE))
    stated = dict(re.findall(r'^(\S+): "?(.+?)"?$', CITATION.read_text("utf-8"), re.MULTILINE))
    assert cited["year"] == stated["date-released"][:4]
    assert cited["author"] in CITATION.read_text("utf-8")
    assert {key: cited[key] for key in ("title", "version", "license")} == {
        key: stated[key] for key in ("title", "version", "license")
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_run(page: Path, tmp_path: Path) -> None:
    blocks = examples(page)
    assert blocks
    for block in [
        *blocks,
        *(block for block in blocks if "build_dataset" in block),
    ]:  # a second time, with the files of the first run
        code, _, errors = Command("tests.support.readme:run", block, folder=tmp_path).finish()
        assert code == 0, errors


def test_missing_marker_is_an_error() -> None:
    with pytest.raises(InputError, match="demo:begin"):
        updated("no markers", "demo", "table")


def test_verdict_names_overlapping_intervals() -> None:
    def row(name: str, score: float, target: float | None = None) -> dict[str, object]:
        return {
            "name": name,
            "target": target,
            "score": score,
            "score_low": score - 2,
            "score_high": score + 2,
        }

    text = verdict([row("random", 0), row("cloning", 49), row("DT", 50, 500.0), row("DT", 20, 50.0)])
    assert text.startswith("Conditioned on 500, ")
    assert text.endswith("outperforms: random. The intervals overlap for: cloning.")


def test_catalogue_lists_the_released_recipes() -> None:
    listed = re.findall(r"^\| \[([a-z0-9-]+)\]\((.+)\) \|", CATALOGUE.read_text("utf-8"), re.MULTILINE)
    assert [name for name, _ in listed] == list(released_recipes())
    assert all((CATALOGUE.parent / card).is_file() for _, card in listed)
