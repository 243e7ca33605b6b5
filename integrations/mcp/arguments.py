"""From a tool's JSON Schema to typed arguments.

Checked twice: pydantic knows the names and plain types, so that `countersign check` finds a
misspelt one; `schemas` checks all else that the schema says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    create_model,
    model_validator,
)

from core.records import Frozen
from integrations.mcp.schemas import check_schema, kinds_of, mismatch
from integrations.mcp.tools import ApprovedTool

_TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list[JsonValue],
    "object": dict[str, JsonValue],
}
_MOST = 100


class Check(Frozen):
    """What holds for a tool's arguments beside their types."""

    schema_: dict[str, JsonValue]
    only: dict[str, tuple[str, ...]]
    foreign: bool

    def problem(self, given: Mapping[str, JsonValue]) -> str | None:
        """What is wrong with them, in words."""
        for name, patterns in self.only.items():
            value = given.get(name)
            if not isinstance(value, str) or not any(fnmatchcase(value, p) for p in patterns):
                return f"{name} must match one of {', '.join(patterns)}"
        return mismatch(self.schema_, given, foreign=self.foreign)


class ToolArguments(BaseModel):
    """What a tool is given. Only arguments that its schema names; those left out are not sent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    check: ClassVar[Check]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if problem := self.check.problem(self.given):
            raise ValueError(problem)
        return self

    @property
    def given(self) -> dict[str, JsonValue]:
        """As the server gets them."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


def arguments_of(name: str, tool: ApprovedTool) -> type[ToolArguments]:
    """The arguments' model.

    Args:
        name: of the model.

    Raises:
        ValueError: the schema is none, is not of an object, has too many properties, or has no
            digest; or `only` names an argument that it does not have.
    """
    tool.digest  # noqa: B018 - raises where a number cannot be held exactly
    schema = tool.input_schema
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    if schema.get("type") != "object" or not isinstance(properties, dict):
        raise ValueError("input_schema: must be of type object, with properties")
    if len(properties) > _MOST:
        raise ValueError(f"input_schema: at most {_MOST} properties")
    check_schema(schema)
    if unknown := sorted(set(tool.only) - set(properties)):
        raise ValueError(f"only: the tool has no argument {', '.join(unknown)}")
    needed = {*required, *tool.only} if isinstance(required, list) else set(tool.only)
    fields: dict[str, Any] = {}
    for position, (argument, property_) in enumerate(properties.items()):
        default = ... if argument in needed else None
        # Names of the server's choice, such as `model_config`, would not do for attributes.
        fields[f"p{position}"] = (_type(property_, schema), Field(default, alias=argument))
    model = create_model(name, __base__=ToolArguments, **fields)
    model.check = Check(schema_=schema, only=tool.only, foreign=not tool.listed)
    return model


def _type(property_: JsonValue, schema: Mapping[str, JsonValue]) -> Any:
    """The Python type of a plain JSON type; any JSON for all else. Where only something of several
    parts would do, a text is read as JSON: a workflow's parameters hold no other."""
    kind = property_.get("type") if isinstance(property_, dict) else None
    type_ = _TYPES.get(kind, JsonValue) if isinstance(kind, str) else JsonValue
    kinds = kinds_of(property_, schema)
    if kinds and kinds <= {"array", "object"}:
        return Annotated[type_, BeforeValidator(_from_text)]
    return type_


def _from_text(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value  # whose type is wrong, as pydantic and the schema say
