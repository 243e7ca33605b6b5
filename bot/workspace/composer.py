"""What Slack's composer makes of typed text, and what Slack tells apps about it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bot.workspace.records import ChannelRecord, GroupRecord, Json, UserRecord

_TYPED = re.compile(
    r"(?P<url>https?://[^\s<>|`]+[^\s<>|`.,;:!?'\")\]])"
    r"|(?<![\w@&])@(?P<handle>[a-z0-9][a-z0-9._-]*)"
    r"|(?<![\w#&])#(?P<channel>[a-z0-9][a-z0-9_-]*)",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"<@(?P<user>[UW][A-Z0-9]+)(?:\|[^>]*)?>"
    r"|<#(?P<channel>[CG][A-Z0-9]+)(?:\|[^>]*)?>"
    r"|<!subteam\^(?P<group>S[A-Z0-9]+)(?:\|[^>]*)?>"
    r"|<!(?P<broadcast>here|channel|everyone)>"
    r"|<(?P<url>https?://[^>|]+)(?:\|(?P<label>[^>]*))?>"
)
_BROADCASTS = frozenset({"here", "channel", "everyone"})


def escape(text: str) -> str:
    """Escapes the three characters that Slack's mrkdwn gives a meaning."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def unescape(text: str) -> str:
    """Undoes `escape`."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


class Composer:
    """Turns typed text into Slack's wire form with the names that exist now.

    Args:
        users, groups, channels: whom `@handle` and `#channel` can mean.
    """

    def __init__(
        self,
        users: Iterable[UserRecord],
        groups: Iterable[GroupRecord],
        channels: Iterable[ChannelRecord],
    ) -> None:
        self._users = {user.name: user for user in users}
        self._groups = {group.handle: group for group in groups}
        self._channels = {channel.name: channel for channel in channels if channel.name}

    def compose(self, typed: str, *, labelled: bool = False) -> str:
        """Escapes text and makes mentions, links and broadcasts of what names something.

        Args:
            typed: as in the input box.
            labelled: user mentions as `<@U…|name>`, the form of escaped slash commands.
        """
        out: list[str] = []
        position = 0
        for match in _TYPED.finditer(typed):
            token = self._token(match, labelled=labelled)
            if token is None:
                continue
            replacement, consumed = token
            out.append(escape(typed[position : match.start()]))
            out.append(replacement)
            position = match.start() + consumed
        out.append(escape(typed[position:]))
        return "".join(out)

    def _token(self, match: re.Match[str], *, labelled: bool) -> tuple[str, int] | None:
        if match["url"]:
            return f"<{match['url'].replace('&', '&amp;')}>", len(match[0])
        if match["channel"]:
            channel = self._channels.get(match["channel"].lower())
            return (f"<#{channel.id}|{channel.name}>", len(match[0])) if channel else None
        handle = match["handle"].lower()
        while handle:
            if user := self._users.get(handle):
                label = f"|{user.name}" if labelled else ""
                return f"<@{user.id}{label}>", len(handle) + 1
            if group := self._groups.get(handle):
                return f"<!subteam^{group.id}|@{group.handle}>", len(handle) + 1
            if handle in _BROADCASTS:
                return f"<!{handle}>", len(handle) + 1
            # "@bob." and "@bob-" end a sentence; the handle is what is before the mark.
            shorter = handle.rstrip("._-")
            if shorter == handle:
                return None
            handle = shorter
        return None


def mentions(text: str, user: str) -> bool:
    """Whether wire text mentions the user."""
    return any(match["user"] == user for match in _TOKEN.finditer(text))


def rich_text(text: str, block_id: str) -> Json:
    """The `rich_text` block that Slack puts beside a person's message, without styles."""
    elements: list[Json] = []
    position = 0
    for match in _TOKEN.finditer(text):
        if before := text[position : match.start()]:
            elements.append({"type": "text", "text": unescape(before)})
        if match["user"]:
            elements.append({"type": "user", "user_id": match["user"]})
        elif match["channel"]:
            elements.append({"type": "channel", "channel_id": match["channel"]})
        elif match["group"]:
            elements.append({"type": "usergroup", "usergroup_id": match["group"]})
        elif match["broadcast"]:
            elements.append({"type": "broadcast", "range": match["broadcast"]})
        else:
            link: Json = {"type": "link", "url": unescape(match["url"])}
            if match["label"]:
                link["text"] = unescape(match["label"])
            elements.append(link)
        position = match.end()
    if rest := text[position:]:
        elements.append({"type": "text", "text": unescape(rest)})
    return {
        "type": "rich_text",
        "block_id": block_id,
        "elements": [{"type": "rich_text_section", "elements": elements}],
    }
