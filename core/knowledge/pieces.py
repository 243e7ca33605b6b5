"""Passage -> pieces of a few sentences for the embedding model.

A vector of a whole page says little about one line of it: with pieces, the row of a table about
one error message is found by that message. A passage is as near to a question as its nearest piece.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

MIN_CHARS = 100
MAX_CHARS = 300

_MARKUP = re.compile(r"^\s*(?:`{3,}|~{3,})\w*\s*$|[`*|]|-{3,}")
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+")
_BLOCK_START = re.compile(r"\s*(?:\||[-*+]\s|\d{1,9}[.)]\s)")


def pieces(text: str) -> list[str]:
    """Cut Markdown, without marks that only mean layout; at least one piece, maybe an empty one."""
    found: list[str] = []
    current = ""
    for starts_block, unit in _units(text):
        full = len(current) + 1 + len(unit) > MAX_CHARS
        if current and (full or (starts_block and len(current) >= MIN_CHARS)):
            found.append(current)
            current = ""
        current = f"{current} {unit}".strip()
    return [*found, current] if current or not found else found


def _units(text: str) -> Iterator[tuple[bool, str]]:
    """Give lines, or the sentences of long lines, and whether each begins a paragraph or item."""
    after_blank = False
    for line in text.split("\n"):
        plain = " ".join(_MARKUP.sub(" ", line).split())
        starts_block = after_blank or _BLOCK_START.match(line) is not None
        after_blank = not plain
        if len(plain) <= MAX_CHARS:
            if plain:
                yield starts_block, plain
            continue
        for sentence in _SENTENCE_END.split(plain):
            for part in textwrap.wrap(sentence, MAX_CHARS):
                yield starts_block, part
                starts_block = False
