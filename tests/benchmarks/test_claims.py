"""Causal claims in the docs are supported by a committed result, a test or a source."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.readme import README, ROOT

CAUSAL = re.compile(
    r"\b(because|since|therefore|thus|due to|thanks to|so that|as soon as|brings?|teach(?:es)?|helps?|"
    r"costs? most|is why|what there is to learn|suffices?|is not enough|matters?)\b",
    re.IGNORECASE,
)
GENERATED = re.compile(r"<!-- (\S+):begin -->.*?<!-- \1:end -->", re.DOTALL)
BLOCKS = re.compile(r"^(```.*?^```|\|.*?$|#.*?$|!\[.*?$)", re.DOTALL | re.MULTILINE)
PAGES = ("scores", "pendulum", "halfcheetah", "attention", "datasets", "environment", "models")
# Beginnings of causal sentences, and their support: a result, a test, or the source of a design.
HELD: Mapping[str, str] = {
    "On the trained agent's data they do not, and no single change": "benchmarks/results/pendulum",
    "For a cart with a pole this is not symplectic": "tests/kernels/test_integrators.py",
    "Start states differ, because the random generators differ": "cartpole_phys/numeric/philox.py",
    "- Actions in the data are clipped to ±0.999 for CQL": "tests/dt/test_bounded_actions.py",
    "- In `tiny`, IQL scales rewards": "dt/models/recipes.py",
    "The shared prefix of the candidates is computed": "tests/dt/test_trajectory.py",
    "Each batch of windows is split among the processes": "tests/dt/test_distributed.py",
    "With dropout, each process draws its own masks": "tests/dt/test_distributed.py",
    "the selection of training episodes, and the handling of actions": "tests/dt/test_bounded_actions.py",
    "if a gate cannot be evaluated, for example because": "tests/data/checks/test_unproven.py",
    "Trajectory Transformers, which `transformers` supported": "dt/formats/trajectory_transformer.py",
}


def _sentences() -> list[str]:
    """Sentences of all pages and of README's section on results."""
    results = README.read_text("utf-8").partition("## Results")[2].partition("\n## ")[0]
    pages = [results, *((ROOT / "docs" / f"{page}.md").read_text("utf-8") for page in PAGES)]
    prose = [BLOCKS.sub("", GENERATED.sub("", page)) for page in pages]
    return [sentence for page in prose for sentence in re.split(r"(?<=[.:])\s+", " ".join(page.split()))]


def test_causal_claims_are_supported() -> None:
    causal = [sentence for sentence in _sentences() if CAUSAL.search(sentence)]
    assert [one for one in causal if not one.startswith(tuple(HELD))] == []


@pytest.mark.parametrize("beginning", HELD)
def test_supported_claims_and_their_support_exist(beginning: str) -> None:
    assert any(sentence.startswith(beginning) for sentence in _sentences())
    assert (ROOT / HELD[beginning]).exists()


ZERO_WIDTH = re.compile(r"([−\d.,]+) \(\1 – \1\)")


@pytest.mark.parametrize("page", [README, *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name)
def test_no_interval_has_equal_ends(page: Path) -> None:
    assert ZERO_WIDTH.findall(page.read_text("utf-8")) == []
