"""From a tool's JSON Schema to typed arguments.

Checked twice: pydantic knows the names and plain types, so that `countersign check` finds a
misspelt one; `jsonschema`, which the MCP SDK brings, checks all else that the schema says. It is
given an empty registry: by default it would fetch a `$ref` from anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Self

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.exceptions import ValidationError as MismatchError
from jsonschema.validators import validator_for
from pydantic import BaseModel, ConfigDict, Field, JsonValue, create_model, model_validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from core.records import Frozen
from integrations.mcp.tools import ApprovedTool
from integrations.text import clip

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

    def problem(self, given: Mapping[str, JsonValue]) -> str | None:
        """What is wrong with them, in words."""
        for name, patterns in self.only.items():
            value = given.get(name)
            if not isinstance(value, str) or not any(fnmatchcase(value, p) for p in patterns):
                return f"{name} must match one of {', '.join(patterns)}"
        try:
            _dialect(self.schema_)(self.schema_, registry=Registry()).validate(dict(given))
        except MismatchError as error:
            place = ".".join(str(part) for part in error.absolute_path)
            return clip(f"{place}: {error.message}" if place else error.message, 300)
        except Unresolvable as error:
            return clip(f"the tool's schema refers to what is not in it: {error}", 300)
        except RecursionError:
            return "the tool's schema refers to itself without end"
        return None


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
    try:
        _dialect(schema).check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"input_schema: {clip(error.message, 300)}") from error
    if unknown := sorted(set(tool.only) - set(properties)):
        raise ValueError(f"only: the tool has no argument {', '.join(unknown)}")
    needed = {*required, *tool.only} if isinstance(required, list) else set(tool.only)
    fields: dict[str, Any] = {}
    for position, (argument, property_) in enumerate(properties.items()):
        default = ... if argument in needed else None
        # Names of the server's choice, such as `model_config`, would not do for attributes.
        fields[f"p{position}"] = (_type(property_), Field(default, alias=argument))
    model = create_model(name, __base__=ToolArguments, **fields)
    model.check = Check(schema_=schema, only=tool.only)
    return model


def _dialect(schema: Mapping[str, JsonValue]) -> Any:
    """The validator for the dialect that the schema names; MCP's own default is 2020-12."""
    return validator_for(schema, default=Draft202012Validator)


def _type(property_: JsonValue) -> Any:
    """The Python type of a plain JSON type; any JSON for all else."""
    kind = property_.get("type") if isinstance(property_, dict) else None
    return _TYPES.get(kind, JsonValue) if isinstance(kind, str) else JsonValue
