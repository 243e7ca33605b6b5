"""Document -> chunks of about a paragraph to a page, each under its heading.

A body is cut by lines, so that nothing is lost: every line that is not blank is in exactly one
chunk, or is a heading that the chunks below it carry in their path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

from core.knowledge.outline import block_parser, headings
from core.knowledge.reading import Document, ReadingError

# An embedding model of 256 tokens reads about this much English; longer sections are split.
TARGET_CHARS = 1200
MAX_CHUNKS = 2000

_LISTS = frozenset({"bullet_list", "ordered_list"})


class Chunk(NamedTuple):
    """A piece of one section.

    `heading_path` goes from the outermost heading to the section's own; `anchor` is empty for text
    before the first heading. `text` is Markdown without the heading. Lines are those of the file,
    counted from 1, both included; a section's first chunk begins at its heading's line.
    """

    heading_path: tuple[str, ...]
    anchor: str
    text: str
    start_line: int
    end_line: int


class _Section(NamedTuple):
    """Lines [start, end) of the body, and where the text after the heading begins."""

    heading_path: tuple[str, ...]
    anchor: str
    start: int
    text_start: int
    end: int
    has_subsections: bool
    blocks: Sequence[SyntaxTreeNode]


def chunk_document(document: Document, target_chars: int = TARGET_CHARS) -> list[Chunk]:
    """Cut a document at its headings, and long sections at paragraphs, list items and lines.

    Code blocks, tables and quotes are kept whole, however long they are. Raises `ReadingError`
    where the document has more than `MAX_CHUNKS` sections or would give more chunks.
    """
    lines = document.body.split("\n")
    tokens = block_parser().parse(document.body)
    blocks = SyntaxTreeNode(tokens).children
    if sum(node.type == "heading" for node in blocks) > MAX_CHUNKS:
        raise _too_many(document)
    chunks: list[Chunk] = []
    for section in _sections(tokens, blocks, len(lines)):
        chunks.extend(_cut(section, lines, target_chars, document.first_line))
        if len(chunks) > MAX_CHUNKS:
            raise _too_many(document)
    return chunks


def _too_many(document: Document) -> ReadingError:
    return ReadingError(
        f"{document.path}: more than {MAX_CHUNKS} sections; split it into several documents"
    )


def _sections(
    tokens: Sequence[Token], blocks: Sequence[SyntaxTreeNode], line_count: int
) -> Iterator[_Section]:
    titles = [heading for heading in headings(tokens) if tokens[heading.token].level == 0]
    inside: list[list[SyntaxTreeNode]] = [[]]
    starts: list[SyntaxTreeNode] = []
    for node in blocks:
        if node.type == "heading":
            starts.append(node)
            inside.append([])
        else:
            inside[-1].append(node)

    yield _Section((), "", 0, 0, _start(starts[0]) if starts else line_count, False, inside[0])
    path: list[tuple[int, str]] = []
    for number, (title, node) in enumerate(zip(titles, starts, strict=True)):
        path = [outer for outer in path if outer[0] < title.level]
        path.append((title.level, title.title))
        last = number + 1 == len(starts)
        yield _Section(
            heading_path=tuple(text for _, text in path if text),
            anchor=title.anchor,
            start=_start(node),
            text_start=_end(node),
            end=line_count if last else _start(starts[number + 1]),
            has_subsections=not last and titles[number + 1].level > title.level,
            blocks=inside[number + 1],
        )


def _cut(
    section: _Section,
    lines: Sequence[str],
    target_chars: int,
    first_line: int,
) -> Iterator[Chunk]:
    def chunk(text: str, start: int, end: int) -> Chunk:
        filled = [number for number in range(start, end) if lines[number].strip()]
        return Chunk(
            section.heading_path,
            section.anchor,
            text,
            first_line + filled[0],
            first_line + filled[-1],
        )

    if not any(line.strip() for line in lines[section.text_start : section.end]):
        if section.text_start > section.start and not section.has_subsections:
            # Nothing but a heading: keep it findable.
            text = "\n".join(lines[section.start : section.text_start]).strip()
            yield chunk(text, section.start, section.text_start)
        return

    cuts = {section.text_start: 0}
    for node in section.blocks:
        cuts.update(_cuts(node, lines, target_chars, 0))
    for number, (start, end) in enumerate(_packed(cuts, section.end, lines, target_chars)):
        text = _text(lines[start:end], cuts[start])
        yield chunk(text, section.start if number == 0 else start, end)


def _cuts(
    node: SyntaxTreeNode, lines: Sequence[str], target_chars: int, depth: int
) -> Iterator[tuple[int, int]]:
    """Give the lines at which a block may be cut, each with its indentation inside list items."""
    start, end = _start(node), _end(node)
    indent = len(lines[start]) - len(lines[start].lstrip()) if depth else 0
    yield start, indent
    if _length(lines[start:end]) <= target_chars:
        return
    if node.type == "paragraph":
        for number in range(start + 1, end):
            yield number, len(lines[number]) - len(lines[number].lstrip()) if depth else 0
    elif node.type in _LISTS:
        for item in node.children:
            yield from _cuts(item, lines, target_chars, depth)
    elif node.type == "list_item":
        for child in node.children[1:]:
            if child.type != "code_block":  # its indentation is its meaning: leave it where it is
                yield from _cuts(child, lines, target_chars, depth + 1)
        if node.children and _start(node.children[0]) == start:
            inner = _cuts(node.children[0], lines, target_chars, depth + 1)
            yield from ((line, spaces) for line, spaces in inner if line != start)


def _packed(
    cuts: Mapping[int, int], end: int, lines: Sequence[str], target_chars: int
) -> Iterator[tuple[int, int]]:
    """Join neighbours up to the target size; blank pieces are left out."""
    start, size, filled = min(cuts), 0, False
    for begin, after in _introduced(cuts, end, lines, target_chars):
        length = _length(lines[begin:after])
        if filled and size + length > target_chars:
            yield start, begin
            start, size, filled = begin, 0, False
        size += length
        filled = filled or any(line.strip() for line in lines[begin:after])
    if filled:
        yield start, end


def _introduced(
    cuts: Mapping[int, int], end: int, lines: Sequence[str], target_chars: int
) -> Iterator[tuple[int, int]]:
    """Give the parts between cuts; one that ends with a colon stays with what follows it."""
    edges = [*sorted(cuts), end]
    start, size = edges[0], 0
    for begin, after in pairwise(edges):
        size += _length(lines[begin:after])
        colon = _text(lines[begin:after], 0).rstrip().endswith(":")
        if not colon or size > 2 * target_chars:
            yield start, after
            start, size = after, 0
    if start < end:
        yield start, end


def _length(lines: Sequence[str]) -> int:
    return sum(len(line) + 1 for line in lines)


def _text(lines: Sequence[str], indent: int) -> str:
    """Join lines without blank ones at the ends, and without a list item's indentation."""
    filled = [number for number, line in enumerate(lines) if line.strip()]
    if not filled:
        return ""
    kept = lines[filled[0] : filled[-1] + 1]
    return "\n".join(line[min(indent, len(line) - len(line.lstrip())) :] for line in kept)


def _start(node: SyntaxTreeNode) -> int:
    return node.map[0] if node.map else 0


def _end(node: SyntaxTreeNode) -> int:
    return node.map[1] if node.map else 0
