"""What a person types for a tool's arguments, from the tool's JSON Schema.

A list of texts is typed as `a,b,c`, and what has more parts as JSON.
"""

from __future__ import annotations

import re

from pydantic import JsonValue, ValidationError

from core.records import storable
from core.workflows.definition import Parameter
from integrations.mcp.schemas import kinds_of
from integrations.mcp.tools import ApprovedTool
from integrations.text import clip

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
_PLAIN = frozenset({"string", "integer", "number", "boolean"})
_LONGEST = 3000


def parameters_of(tool: ApprovedTool) -> dict[str, Parameter] | None:
    """For each argument that can be typed, what it is; None where one that must be given cannot.

    Args:
        tool: with a schema that `arguments_of` takes.
    """
    properties = tool.input_schema.get("properties", {})
    assert isinstance(properties, dict)  # noqa: S101 - `arguments_of` has looked
    found = {
        name: _parameter(property_, tool)
        for name, property_ in properties.items()
        if _NAME.fullmatch(name)
    }
    return found if required_of(tool) <= set(found) else None


def required_of(tool: ApprovedTool) -> frozenset[str]:
    """The arguments that must be given."""
    required = tool.input_schema.get("required")
    named = [str(name) for name in required] if isinstance(required, list) else []
    return frozenset({*named, *tool.only})


def _parameter(property_: JsonValue, tool: ApprovedTool) -> Parameter:
    said = property_.get("description") if isinstance(property_, dict) else None
    kinds = kinds_of(property_, tool.input_schema)
    words = f"the server says: {said}" if isinstance(said, str) and said else "of the tool"
    if kinds is not None and len(kinds) == 1 and kinds <= _PLAIN:
        choices = property_.get("enum") if isinstance(property_, dict) else None
        kept = choices if choices and choices == storable(choices) else ()
        return _typed({"type": next(iter(kinds)), "choices": kept}, words)
    if kinds == frozenset({"array"}) and _of_texts(property_, tool):
        return _typed({"type": "list", "max_items": 200}, words)
    if kinds is not None and "string" not in kinds:
        words = f"as JSON; {words}"
    return _typed({}, words)


def _typed(fields: dict[str, JsonValue | tuple[()]], words: str) -> Parameter:
    """With the choices, where they can be those of a parameter; else the schema alone has them."""
    fields |= {"description": clip(words, 200), "max_length": _LONGEST}
    try:
        return Parameter.model_validate(fields)
    except ValidationError:
        return Parameter.model_validate({**fields, "choices": ()})


def _of_texts(property_: JsonValue, tool: ApprovedTool) -> bool:
    items = property_.get("items") if isinstance(property_, dict) else None
    return kinds_of(items, tool.input_schema) == frozenset({"string"})
