"""Parser of the commands and Python examples in README.md."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
FENCED = re.compile(r"^```(.*)\n((?s:.*?))^```$", re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
SHELL, PYTHON, BIBTEX = "sh", "python", "bibtex"


class Block(NamedTuple):
    """A fenced block."""

    language: str
    text: str


def blocks(page: Path = README) -> list[Block]:
    """All fenced blocks of a page, in order."""
    return [Block(*found) for found in FENCED.findall(page.read_text("utf-8"))]


def examples(page: Path = README) -> list[str]:
    """The Python blocks of a page."""
    return [block.text for block in blocks(page) if block.language == PYTHON]


def run() -> None:
    """Run the Python example given as the only argument, as a script."""
    exec(compile(sys.argv[1], "example", "exec"), {"__name__": "__main__"})


def commands(page: Path = README) -> list[str]:
    """The commands of a page's shell blocks, without their comments, in order."""
    lines = [line for block in blocks(page) if block.language == SHELL for line in block.text.splitlines()]
    return [shlex.join(words) for line in lines if (words := shlex.split(line, comments=True))]


def inline_code(page: Path = README) -> list[str]:
    """Texts between single backquotes."""
    return INLINE.findall(FENCED.sub("", page.read_text("utf-8")))
