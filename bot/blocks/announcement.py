"""Something that happened -> a message with facts, runbook passages and offered workflows."""

from __future__ import annotations

from slackblocks import ActionsBlock, Block, Button, Element, RichTextElement

from bot import names
from bot.blocks.layout import (
    Content,
    bold,
    bullets,
    cut,
    dicts,
    header,
    link,
    rich,
    text,
)
from bot.blocks.markdown import plain_markdown, render_markdown
from bot.blocks.passages import passage_blocks, spoken_passages
from bot.slack.escaping import LinkPolicy, escape_mrkdwn
from core.ports import Announcement, OfferedWorkflow

_TONE = {"neutral": "", "good": "✓ ", "bad": "✕ "}
_MOST_FACTS = 20


def announcement(record: Announcement, links: LinkPolicy) -> Content:
    """The message. Its texts may come from anybody: none of them is markup for Slack."""
    blocks: list[Block] = [header(_TONE[record.tone] + record.title)]
    if record.text:
        blocks.append(rich(*render_markdown(record.text, links, 3_000)))
    lines: list[list[RichTextElement]] = [
        [bold(f"{cut(label, 80)}: "), text(cut(value, 400))]
        for label, value in list(record.facts.items())[:_MOST_FACTS]
    ]
    if record.link:
        lines.append([link(record.link, "Look at it")])
    if lines:
        blocks.append(rich(bullets(*lines)))
    blocks += passage_blocks(record.passages, links, 4_500)
    blocks += offer_blocks(record.offers)
    return Content(text=escape_mrkdwn(_spoken(record)), blocks=dicts(blocks))


def offer_blocks(offers: tuple[OfferedWorkflow, ...]) -> list[Block]:
    """A button for each offered workflow; it opens the form, nothing runs from the press."""
    if not offers:
        return []
    blocks: list[Block] = []
    given = [(offer.name, offer.arguments) for offer in offers if offer.arguments]
    if given:
        lines: list[list[RichTextElement]] = [
            [bold(f"{cut(name, 80)} "), text(cut(_listed(arguments), 300))]
            for name, arguments in given
        ]
        blocks.append(rich(bullets(*lines)))
    buttons: list[Element] = [
        Button(
            cut(offer.name, 74, "") + "…",
            f"{names.OPEN_OFFER}:{position}",
            value=offer.offer,
        )
        for position, offer in enumerate(offers)
    ]
    return [*blocks, ActionsBlock(buttons, block_id="offers")]


def _listed(arguments: dict[str, str]) -> str:
    return "with " + ", ".join(f"{name} = {value}" for name, value in arguments.items())


def _spoken(record: Announcement) -> str:
    facts = "; ".join(f"{label}: {value}" for label, value in record.facts.items())
    parts = [f"{record.title}.", plain_markdown(record.text, 800), facts]
    if record.passages:
        parts.append(f"From the runbook: {spoken_passages(record.passages[:1])}")
    if record.offers:
        parts.append("Offered: " + ", ".join(offer.name for offer in record.offers) + ".")
    return cut(" ".join(part for part in parts if part), 2_500)
