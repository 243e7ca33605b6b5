"""Expressions in workflow files: `${parameters.commit}`, `${size(parameters.hosts) + 1}`.

A string that is one expression keeps its value's type; inside longer text the value becomes text.
Values are data: what an expression gives is never read as an expression.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from pydantic import JsonValue

from core.expressions import Expression, ExpressionError, Types, compile_expression, look_up
from core.expressions.lexer import closing_brace

__all__ = [
    "Expression",
    "ExpressionError",
    "Types",
    "check_condition",
    "check_text",
    "compile_expression",
    "look_up",
    "references",
    "render",
    "sole_expression",
    "templates",
]

_OPENING = "${"


def templates(
    value: JsonValue, place: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every string in `value` that holds an expression, with its place; depth first."""
    if isinstance(value, str):
        if _OPENING in value:
            yield place, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from templates(item, (*place, key))
    elif isinstance(value, Sequence):
        for position, item in enumerate(value):
            yield from templates(item, (*place, position))


def references(value: JsonValue) -> Iterator[str]:
    """Every dotted path that expressions in `value` refer to, depth first.

    Raises:
        ExpressionError: one cannot be read.
    """
    for _, text in templates(value):
        for expression in _expressions(text):
            yield from sorted(expression.references)


def render(value: JsonValue, scope: Mapping[str, JsonValue], keep: frozenset[str]) -> JsonValue:
    """Replace the expressions in `value` by their values in `scope`.

    Expressions that refer to a root in `keep` stay as they are, whole (a later step's output is
    not known when the plan is made).

    Raises:
        ExpressionError: an expression has no value, or, where something is kept, the values would
            make a `${` that is read as an expression later.
    """
    if isinstance(value, str):
        return _render_text(value, scope, keep)
    if isinstance(value, Mapping):
        return {key: render(item, scope, keep) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [render(item, scope, keep) for item in value]
    return value


def check_text(text: str, types: Types) -> Iterator[str]:
    """What is wrong with the expressions in one string."""
    try:
        parts = _parts(text)
    except ExpressionError as error:
        yield str(error)
        return
    for source in parts[1::2]:
        try:
            found = compile_expression(source, types).type
        except ExpressionError as error:
            yield str(error)
            continue
        if found in {"list", "map"} and any(part for part in parts[::2]):
            yield f"{source}: a {found} cannot stand inside text; let it stand alone."


def sole_expression(text: str) -> str | None:
    """The source of the one expression that `text` is, if it is nothing else.

    Raises:
        ExpressionError: it begins an expression that has no end.
    """
    parts = _parts(text)
    return parts[1] if len(parts) == 3 and not parts[0] and not parts[2] else None


def check_condition(source: str, types: Types) -> Iterator[str]:
    """What is wrong with a condition, such as a step's `when`."""
    try:
        found = compile_expression(source, types).type
    except ExpressionError as error:
        yield str(error)
        return
    if found not in {"boolean", "any"}:
        yield f"{source}: must be true or false, but is of type {found}."


@lru_cache(maxsize=256)
def _parts(text: str) -> tuple[str, ...]:
    """Text, expression, text, …: the expressions have the odd places."""
    parts = []
    place = 0
    while (opening := text.find(_OPENING, place)) >= 0:
        end = closing_brace(text, opening + len(_OPENING))
        parts += [text[place:opening], text[opening + len(_OPENING) : end].strip()]
        place = end + 1
    return (*parts, text[place:])


def _expressions(text: str) -> list[Expression]:
    return [compile_expression(source, None) for source in _parts(text)[1::2]]


def _render_text(text: str, scope: Mapping[str, JsonValue], keep: frozenset[str]) -> JsonValue:
    if _OPENING not in text:
        return text
    source = sole_expression(text)
    if source is not None:
        expression = compile_expression(source, None)
        if expression.roots & keep:
            return text
        value = expression.evaluate(scope)
        if keep:
            _require_no_opening(value, expression.source)
        return value
    return _render_parts(_parts(text), scope, keep)


def _render_parts(
    parts: tuple[str, ...], scope: Mapping[str, JsonValue], keep: frozenset[str]
) -> str:
    rendered = [parts[0]]  # texts, between them the expressions that are kept
    for source, text in zip(parts[1::2], parts[2::2], strict=True):
        expression = compile_expression(source, None)
        if expression.roots & keep:
            rendered += [f"{_OPENING}{source}}}", text]
        else:
            rendered[-1] += _text(expression.evaluate(scope), source) + text
            if keep:
                _require_no_opening(rendered[-1], source)
    return "".join(rendered)


def _text(value: JsonValue, source: str) -> str:
    if isinstance(value, Mapping | list):
        raise ExpressionError(f"{source} is not text and cannot stand inside text.")
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _require_no_opening(value: JsonValue, source: str) -> None:
    """A plan is read once more when its steps run: values must not look like expressions then."""
    if next(templates(value), None) is not None:
        raise ExpressionError(
            f"{source}: its value would make '{_OPENING}', which begins an expression; change the "
            "value, or the text around it."
        )
