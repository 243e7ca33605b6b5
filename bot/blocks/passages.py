"""Runbook passages, quoted and linked."""

from __future__ import annotations

from collections.abc import Sequence

from slackblocks import Block

from bot.blocks.layout import bold, own_link, paragraph, rich
from bot.blocks.markdown import plain_markdown, render_markdown
from bot.slack.escaping import LinkPolicy
from core.knowledge import Passage


def passage_blocks(passages: Sequence[Passage], links: LinkPolicy, characters: int) -> list[Block]:
    """A block for each passage; the first gets most of the room of `characters`."""
    blocks: list[Block] = []
    for position, passage in enumerate(passages):
        room = characters // 2 if position + 1 < len(passages) else characters
        characters -= room
        source = paragraph(
            [bold("From the runbook: "), own_link(passage.link, passage_name(passage))]
        )
        quoted = render_markdown(passage.text, links, max(room, 200), quoted=True)
        blocks.append(rich(source, *quoted))
    return blocks


def passage_name(passage: Passage) -> str:
    """Title and headings, from the outermost to the passage's own."""
    headings = [part for part in passage.heading_path if part != passage.title]
    return " > ".join([passage.title, *headings])[:200]


def spoken_passages(passages: Sequence[Passage]) -> str:
    """For notifications."""
    return " ".join(
        f"{passage_name(passage)}: {plain_markdown(passage.text, 400)}" for passage in passages
    )
