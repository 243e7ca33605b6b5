"""What is another between two JSON values, in lines that people can read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue

_MOST = 8
_CHARACTERS = 120


def difference(signed: JsonValue, now: JsonValue) -> list[str]:
    """Lines such as `steps.revert.with.commit: was "a", is now "b"`; empty where nothing is.

    Items of lists go by their `id` or `type`, where they have one.
    """
    lines = list(_differences("", signed, now))
    if len(lines) > _MOST:
        lines[_MOST:] = [f"and {len(lines) - _MOST} more"]
    return lines


def _differences(path: str, signed: JsonValue, now: JsonValue) -> Iterator[str]:
    if signed == now:
        return
    before, after = _parts(signed), _parts(now)
    if before is None or after is None:
        yield f"{path}: was {_shown(signed)}, is now {_shown(now)}"
        return
    for name in dict.fromkeys((*before, *after)):
        inner = f"{path}.{name}" if path else name
        if name not in after:
            yield f"{inner}: was {_shown(before[name])}, is gone"
        elif name not in before:
            yield f"{inner}: is new, {_shown(after[name])}"
        else:
            yield from _differences(inner, before[name], after[name])
    if list(before) != list(after) and set(before) == set(after) and isinstance(now, Sequence):
        yield f"{path}: the order is now {', '.join(after)}"


def _parts(value: JsonValue) -> dict[str, JsonValue] | None:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        return {_name(item, number): item for number, item in enumerate(value, 1)}
    return None


def _name(item: JsonValue, number: int) -> str:
    if isinstance(item, Mapping):
        for key in ("id", "type"):
            if isinstance(named := item.get(key), str):
                return named
    return str(number)


def _shown(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 1] + "…"
