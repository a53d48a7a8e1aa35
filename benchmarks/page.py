"""All results as one HTML file that needs nothing else: ``python -m benchmarks.page``.

It is the documentation, tables, commands and all, with its pictures inside.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from html import escape
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer
from markdown_it import MarkdownIt
from markdown_it.token import Token

from cartpole_phys import commands
from cartpole_phys.utils.errors import require_suffix
from cartpole_phys.utils.files import atomic_file

DOCS = Path(__file__).parent.parent / "docs"
DOCUMENTS = ("scores", "attention", "halfcheetah", "pendulum", "models", "datasets", "environment")
SUFFIX, TITLE = ".md", "cartpole-phys: results"
STYLE = """
body { max-width: 76rem; }
img { max-width: 100%; height: auto; background: #ffffff; }
h2 { font-size: 1.6rem; }
.scroll, pre { overflow-x: auto; } table { font-variant-numeric: tabular-nums; }
th, td { overflow-wrap: normal; } th[style], td[style] { white-space: nowrap; } /* numbers, to the right */
"""


def page() -> str:
    """The whole file."""
    style = resources.files("cartpole_phys.data.report").joinpath("page.css").read_text("utf-8") + STYLE
    parsed = {document: _tokens(document) for document in DOCUMENTS}
    links = "".join(
        f'<li><a href="#{document}">{escape(_title(own))}</a></li>' for document, own in parsed.items()
    )
    markdown = _markdown()
    sections = "".join(
        f'<section id="{document}">{markdown.renderer.render(own, markdown.options, {})}</section>'
        for document, own in parsed.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{TITLE}</title><link rel="icon" href="data:,"><style>{style}</style></head><body>'
        f"<h1>{TITLE}</h1><nav><ul>{links}</ul></nav>{sections}</body></html>\n"
    )


def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": True}).enable("table")


def _tokens(document: str) -> list[Token]:
    """A document as this page has it: one level deeper, its pictures inside, its links within the page."""
    tokens = _markdown().parse((DOCS / f"{document}{SUFFIX}").read_text("utf-8"))
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            opening.attrSet("id", f"{document}-{_anchor(inline.content)}")
    for token in _all(tokens):
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{int(token.tag[1:]) + 1}"
        elif token.type == "image":
            picture = (DOCS / str(token.attrs["src"])).read_bytes()
            token.attrs["src"] = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
        elif token.type == "link_open":
            token.attrs = _target(document, str(token.attrs["href"]))
    return [wrapped for token in tokens for wrapped in _scrolling(token)]


def _all(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _all(token.children or [])


def _anchor(heading: str) -> str:
    """What GitHub calls a heading in links."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _target(document: str, link: str) -> dict[str, str | int | float]:
    """Where a document's link leads in this page: to what is in it, elsewhere on the net, or nowhere."""
    if "://" in link:
        return {"href": link}
    file, _, anchor = link.partition("#")
    name = file.removesuffix(SUFFIX) or document
    return {"href": f"#{name}-{anchor}" if anchor else f"#{name}"} if name in DOCUMENTS else {}


def _scrolling(token: Token) -> Iterator[Token]:
    """Tables may be wider than the screen."""
    if token.type == "table_open":
        yield Token("html_block", "", 0, content='<div class="scroll">')
    yield token
    if token.type == "table_close":
        yield Token("html_block", "", 0, content="</div>")


def _title(tokens: list[Token]) -> str:
    heading = next(number for number, token in enumerate(tokens) if token.type == "heading_open")
    return tokens[heading + 1].content


def write(out: Annotated[Path, typer.Option(help="Output file.")] = Path("results.html")) -> None:
    """Write the committed results to one HTML page."""
    require_suffix("--out", out, ".html")
    with atomic_file(out) as partial:
        partial.write_text(page(), "utf-8")
    print(f"Wrote {out}.")


if __name__ == "__main__":
    commands.run_single(write)
