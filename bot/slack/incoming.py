"""What a person typed, from what Slack sends: mentions and links unwrapped, entities decoded."""

from __future__ import annotations

import re

_WRAPPED = re.compile(r"<(?P<target>[^<>|]{1,2000})(?:\|(?P<label>[^<>]{0,500}))?>")
_QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "\u00a0": " "})  # noqa: RUF001


def typed(text: str) -> str:
    """The text as it stood in the input box, as near as can be.

    `<@U1|ann>` becomes `U1`, `<#C1|deploys>` becomes `#deploys`, `<!here>` becomes `@here`, and
    a link becomes what was typed for it.
    """
    plain = _WRAPPED.sub(_unwrap, text)
    return plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").strip()


def straight(text: str) -> str:
    """The same with the quotation marks that phones and desktops make, made plain."""
    return text.translate(_QUOTES)


def without_mention(text: str, user: str) -> str:
    """The text without mentions of `user` at its beginning."""
    return re.sub(rf"^(\s*<@{re.escape(user)}(\|[^>]*)?>[\s,:]*)+", "", text)


def _unwrap(match: re.Match[str]) -> str:
    target, label = match["target"], match["label"]
    if target.startswith("@"):
        return target[1:]
    if target.startswith("#"):
        return f"#{label}" if label else target[1:]
    if target.startswith("!"):
        return label or "@" + target[1:].split("^", 1)[0]
    if label and target.split(":", 1)[-1].removeprefix("//") == label:
        return label
    return target
