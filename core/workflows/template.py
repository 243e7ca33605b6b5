"""References in workflow files: `${parameters.commit}`, `${event.title}`, `${steps.build.url}`.

A string that is one reference keeps the value's type; inside longer text it becomes text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue

from core.errors import InvalidRequestError

_REFERENCE = re.compile(r"\$\{\s*([A-Za-z_][\w-]*(?:\.[\w-]+)*)\s*\}")


def references(value: JsonValue) -> Iterator[str]:
    """Every dotted path that `value` refers to, depth first."""
    if isinstance(value, str):
        yield from _REFERENCE.findall(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from references(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from references(item)


def render(value: JsonValue, scope: Mapping[str, JsonValue], keep: frozenset[str]) -> JsonValue:
    """Replace the references in `value` by what they name in `scope`.

    References whose first word is in `keep` stay as they are (a later step's output is not known
    when the plan is made).

    Raises:
        InvalidRequestError: a reference names nothing.
    """
    if isinstance(value, str):
        return _render_text(value, scope, keep)
    if isinstance(value, Mapping):
        return {key: render(item, scope, keep) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [render(item, scope, keep) for item in value]
    return value


def _render_text(text: str, scope: Mapping[str, JsonValue], keep: frozenset[str]) -> JsonValue:
    whole = _REFERENCE.fullmatch(text)
    if whole and whole[1].split(".")[0] not in keep:
        return look_up(whole[1], scope)

    def replace(match: re.Match[str]) -> str:
        if match[1].split(".")[0] in keep:
            return match[0]
        found = look_up(match[1], scope)
        if isinstance(found, Mapping | list):
            raise InvalidRequestError(f"${{{match[1]}}} is not text and cannot stand inside text.")
        return _text(found)

    return _REFERENCE.sub(replace, text)


def _text(value: JsonValue) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def look_up(path: str, scope: Mapping[str, JsonValue]) -> JsonValue:
    """The value at a dotted path.

    Raises:
        InvalidRequestError: nothing is there; the message lists what is.
    """
    found: JsonValue = dict(scope)
    for word in path.split("."):
        if not isinstance(found, Mapping) or word not in found:
            known = ", ".join(sorted(found)) if isinstance(found, Mapping) else "nothing"
            raise InvalidRequestError(f"${{{path}}}: there is no '{word}'; there is {known}.")
        found = found[word]
    return found
