"""Text from outside, made fit for one line, a message, an identifier."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping


def clip(text: str | None, limit: int) -> str:
    """`text` on one line, without control characters, at most `limit` characters."""
    line = " ".join((text or "").split())
    if not line.isprintable():
        line = "".join(character for character in line if character.isprintable())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def tidy(text: str | None, limit: int) -> str:
    """As `clip`, but lines stay lines."""
    lines = (clip(line, limit) for line in (text or "").strip().splitlines()[:limit])
    joined = "\n".join(lines)
    return joined if len(joined) <= limit else joined[: limit - 1] + "…"


def in_full(values: Mapping[str, str], limit: int) -> str:
    """Those of `values` that `clip` would change, each on lines of its own: who signs sees them."""
    changed = {name: value for name, value in sorted(values.items()) if clip(value, limit) != value}
    return "".join(f"\n{name}: {tidy(value, 4000)}" for name, value in changed.items())


def shorten(text: str, limit: int) -> str:
    """`text` where it is short enough, else its beginning and its digest: still one of a kind."""
    if len(text) <= limit:
        return text
    return f"{text[: limit - 65]}#{hashlib.sha256(text.encode()).hexdigest()}"


def web_address(url: str | None, limit: int = 500) -> str:
    """`url` where it is one of http or https and at most `limit` characters, else nothing."""
    address = clip(url, limit + 1)
    good = len(address) <= limit and address.lower().startswith(("https://", "http://"))
    return address if good else ""
