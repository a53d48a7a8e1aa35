"""Tracked text uses the terms of the field and American spelling: no phrase of banned_phrases.txt."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BANNED = Path(__file__).with_name("banned_phrases.txt")
SUFFIXES = {".py", ".md", ".toml", ".cfg", ".yml", ".yaml", ".html", ".js", ".css", ".cff", ".c", ".sh"}
# The list, the examples below, and releases, whose cards are in SHA256SUMS and never change.
EXEMPT = (r"tests/banned_phrases\.txt", r"tests/test_language\.py", r"datasets/v\d+/.*")
# Names that must stay, with the reason.
ALLOWED: Mapping[str, str] = {
    "behaviour_sha256": "a key in the stored metadata of shards",
    "behaviours.json": "the name of committed results of the score study",
}
PHRASES = [line for line in BANNED.read_text("utf-8").splitlines() if line and not line.startswith("#")]
PATTERN = re.compile(rf"\b(?:{'|'.join(PHRASES)})\b")


def tracked() -> list[Path]:
    """Every tracked text file that is not exempt."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [Path(line) for line in listed.stdout.splitlines() if not re.fullmatch("|".join(EXEMPT), line)]
    return [path for path in paths if path.suffix in SUFFIXES or path.name == "Makefile"]


def found(text: str) -> Iterator[str]:
    """The banned phrases of a text and of its names; a phrase may continue on the next line."""
    for name in ALLOWED:
        text = text.replace(name, "")
    one_line = re.sub(r"\n[ \t]*(?:#+:? )?", " ", text.replace("_", " ").lower())
    for match in PATTERN.finditer(re.sub(r" +", " ", one_line)):
        yield match[0]


def test_no_banned_phrase() -> None:
    assert tracked()
    phrases = {str(path): list(found((ROOT / path).read_text("utf-8"))) for path in tracked()}
    assert {path: own for path, own in phrases.items() if own} == {}


@pytest.mark.parametrize(
    "text",
    [
        "Behaviours",
        "test_colours_differ",
        "normalised scores",
        "a colour-map",
        "equal\nto the last bit",
        "# slow\n# copies",
    ],
)
def test_banned_phrases_are_found(text: str) -> None:
    assert list(found(text))


@pytest.mark.parametrize("text", ["behavior", "normalized", "precise", "an exercise", "the promise", "color"])
def test_other_words_are_not(text: str) -> None:
    assert list(found(text)) == []
