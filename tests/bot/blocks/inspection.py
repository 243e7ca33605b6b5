"""What a test looks for in Block Kit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

LIVE_TYPES = frozenset({"broadcast", "channel", "usergroup", "image", "video", "file"})
_OURS = re.compile(r"<!date\^\d+\^\{date_short_pretty\} at \{time\}\|[0-9: A-Z-]+>")


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object inside."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from objects(inner)


def texts(value: Any) -> list[str]:
    """Every text that is shown; of a date what is shown where it cannot be localised."""
    found = [o.get("text", o.get("fallback")) for o in objects(value)]
    return [text for text in found if isinstance(text, str)]


def shown(value: Any) -> str:
    """All that is shown, as one text."""
    return "\n".join(texts(value))


def links(value: Any) -> set[str]:
    """Addresses that can be followed."""
    return {o["url"] for o in objects(value) if "url" in o}


def people(value: Any) -> set[str]:
    """People who are mentioned."""
    return {o["user_id"] for o in objects(value) if o.get("type") == "user"}


def live_markup(value: Any) -> list[str]:
    """Control sequences in texts that Slack parses, but for the dates that we write."""
    parsed = [o["text"] for o in objects(value) if o.get("type") in {"mrkdwn", "markdown"}]
    return [found for text in parsed for found in re.findall(r"<[^>]*>?", _OURS.sub("", text))]


def assert_inert(blocks: Any, spoken: str = "") -> None:
    """Nothing that pings, loads or leads anywhere came out of hostile text."""
    assert live_markup(blocks) == []
    assert "<" not in spoken
    kinds = {o.get("type") for o in objects(blocks)}
    assert not kinds & LIVE_TYPES, kinds & LIVE_TYPES
    assert not [url for url in links(blocks) if "evil" in url]
