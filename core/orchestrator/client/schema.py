"""JSON schemas of pydantic models, as constrained decoding needs them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


def closed_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The model's JSON schema with every object closed.

    pydantic accepts unknown keys by default and its schemas say so; a language model that may
    invent keys does, without end.
    """
    schema = _closed(model.model_json_schema())
    if not isinstance(schema, dict):
        raise TypeError(f"the JSON schema of {model.__name__} is not an object")
    return schema


def _closed(node: Any) -> Any:
    if isinstance(node, list):
        return [_closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    closed = {key: _closed(value) for key, value in node.items()}
    if node.get("type") == "object" and isinstance(node.get("properties"), dict):
        closed.setdefault("additionalProperties", False)
    return closed
