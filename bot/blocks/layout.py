"""Small helpers for building Block Kit with slackblocks; text parts that are always inert."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from slackblocks import (
    Block,
    ContextBlock,
    HeaderBlock,
    Message,
    PlainText,
    RichText,
    RichTextBlock,
    RichTextCodeBlock,
    RichTextElement,
    RichTextLink,
    RichTextList,
    RichTextObject,
    RichTextQuote,
    RichTextSection,
    RichTextUser,
)

from bot.slack.escaping import plain_url

Json = dict[str, Any]

TEXT_LIMIT = 12_000
"""Characters of all texts of one message; Slack refuses somewhat more (bolt-js issue 2509)."""
BLOCK_LIMIT = 50
_USER_ID = re.compile(r"[UW][A-Z0-9]{2,30}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Content:
    """A message's body: `text` is what notifications and screen readers get (mrkdwn, escaped)."""

    text: str
    blocks: list[Json]


def dicts(blocks: Iterable[Block]) -> list[Json]:
    """Blocks as Slack takes them, checked by slackblocks against a message's limits.

    Ids that slackblocks made up are left out: Slack makes its own, and equal content stays equal.
    """
    resolved: list[Json] = Message("_", text="_", blocks=list(blocks)).to_dict()["blocks"]
    return [without_made_up_id(block) for block in resolved]


def without_made_up_id(block: Json) -> Json:
    """The block, without an id that slackblocks gave it."""
    if _UUID.fullmatch(str(block.get("block_id", ""))):
        return {key: value for key, value in block.items() if key != "block_id"}
    return block


def cut(text: str, limit: int, mark: str = "…") -> str:
    """`text`, at most `limit` characters, with a mark where something is missing."""
    return text if len(text) <= limit else text[: limit - len(mark)] + mark


def head_and_tail(text: str, limit: int) -> str:
    """The beginning and the end of a long output; errors mostly stand at the end."""
    if len(text) <= limit:
        return text
    mark = f"\n… {len(text) - limit:,} characters left out …\n"
    room = max(limit - len(mark), 2)
    return text[: room // 2] + mark + text[-(room - room // 2) :]


def excerpt(text: str, limit: int, lines: int) -> str:
    """`head_and_tail` that has at most so many lines, too."""
    told = text.rstrip("\n").split("\n")
    if len(told) <= lines:
        return head_and_tail("\n".join(told), limit)
    head, tail = told[: lines // 3], told[-(lines - lines // 3) :]
    mark = f"… {len(told) - lines:,} lines left out …"
    return head_and_tail("\n".join([*head, mark, *tail]), limit)


def header(text: str) -> HeaderBlock:
    """A header; never empty, never too long."""
    return HeaderBlock(PlainText(cut(" ".join(text.split()) or "Untitled", 150)))


def text(value: str, **style: bool) -> RichTextElement:
    """A text element: Slack shows it as it is and looks for nothing in it."""
    return RichText(value or "\N{ZERO WIDTH SPACE}", **style)


def bold(value: str) -> RichTextElement:
    """A label."""
    return text(value, bold=True)


def code(value: str) -> RichTextElement:
    """A value, monospaced."""
    return text(value, code=True)


def person(user: str) -> RichTextElement:
    """A person by Slack id, or the id as text where it is not one (`trigger:ci-failed`)."""
    return RichTextUser(user) if _USER_ID.fullmatch(user) else text(user)


class _Date(RichText):
    """The `date` element, which slackblocks does not have yet.

    https://docs.slack.dev/reference/block-kit/blocks/rich-text-block#date-element-type
    """

    def __init__(self, at: datetime, pattern: str) -> None:
        super().__init__(f"{at:%Y-%m-%d %H:%M %Z}")
        self._at = at
        self._pattern = pattern

    def _resolve(self) -> dict[str, Any]:
        return {
            "type": "date",
            "timestamp": int(self._at.timestamp()),
            "format": self._pattern,
            "fallback": self.text,
        }


def moment(at: datetime) -> RichTextElement:
    """A moment, which Slack shows in the reader's own time zone."""
    return _Date(at, "{date_short_pretty} at {time}")


def with_people(value: str, users: Iterable[str]) -> list[RichTextElement]:
    """`value` with those ids in it that are `users` shown as people."""
    known = sorted({user for user in users if _USER_ID.fullmatch(user)}, key=len, reverse=True)
    if not known:
        return [text(value)]
    parts = re.split(rf"\b({'|'.join(map(re.escape, known))})\b", value)
    return [person(part) if part in known else text(part) for part in parts if part]


def link(url: str, label: str) -> RichTextElement:
    """A link that shows its host; text only, where the address is not an ordinary one."""
    host = plain_url(url)
    if host is None:
        return text(f"{label} ({cut(url, 200)})")
    return RichTextLink(url=url, text=f"{label} ({host})")


def own_link(url: str, label: str) -> RichTextElement:
    """A link to our own pages."""
    return RichTextLink(url=url, text=label or url) if plain_url(url) else text(label)


def paragraph(*lines: Iterable[RichTextElement]) -> RichTextSection:
    """Lines below each other."""
    elements: list[RichTextElement] = []
    for line in lines:
        if elements:
            elements.append(text("\n"))
        elements.extend(line)
    return RichTextSection(elements or [text("")])


def bullets(*lines: list[RichTextElement]) -> RichTextList:
    """A bulleted list."""
    return RichTextList("bullet", [RichTextSection(line) for line in lines])


def preformatted(value: str, limit: int, bar: bool = False) -> RichTextCodeBlock:
    """A program's output or the like, cut in the middle; with a bar inside a quotation."""
    return RichTextCodeBlock([text(head_and_tail(value, limit))], border=1 if bar else None)


def quote(*elements: RichTextElement) -> RichTextQuote:
    """A quotation."""
    return RichTextQuote(list(elements))


def rich(*objects: RichTextObject, block_id: str | None = None) -> RichTextBlock:
    """A block of rich text."""
    return RichTextBlock(list(objects), block_id=block_id)


def note(*values: str) -> ContextBlock:
    """Small print in plain text."""
    return ContextBlock([PlainText(cut(value, 500)) for value in values])


def strings(value: object) -> Iterator[tuple[Json, str]]:
    """Each object inside Block Kit that has a text of its own, with that text."""
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            yield value, value["text"]
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def total(blocks: list[Json]) -> int:
    """Characters of all texts."""
    return sum(len(found) for _, found in strings(blocks))
