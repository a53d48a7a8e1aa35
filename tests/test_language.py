"""Tracked text uses the terms of the field and American spelling: no phrase of banned_phrases.txt."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BANNED = Path(__file__).with_name("banned_phrases.txt")
SUFFIXES = {".py", ".md", ".toml", ".cfg", ".yml", ".yaml", ".html", ".js", ".css", ".cff"}
# What has been reworded; without this constant and its use, the test covers all tracked text.
COVERED = ("README.md", "CHANGELOG.md", "CITATION.cff", "Makefile", "setup.cfg", "docs/", "examples/",
           "datasets/README.md")  # fmt: skip
# Names that must stay, with the reason.
ALLOWED: Mapping[str, str] = {"behaviour_sha256": "a key in the stored metadata of shards"}
PHRASES = [line for line in BANNED.read_text("utf-8").splitlines() if line and not line.startswith("#")]
PATTERN = re.compile("|".join(rf"(?<!\w){phrase}(?!\w)" for phrase in PHRASES), re.IGNORECASE)


def tracked() -> list[Path]:
    """Every tracked text file but the list itself."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [Path(line) for line in listed.stdout.splitlines() if line.startswith(COVERED)]
    return [path for path in paths if path.suffix in SUFFIXES or path.name == "Makefile"]


def found(text: str) -> Iterator[str]:
    """The banned phrases of a text, with their line numbers; a phrase may continue on the next line."""
    for name in ALLOWED:
        text = text.replace(name, "")
    flat = re.sub(r"\n[ \t]*(?:#+:? )?", lambda match: " " * len(match[0]), text)
    for match in PATTERN.finditer(re.sub(r" (?= )", "\0", flat).replace("\0", "")):
        yield match[0]


def test_no_banned_phrase() -> None:
    assert tracked()
    phrases = {str(path): list(found((ROOT / path).read_text("utf-8"))) for path in tracked()}
    assert {path: own for path, own in phrases.items() if own} == {}


@pytest.mark.parametrize(
    "text", ["Behaviours", "normalised scores", "a colour-map", "equal\nto the last bit", "# slow\n# copies"]
)
def test_banned_phrases_are_found(text: str) -> None:
    assert list(found(text))


@pytest.mark.parametrize("text", ["behavior", "normalized", "precise", "an exercise", "the promise", "color"])
def test_other_words_are_not(text: str) -> None:
    assert list(found(text)) == []
