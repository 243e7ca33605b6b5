"""Markdown -> rich text that holds only text and allowed links.

Mentions, broadcasts, channels and images cannot come out of here, because nothing here makes
them: what looks like one in the source is text (every converter tried keeps `<!channel>` alive).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.token import Token
from slackblocks import (
    RichTextElement,
    RichTextLink,
    RichTextList,
    RichTextObject,
    RichTextSection,
)

from bot.blocks.layout import cut, preformatted, quote, text
from bot.slack.escaping import LinkPolicy, plain_url

_SOURCE_LIMIT = 40_000
_MARK = "\n… (cut)"
_DEEPEST_LIST = 8


def render_markdown(
    source: str, links: LinkPolicy, limit: int, quoted: bool = False
) -> list[RichTextObject]:
    """Rich text objects whose texts have at most about `limit` characters together.

    Args:
        quoted: draw all of it as a quotation, with a bar at its side.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    writer = _Writer(links, limit, quoted)
    writer.blocks(parser.parse(cut(source, _SOURCE_LIMIT)))
    return writer.objects or [RichTextSection([text("")])]


def plain_markdown(source: str, limit: int) -> str:
    """The text of Markdown without its marks, for notifications and screen readers."""
    parser = MarkdownIt("commonmark", {"html": False})
    parts = [
        "".join(child.content or " " for child in token.children or [])
        if token.type == "inline"
        else token.content
        for token in parser.parse(cut(source, _SOURCE_LIMIT))
        if token.type in {"inline", "fence", "code_block"}
    ]
    return cut(" ".join(" ".join(parts).split()), limit)


@dataclass
class _Style:
    bold: int = 0
    italic: int = 0
    strike: int = 0

    def flags(self, code: bool = False) -> dict[str, bool]:
        wanted = {"bold": self.bold, "italic": self.italic, "strike": self.strike, "code": code}
        return {name: True for name, on in wanted.items() if on}


@dataclass
class _Writer:
    """Turns markdown-it's tokens into rich text, until the limit is used up."""

    links: LinkPolicy
    room: int
    quoted: bool
    objects: list[RichTextObject] = field(default_factory=list)

    def blocks(self, tokens: Sequence[Token]) -> None:
        lists: list[str] = []
        quoted = 1 if self.quoted else 0
        heading = False
        row: list[RichTextElement] | None = None
        for token in tokens:
            if self.room <= 0:
                return
            match token.type:
                case "bullet_list_open" | "ordered_list_open":
                    lists.append("bullet" if token.type.startswith("bullet") else "ordered")
                case "bullet_list_close" | "ordered_list_close":
                    lists.pop()
                case "blockquote_open" | "blockquote_close":
                    quoted += token.nesting
                case "heading_open" | "heading_close" | "th_open" | "th_close":
                    heading = token.nesting > 0
                case "tr_open":
                    row = []
                case "tr_close":
                    self._paragraph(row or [text("")], [], quoted)
                    row = None
                case "fence" | "code_block" | "html_block":
                    self.objects.append(self._code(token.content))
                case "hr":
                    self._paragraph([text("———")], [], quoted)
                case "inline":
                    style = _Style(bold=1 if heading else 0)
                    elements = list(self._inline(token.children or [], style))
                    if row is not None:
                        row += [text(" | "), *elements] if row else elements
                    elif elements:
                        self._paragraph(elements, lists, quoted)

    def _paragraph(self, elements: list[RichTextElement], lists: list[str], quoted: int) -> None:
        if lists:
            indent = min(len(lists) - 1, _DEEPEST_LIST)
            last = self.objects[-1] if self.objects else None
            if (
                isinstance(last, RichTextList)
                and last.style == lists[-1]
                and last.indent == indent
                and last.elements is not None
            ):
                last.elements.append(RichTextSection(elements))
            else:
                item = [RichTextSection(elements)]
                border = 1 if quoted else 0
                self.objects.append(RichTextList(lists[-1], item, indent=indent, border=border))
        elif quoted:
            self.objects.append(quote(*elements))
        else:
            self.objects.append(RichTextSection([*elements, text("\n")]))

    def _code(self, content: str) -> RichTextObject:
        content = content.rstrip("\n") or " "
        taken = preformatted(content, min(self.room, 3_000), bar=self.quoted)
        self.room -= len(content)
        return taken

    def _inline(self, tokens: Sequence[Token], style: _Style) -> Iterator[RichTextElement]:
        target: str | None = None
        for token in tokens:
            match token.type:
                case "strong_open" | "strong_close":
                    style.bold += token.nesting
                case "em_open" | "em_close":
                    style.italic += token.nesting
                case "s_open" | "s_close":
                    style.strike += token.nesting
                case "link_open":
                    target = str(token.attrGet("href") or "")
                case "link_close":
                    if target and not self.links.allows(target):
                        yield self._text(f" ({_where(target)})", style)
                    target = None
                case "softbreak" | "hardbreak":
                    yield self._text(" " if token.type == "softbreak" else "\n", style)
                case "code_inline":
                    yield self._text(token.content, style, code=True)
                case "image":
                    yield self._text(f"[image: {token.content or 'no description'}]", style)
                case _ if token.content:
                    if target and self.links.allows(target):
                        yield self._link(target, token.content, style)
                    else:
                        yield self._text(token.content, style)

    def _text(self, value: str, style: _Style, code: bool = False) -> RichTextElement:
        return text(self._take(value), **style.flags(code))

    def _link(self, url: str, label: str, style: _Style) -> RichTextLink:
        return RichTextLink(url=url, text=self._take(label), **style.flags())

    def _take(self, value: str) -> str:
        """As much of `value` as there is room for."""
        if self.room <= 0:
            return ""
        taken = value if len(value) <= self.room else value[: self.room] + _MARK
        self.room -= len(value)
        return taken


def _where(target: str) -> str:
    """What to say of a link that is not one any more."""
    return plain_url(target) or cut(target, 60)
