"""A call: mentions of the people who are needed, and what for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from slackblocks import RichTextElement, RichTextUserGroup

from bot.blocks.layout import Content, cut, dicts, paragraph, person, rich, with_people
from bot.blocks.layout import text as plain
from bot.slack.escaping import escape_mrkdwn

_GROUP_ID = re.compile(r"S[A-Z0-9]{2,30}")
_USER_ID = re.compile(r"[UW][A-Z0-9]{2,30}")
_CHARACTERS = 2_000


def call(
    words: str,
    groups: Mapping[str, str | None],
    users: Sequence[str],
    named: Sequence[str] = (),
) -> Content:
    """The message.

    Args:
        words: plain text; mentions in it stay text.
        groups: handle to id; a group without one is named and not notified.
        users: ids of people.
        named: ids in the words that are shown as people.
    """
    words = cut(words, _CHARACTERS)
    elements: list[RichTextElement] = []
    spoken: list[str] = []
    for handle, group in groups.items():
        if group is not None and _GROUP_ID.fullmatch(group):
            elements.append(RichTextUserGroup(group))
            spoken.append(f"<!subteam^{group}>")
        else:
            elements.append(plain(f"@{handle}"))
            spoken.append(escape_mrkdwn(f"@{handle}"))
        elements.append(plain(" "))
    for user in users:
        elements += [person(user), plain(" ")]
        spoken.append(f"<@{user}>" if _USER_ID.fullmatch(user) else escape_mrkdwn(user))
    elements += with_people(words, named)
    blocks = dicts([rich(paragraph(elements))])
    return Content(text=" ".join([*spoken, escape_mrkdwn(words)]), blocks=blocks)
