"""Parts of a delivery, picked by the expressions of an integration's file.

Texts hold them as workflows do: `${body.repository.name}`, `${headers["x-delivery"]}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, JsonValue, StringConstraints

from core.expressions import ExpressionError, Types, compile_expression
from core.workflows.template import check_condition, check_text, references, render
from integrations.text import clip
from integrations.webhooks import MalformedDeliveryError, in_utc

_KNOWN = Types(others={"body": "any", "headers": "map"})
_LATEST_S = 253_402_300_799  # the year 9999
_FIRST_MS = 100_000_000_000  # as seconds this would be the year 5138


def _require_known(roots: frozenset[str]) -> None:
    if unknown := sorted(roots - {"body", "headers"}):
        raise ValueError(f"there is no '{unknown[0]}'; there is body and headers")


def _template(text: str) -> str:
    try:
        _require_known(frozenset(path.split(".")[0] for path in references(text)))
    except ExpressionError as error:
        raise ValueError(str(error).rstrip(".")) from error
    for problem in check_text(text, _KNOWN):
        raise ValueError(problem.rstrip("."))
    return text


def _condition(source: str) -> str:
    try:
        _require_known(compile_expression(source, None).roots)
    except ExpressionError as error:
        raise ValueError(str(error).rstrip(".")) from error
    for problem in check_condition(source, _KNOWN):
        raise ValueError(problem.rstrip("."))
    return source


Template = Annotated[
    str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_template)
]
"""A text with expressions over `body` and `headers`."""

Condition = Annotated[
    str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_condition)
]
"""An expression over `body` and `headers` that is true or false."""


class Picker:
    """One delivery, as expressions see it.

    Args:
        headers: lower-case names; those that hold a secret are left out.
    """

    def __init__(self, headers: Mapping[str, str], body: JsonValue) -> None:
        self._scope: dict[str, JsonValue] = {"headers": dict(headers), "body": body}

    def value(self, template: str, what: str) -> JsonValue:
        """What `template` gives; its type is kept where it is one expression and nothing else.

        Raises:
            MalformedDeliveryError: it has no value; the message names the setting, `what`.
        """
        try:
            return render(template, self._scope, frozenset())
        except ExpressionError as error:
            raise MalformedDeliveryError(clip(f"{what}: {error}", 300)) from error

    def text(self, template: str, what: str) -> str:
        """As `value`, as text on one line.

        Raises:
            MalformedDeliveryError: it has no value, or one that is not text or a number.
        """
        value = self.value(template, what)
        if value is None or isinstance(value, list | dict):
            raise MalformedDeliveryError(f"{what}: it is not text")
        return clip(str(value), 2000)

    def holds(self, condition: str, what: str) -> bool:
        """Whether `condition` is true.

        Raises:
            MalformedDeliveryError: it is neither true nor false.
        """
        try:
            return compile_expression(condition, None).holds(self._scope)
        except ExpressionError as error:
            raise MalformedDeliveryError(clip(f"{what}: {error}", 300)) from error

    def time(self, template: str, what: str) -> datetime:
        """A moment: seconds or milliseconds since 1970, or RFC 3339.

        Raises:
            MalformedDeliveryError: it is none.
        """
        return moment(self.value(template, what), what)


def moment(value: JsonValue, what: str) -> datetime:
    """A moment, in UTC: seconds or milliseconds since 1970, or RFC 3339.

    Raises:
        MalformedDeliveryError: it is none.
    """
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if 0 <= value < _FIRST_MS:
            return datetime.fromtimestamp(value, UTC)
        if 0 <= value <= _LATEST_S * 1000:
            return datetime.fromtimestamp(value / 1000, UTC)
    elif isinstance(value, str):
        try:
            return in_utc(datetime.fromisoformat(value))
        except (ValueError, OverflowError):
            pass
    raise MalformedDeliveryError(f"{what}: it is not a time")
