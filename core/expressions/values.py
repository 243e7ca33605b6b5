"""Values on their way into CEL and out of it.

What goes in is bounded in depth and size: CEL's C++ code descends into nested values without a
limit of its own, and would end the process.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from core.errors import InvalidRequestError
from core.expressions.lexer import Outline
from core.records import storable_text

MOST_VALUES = 250_000
"""Characters and items of all that one expression refers to."""

_MOST_WORK = 100_000_000
_MOST_ITERATIONS = 10_000  # CEL's own limit; it stops there
_DEEPEST = 32
_SAFE_INTEGER = 2**53 - 1  # RFC 8785 canonical JSON holds integers exactly up to here


def look_up(path: str | Sequence[str], scope: Mapping[str, JsonValue]) -> JsonValue:
    """The value at a path, `steps.build.url` or its words.

    Raises:
        InvalidRequestError: nothing is there; the message lists what is.
    """
    words = path.split(".") if isinstance(path, str) else path
    found: JsonValue = dict(scope)
    for word in words:
        if not isinstance(found, Mapping) or word not in found:
            known = ", ".join(sorted(found)) if isinstance(found, Mapping) else ""
            raise InvalidRequestError(
                f"{'.'.join(words)}: there is no '{word}'; there is {known or 'nothing'}."
            )
        found = found[word]
    return found


def cut_to(paths: frozenset[tuple[str, ...]], scope: Mapping[str, JsonValue]) -> dict[str, Any]:
    """What of `scope` is at `paths`, as far as their first two words say."""
    kept: dict[str, Any] = {}
    for root in sorted({path[0] for path in paths} & scope.keys()):
        value = scope[root]
        names = {path[1] if len(path) > 1 else None for path in paths if path[0] == root}
        if isinstance(value, Mapping) and None not in names:
            kept[root] = {name: item for name, item in value.items() if name in names}
        else:
            kept[root] = value
    return kept


class Weighed:
    """Values as CEL takes them, counted.

    Attributes:
        values: the same, with lists for tuples and without characters that cannot be stored.
        size: characters and items in all.
        longest: items of the longest list or map.

    Raises:
        ValueError: they are too large or too deep, or hold something that is no JSON value.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.size = 0
        self.longest = 0
        self.values: dict[str, Any] = {
            name: self._weigh(value, name, _DEEPEST) for name, value in values.items()
        }

    def _weigh(self, value: Any, name: str, depth: int) -> Any:
        if depth == 0:
            raise ValueError(f"'{name}' is nested deeper than {_DEEPEST} levels")
        self.size += len(value) if isinstance(value, str) else 1
        if self.size > MOST_VALUES:
            raise ValueError(
                f"'{name}' is too large: an expression takes {MOST_VALUES} characters and items "
                "(a name that stands alone, like ${steps.build.output}, has no limit)"
            )
        if isinstance(value, str):
            return storable_text(value)
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            if abs(value) > _SAFE_INTEGER:
                raise ValueError(f"'{name}' holds an integer beyond ±(2^53 - 1); give it as a text")
            return value
        if isinstance(value, Mapping):
            self.longest = max(self.longest, len(value))
            return {
                self._weigh(str(key), name, depth): self._weigh(item, name, depth - 1)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            self.longest = max(self.longest, len(value))
            return [self._weigh(item, name, depth - 1) for item in value]
        raise ValueError(f"'{name}' holds a {type(value).__name__}, which is no JSON value")


def work(found: Outline, source: str, weighed: Weighed) -> int:
    """An upper bound of the characters that evaluating handles.

    Matching costs up to the product of text and pattern; searching for a text gets slower with
    the length of what is searched for (measured: 250,000 characters in 0.15 s).
    """
    size = weighed.size + len(source)
    copies = int((1 + found.growth) ** (1 + found.macros))
    longest = max(weighed.longest * (1 + found.growth), len(source))
    rounds = min(1 + found.macros * int(longest**found.depth), _MOST_ITERATIONS)
    per_character = 1
    if found.patterns:
        per_character = len(source)
    if found.searches:
        per_character = max(per_character, size // 4096)
    return size * copies * rounds * per_character


def require_little_work(found: Outline, source: str, weighed: Weighed) -> None:
    """Let pass what is done in a moment.

    Raises:
        ValueError: it could take seconds, or gigabytes.
    """
    if work(found, source, weighed) > _MOST_WORK:
        raise ValueError(
            "it could take too long on values of this size; go through fewer or shorter lists, "
            "or join texts (+) outside of them"
        )


def as_json(value: Any) -> JsonValue:
    """What CEL gave back.

    Raises:
        ValueError: it is no JSON value, or a number that JSON does not hold exactly.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, int):
        if abs(value) > _SAFE_INTEGER:
            raise ValueError(f"its value {value} is too large a number")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("its value is not a finite number")
        return value
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("its value is a map with names that are not texts")
        return {storable_text(key): as_json(item) for key, item in value.items()}
    if isinstance(value, datetime.datetime | datetime.timedelta | bytes | bytearray):
        raise ValueError("its value is no text; write string(…) around it")  # noqa: TRY004
    raise ValueError("its value is a type; compare it, or leave type(…) out")
