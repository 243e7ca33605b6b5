"""The Markdown dialect of runbooks: one parser, and the headings of a document with their anchors.

CommonMark with tables and strikethrough; raw HTML is text. Anchors follow GitHub's rule, so that a
link works on our pages and on a repository's page alike.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

MAX_TITLE_CHARS = 300


class Heading(NamedTuple):
    """A heading: level 1 to 6, its text without markup, its anchor, index of its opening token."""

    level: int
    title: str
    anchor: str
    token: int


def markdown_parser() -> MarkdownIt:
    """Make the parser; `html=False`, so raw HTML in a runbook is shown as the text that it is."""
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def block_parser() -> MarkdownIt:
    """Make a parser of block structure only: linear in the text, whatever the text says.

    Inline rules (emphasis, links) are the part that crafted text can slow down, and passages do not
    need them.
    """
    return markdown_parser().disable("inline")


class Slugger:
    """GitHub's anchors: lower case, punctuation dropped, spaces to `-`, repeats numbered."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def anchor(self, title: str) -> str:
        """Give the anchor of the next heading; never empty and never one given before."""
        base = "".join(c for c in title.lower() if _kept(c)).replace(" ", "-") or "section"
        anchor = base
        while anchor in self._seen:
            self._seen[base] += 1
            anchor = f"{base}-{self._seen[base]}"
        self._seen[anchor] = 0
        return anchor


def _kept(char: str) -> bool:
    # The character class is Ruby's \p{Word} (letter, mark, decimal number, connector punctuation),
    # which github.com uses, with the hyphen and the space.
    category = unicodedata.category(char)
    return char in "- " or category[0] in "LM" or category in ("Nd", "Nl", "Pc")


def headings(tokens: Sequence[Token]) -> Iterator[Heading]:
    """Give all headings in order; GitHub numbers those inside quotes and lists too, so do we."""
    inline = markdown_parser()
    slugger = Slugger()
    for position, token in enumerate(tokens):
        if token.type == "heading_open":
            title = plain_text(inline, tokens[position + 1].content[:MAX_TITLE_CHARS])
            yield Heading(int(token.tag[1]), title, slugger.anchor(title), position)


def plain_text(parser: MarkdownIt, source: str) -> str:
    """Return inline Markdown without its markup; images give nothing, as in GitHub's anchors."""
    parts = []
    for root in parser.parseInline(source):
        for token in root.children or ():
            if token.type in ("text", "code_inline"):
                parts.append(token.content)
            elif token.type in ("softbreak", "hardbreak"):
                parts.append(" ")
    return "".join(parts).strip()
