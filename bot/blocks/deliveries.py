"""Deliveries of webhooks, as administrators see them: how they stand, and one that has failed."""

from __future__ import annotations

from collections.abc import Sequence

from slackblocks import ActionsBlock, Block, Button, RichTextElement, RichTextObject

from bot import names
from bot.blocks.layout import (
    Content,
    bold,
    bullets,
    code,
    cut,
    dicts,
    moment,
    paragraph,
    preformatted,
    rich,
    text,
)
from bot.slack.escaping import escape_mrkdwn
from core.deliveries import Contents, KeptDelivery, Standing

Line = list[RichTextElement]
_MOST = 20


def delivery_list(
    standings: Sequence[Standing], failed: Sequence[KeptDelivery], command: str
) -> Content:
    """How each sender's deliveries stand, and those that have failed, newest first; those that are
    tried again are among them."""
    sources: list[Line] = [_standing(standing) for standing in standings]
    blocks: list[Block] = [rich(paragraph([bold("Webhooks")]), *_bulleted(sources, "none came"))]
    lines: list[Line] = [
        [
            code(cut(one.key, 100)),
            text(f" {one.integration} · "),
            moment(one.received_at),
            text(f" · {'' if one.state == 'failed' else 'tried again: '}{cut(one.reason, 200)}"),
        ]
        for one in failed[:_MOST]
    ]
    if len(failed) > _MOST:
        lines.append([text("… and more; the command line has all: "), code("webhooks list")])
    blocks.append(rich(paragraph([bold("Failed")]), *_bulleted(lines, "none")))
    if failed:
        hint: Line = [text("Look at one: "), code(f"{command} webhooks show KEY")]
        blocks.append(rich(paragraph(hint)))
    counts = "; ".join(
        f"{one.integration}: {one.waiting} waiting, {one.failed} failed" for one in standings
    )
    spoken = "; ".join(f"{one.key}: {one.reason}" for one in failed[:_MOST]) or "none"
    words = f"Webhooks: {counts or 'none came'}. Failed: {spoken}"
    return Content(text=escape_mrkdwn(cut(words, 2_500)), blocks=dicts(blocks))


def delivery_details(delivery: KeptDelivery, contents: Contents) -> Content:
    """One delivery, with a button to have it processed again if it has failed."""
    first: Line = [
        bold(f"Delivery {cut(delivery.key, 100)}"),
        text(f" of {delivery.integration} · {delivery.state} · {delivery.size} bytes · "),
        moment(delivery.received_at),
    ]
    lines = [first]
    if delivery.reason:
        lines.append([text(f"Failed {delivery.attempts} times: {cut(delivery.reason, 1000)}")])
    if delivery.subject:
        lines.append([text(f"In the order of: {cut(delivery.subject, 300)}")])
    headers = "\n".join(f"{name}: {value}" for name, value in contents.headers.items())
    shown = [preformatted(part, limit) for part, limit in ((headers, 1500), (contents.body, 4000))]
    blocks: list[Block] = [rich(*[paragraph(line) for line in lines], *shown)]
    if delivery.state == "failed" or (delivery.state == "received" and delivery.attempts):
        value = f"{delivery.integration} {delivery.key}"
        again = Button("Process again", names.DELIVERY_REPLAY, value=value)
        blocks.append(ActionsBlock([again]))
    words = f"Delivery {delivery.key} of {delivery.integration} {delivery.state}: {delivery.reason}"
    return Content(text=escape_mrkdwn(cut(words, 2_500)), blocks=dicts(blocks))


def _standing(standing: Standing) -> Line:
    line: Line = [
        bold(standing.integration),
        text(f" {standing.waiting} waiting, {standing.failed} failed, {standing.done} done"),
    ]
    if standing.oldest is not None:
        line += [text(" · the oldest waits since "), moment(standing.oldest)]
    return line


def _bulleted(lines: list[Line], nothing: str) -> list[RichTextObject]:
    return [bullets(*lines)] if lines else [paragraph([text(nothing)])]
