"""Makes outsiders' text inert: no mention, broadcast, image or hidden link survives in it.

Slack's rules: https://docs.slack.dev/messaging/formatting-message-text. Where text can be kept
out of a markup at all (`plain_text`, `rich_text` text elements) that is done instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_BREAK = "\N{ZERO WIDTH SPACE}"
_HELD_CHARACTERS = 2_000

_SPECIAL = re.compile(r"<(?=[!@#/a-z])", re.IGNORECASE)
_BROADCAST = re.compile(r"@(?=(?:here|channel|everyone)\b)", re.IGNORECASE)
_IMAGE = re.compile(r"!(?=\[)")
_DEFINITION = re.compile(r"\](?=:)")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s<>|)\]\"'`]*", re.IGNORECASE)
_MAIL = re.compile(r"\b(?P<scheme>mailto|tel|javascript|data|slack):", re.IGNORECASE)
_LINK = re.compile(r"\]\((?P<target>[^)]*)")


def escape_mrkdwn(text: str) -> str:
    """Text for a `mrkdwn` object or a message's `text`: the three control characters, escaped."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@dataclass(frozen=True)
class LinkPolicy:
    """Which links in outsiders' Markdown stay links.

    Attributes:
        hosts: exact host names; for https also everything below them.
        bases: URL prefixes that are ours, such as `http://127.0.0.1:8800/`.
    """

    hosts: frozenset[str] = frozenset()
    bases: tuple[str, ...] = ()

    def allows(self, url: str) -> bool:
        """Whether `url` may be a link; not where it carries another address to go on to."""
        if url.count("://") != 1:
            return False
        if any(base and url.startswith(base.rstrip("/") + "/") for base in self.bases):
            return plain_url(url) is not None
        host = plain_url(url)
        if host is None or not url.lower().startswith("https://"):
            return False
        return any(host == known or host.endswith("." + known) for known in self.hosts)


def plain_url(url: str) -> str | None:
    """The host of an ordinary http(s) address; None for anything else or odd in it."""
    if len(url) > 2_000 or any(c in url for c in '<>|"`\\') or re.search(r"[\s\x00-\x1f]", url):
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return None
    if parts.scheme.lower() not in {"http", "https"} or not host or "@" in parts.netloc:
        return None
    return host.lower()


def neutralise_markdown(text: str, links: LinkPolicy) -> str:
    """Markdown in which nothing is live but links that `links` allows.

    Every word is looked at for itself, so a stream gives the same as the whole text.
    """
    return "".join(
        part if part.isspace() else _neutral_word(part, links) for part in re.split(r"(\s+)", text)
    )


class StreamNeutraliser:
    """`neutralise_markdown` for text that comes in pieces, cut anywhere.

    The last word is held back until it is whole. One that is longer than 2,000 characters is
    broken there with an invisible space.
    """

    def __init__(self, links: LinkPolicy) -> None:
        self._links = links
        self._held = ""

    def feed(self, text: str) -> str:
        """What can be shown after `text` has come in as well."""
        whole = self._held + text
        border = max((m.end() for m in re.finditer(r"\s", whole)), default=0)
        ready, self._held = whole[:border], whole[border:]
        shown = neutralise_markdown(ready, self._links)
        while len(self._held) > _HELD_CHARACTERS:
            head, self._held = self._held[:_HELD_CHARACTERS], self._held[_HELD_CHARACTERS:]
            shown += _neutral_word(head, self._links) + _BREAK
        return shown

    def close(self) -> str:
        """The rest."""
        rest, self._held = self._held, ""
        return neutralise_markdown(rest, self._links)


def _neutral_word(word: str, links: LinkPolicy) -> str:
    word = _LINK.sub(lambda m: m[0] if links.allows(m["target"]) else f"]{_BREAK}{m[0][1:]}", word)
    word = _URL.sub(
        lambda m: m[0] if links.allows(m[0]) else m[0].replace("://", f":{_BREAK}//"), word
    )
    word = _MAIL.sub(lambda m: f"{m['scheme']}{_BREAK}:", word)
    word = _SPECIAL.sub(f"<{_BREAK}", word)
    word = _BROADCAST.sub(f"@{_BREAK}", word)
    word = _IMAGE.sub(f"!{_BREAK}", word)
    return _DEFINITION.sub(f"]{_BREAK}", word)
