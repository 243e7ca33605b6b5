"""Conditions of steps: what a `when` says, as soon as all that it names is known."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from core.errors import InvalidRequestError
from core.expressions import compile_expression


def roots(source: str) -> frozenset[str]:
    """The first words of what a condition refers to, such as `parameters` or `steps`."""
    return compile_expression(source, None).roots


def holds(source: str, scope: Mapping[str, JsonValue]) -> bool:
    """Whether the condition is true.

    Raises:
        InvalidRequestError: it cannot be evaluated, or is neither true nor false.
    """
    value = compile_expression(source, None).evaluate(scope)
    if not isinstance(value, bool):
        raise InvalidRequestError(f"The condition {source} is neither true nor false.")
    return value
