"""Messages of any shape as an event's dotted kind and flat attributes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import Field, JsonValue, StringConstraints

from integrations.text import clip, tidy, web_address

EventKind = Annotated[str, StringConstraints(pattern=r"^[a-z_]+(\.[a-z_]+)*$", max_length=80)]
"""As in `core.records.Event`."""

Kinds = Annotated[dict[str, EventKind], Field(max_length=100)]
"""Shell patterns of the sender's types to our kinds; the first that fits counts."""

_DEEPEST = 4
_MOST = 64
_MOST_ITEMS = 50
_SAFE_INTEGER = 2**53 - 1


def kind_of(name: str, kinds: Mapping[str, str]) -> str:
    """The kind for a sender's type: as `kinds` say, else made of its letters.

    `com.example.orderPaid.v2` is `com.example.order_paid.v`; what has no letters is `message`.
    """
    for pattern, kind in kinds.items():
        if fnmatchcase(name, pattern):
            return kind
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name[:300]).lower()
    parts = (re.sub(r"[^a-z]+", "_", part).strip("_") for part in words.split("."))
    return ".".join(filter(None, parts))[:80].strip("._") or "message"


def attributes_of(data: JsonValue) -> dict[str, JsonValue]:
    """The plain values in `data`, the first 64: `{"repository": {"name": "shop"}}` gives
    `repository_name`. Lists count where they hold texts and numbers only."""
    found: dict[str, JsonValue] = {}
    for name, value in _walk(data, "", _DEEPEST):
        if len(found) == _MOST:
            break
        found.setdefault(name, attribute(name, value))
    return found


def attribute(name: str, value: JsonValue) -> JsonValue:
    """`value` made fit for an event; what is called `url` or `…_url` is a web address or empty."""
    if name == "url" or name.endswith("_url"):
        return web_address(_plain(value))
    if isinstance(value, str):
        return tidy(value, 2000)
    if isinstance(value, list):
        return [clip(_plain(item), 300) for item in value[:_MOST_ITEMS]]
    if isinstance(value, bool | float):
        return value
    if isinstance(value, int) and abs(value) <= _SAFE_INTEGER:
        return value
    return _plain(value)


def _walk(data: JsonValue, prefix: str, depth: int) -> Iterator[tuple[str, JsonValue]]:
    if not isinstance(data, Mapping):
        return
    for key, value in data.items():
        name = prefix + re.sub(r"\W+", "_", key[:100], flags=re.ASCII).strip("_").lower()
        if not name or len(name) > 100:
            continue
        if isinstance(value, Mapping):
            if depth > 1:
                yield from _walk(value, f"{name}_", depth - 1)
        elif not isinstance(value, list) or not any(isinstance(v, list | dict) for v in value):
            yield name, value


def _plain(value: JsonValue) -> str:
    if isinstance(value, list | dict) or value is None:
        return ""
    # Python refuses to write integers of thousands of digits, which JSON can hold.
    huge = isinstance(value, int) and abs(value) > 10**300
    return "a very large number" if huge else str(value)
