"""Results pages draw no cause that no committed result holds."""

import re
from collections.abc import Mapping

import pytest

from tests.support.readme import README, ROOT

CAUSAL = re.compile(
    r"\b(because|since|therefore|thus|due to|thanks to|so that|as soon as|brings?|teach(?:es)?|helps?|"
    r"costs? most|is why|what there is to learn|suffices?|is not enough|matters?)\b",
    re.IGNORECASE,
)
GENERATED = re.compile(r"<!-- (\S+):begin -->.*?<!-- \1:end -->", re.DOTALL)
BLOCKS = re.compile(r"^(```.*?^```|\|.*?$|#.*?$|!\[.*?$)", re.DOTALL | re.MULTILINE)
PAGES = ("scores", "pendulum", "halfcheetah", "attention")
# Sentences that say why, by how they begin, and what holds them: a result, or a rule of the protocol itself.
HELD: Mapping[str, str] = {
    "On the trained agent's data they do not, and no single change": "benchmarks/results/pendulum",
}


def _sentences() -> list[str]:
    """The prose of all results pages, and of README's section on them, sentence by sentence."""
    results = README.read_text("utf-8").partition("## Results")[2].partition("\n## ")[0]
    pages = [results, *((ROOT / "docs" / f"{page}.md").read_text("utf-8") for page in PAGES)]
    prose = [BLOCKS.sub("", GENERATED.sub("", page)) for page in pages]
    return [sentence for page in prose for sentence in re.split(r"(?<=[.:])\s+", " ".join(page.split()))]


def test_causes_are_held_by_committed_results() -> None:
    causal = [sentence for sentence in _sentences() if CAUSAL.search(sentence)]
    assert [one for one in causal if not one.startswith(tuple(HELD))] == []


@pytest.mark.parametrize("beginning", HELD)
def test_what_is_held_is_there(beginning: str) -> None:
    assert any(sentence.startswith(beginning) for sentence in _sentences())
    assert (ROOT / HELD[beginning]).exists()
