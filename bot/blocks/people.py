"""Who stands in for whom, what is to be reviewed, and what the policy says of a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from slackblocks import RichTextElement

from bot.blocks.layout import (
    Content,
    bold,
    bullets,
    code,
    cut,
    dicts,
    moment,
    paragraph,
    person,
    rich,
    text,
    with_people,
)
from bot.slack.escaping import escape_mrkdwn
from core.security.delegations import Delegation
from core.security.reviews import Review

_MOST = 20
Line = list[RichTextElement]


def standing_in(own: Delegation | None, for_you: Sequence[Delegation], command: str) -> Content:
    """Who stands in for a person, and for whom they do.

    Args:
        own: the person's own delegation.
        for_you: those of others who have named the person.
    """
    lines: list[Line] = []
    if own is not None:
        begins: Line = [text(", from "), moment(own.starts_at)]
        until: Line = [text(" until "), moment(own.ends_at)]
        end: Line = [text(". You are back: "), code(f"{command} away back")]
        lines.append([person(own.delegate), text(" stands in for you"), *begins, *until, *end])
    lines += [
        [text("You stand in for "), person(other.user), text(" until "), moment(other.ends_at)]
        for other in for_you[:_MOST]
    ]
    if not lines:
        lines.append([text("Nobody stands in for you. "), code(f"{command} away @name for 3d")])
    spoken = f"{own.delegate} stands in for you." if own else "Nobody stands in for you."
    if for_you:
        spoken += f" You stand in for {', '.join(other.user for other in for_you)}."
    blocks = dicts([rich(paragraph([bold("While people are away")]), bullets(*lines))])
    return Content(text=escape_mrkdwn(spoken), blocks=blocks)


def review_list(found: Sequence[Review], now: datetime, command: str) -> Content:
    """The reviews that stand open."""
    if not found:
        words = "No review stands open: nobody broke the glass without somebody looking at it."
        return Content(text=words, blocks=dicts([rich(paragraph([text(words)]))]))
    lines: list[Line] = []
    for review in found[:_MOST]:
        late = " · overdue" if review.due_at < now else ""
        lines.append(
            [
                code(review.run_id),
                bold(f" {cut(review.workflow, 60)}"),
                text(" · "),
                person(review.user),
                text(f" broke the glass: {cut(review.reason, 300)} · due "),
                moment(review.due_at),
                bold(late) if late else text(""),
            ]
        )
    how: Line = [text("To close one: "), code(f"{command} reviews RUN WHAT YOU FOUND")]
    spoken = "; ".join(f"{review.run_id} {review.workflow}" for review in found[:_MOST])
    blocks = dicts([rich(paragraph([bold("To be reviewed")]), bullets(*lines), paragraph(how))])
    return Content(text=escape_mrkdwn(cut(f"To be reviewed: {spoken}", 2_500)), blocks=blocks)


def explained(lines: Sequence[str], user: str) -> Content:
    """What the policy says, as plain lines."""
    shown = [with_people(cut(line.removeprefix("- "), 400), [user]) for line in lines]
    head, *rest = shown
    parts = [paragraph(head), bullets(*rest)] if rest else [paragraph(head)]
    spoken = escape_mrkdwn(cut(" ".join(lines), 2_500))
    return Content(text=spoken, blocks=dicts([rich(*parts)]))
