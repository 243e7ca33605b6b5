"""JSON Schema, as far as a server's is used here.

`jsonschema`, which the MCP SDK brings, is given an empty registry: by default it would fetch a
`$ref` from anywhere. A schema that nobody of the team has read must not cost more than it is worth
either: its patterns, which can take for ever, are left to the server, and references are followed
so many times only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.exceptions import ValidationError as MismatchError
from jsonschema.validators import extend, validator_for
from pydantic import JsonValue
from referencing import Registry
from referencing.exceptions import Unresolvable

from integrations.text import clip

_MOST_REFERENCES = 1000
_DEEPEST = 5
_LEFT_TO_THE_SERVER = ("pattern", "patternProperties", "unevaluatedProperties", "unevaluatedItems")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def check_schema(schema: Mapping[str, JsonValue]) -> None:
    """Let pass what is a JSON Schema.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(schema.get("$schema", ""), str):
        raise ValueError("input_schema: $schema must be an address")  # noqa: TRY004 - as all else
    try:
        _dialect(schema).check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"input_schema: {clip(error.message, 300)}") from error
    except RecursionError as error:
        raise ValueError("input_schema: is nested too deeply") from error


def mismatch(
    schema: Mapping[str, JsonValue], given: Mapping[str, JsonValue], *, foreign: bool
) -> str | None:
    """Why `given` is not what the schema asks for, in words.

    Args:
        foreign: nobody of the team has read the schema.
    """
    validator = _dialect(schema)
    checked: JsonValue = dict(schema)
    if foreign:
        # A `$schema` inside would bring back the validator that goes on for ever.
        validator, checked = _bounded(validator), _without_dialects(checked)
    try:
        validator(checked, registry=Registry()).validate(dict(given))
    except MismatchError as error:
        place = ".".join(str(part) for part in error.absolute_path)
        return clip(f"{place}: {error.message}" if place else error.message, 300)
    except Unresolvable as error:
        return clip(f"the tool's schema refers to what is not in it: {error}", 300)
    except RecursionError:
        return "the tool's schema refers to itself without end"
    return None


def kinds_of(
    property_: JsonValue, root: Mapping[str, JsonValue], depth: int = 0
) -> frozenset[str] | None:
    """The JSON types that a value may have, but `null`; None where the schema does not say."""
    if not isinstance(property_, Mapping) or depth > _DEEPEST:
        return None
    kind = property_.get("type")
    if isinstance(kind, str):
        return frozenset({kind}) - {"null"}
    if isinstance(kind, list):
        return frozenset(str(one) for one in kind) - {"null"}
    reference = property_.get("$ref")
    if isinstance(reference, str):
        definitions = root.get("$defs")
        name = reference.removeprefix("#/$defs/")
        known = definitions.get(name) if isinstance(definitions, Mapping) else None
        return kinds_of(known, root, depth + 1)
    either = property_.get("anyOf") or property_.get("oneOf")
    if not isinstance(either, list):
        return None
    found = [kinds_of(one, root, depth + 1) for one in either]
    return frozenset[str]().union(*(one or () for one in found)) if None not in found else None


def _dialect(schema: Mapping[str, JsonValue]) -> Any:
    """The validator for the dialect that the schema names; MCP's own default is 2020-12."""
    return validator_for(schema, default=Draft202012Validator)


def _bounded(validator: Any) -> Any:
    """The same validator, which comes to an end whatever the schema says."""
    left = _MOST_REFERENCES

    def followed(keyword: str) -> Any:
        plain = validator.VALIDATORS[keyword]

        def follow(*arguments: Any) -> Iterator[MismatchError]:
            nonlocal left
            left -= 1
            if left < 0:
                yield MismatchError("the tool's schema refers to itself too often")
                return
            yield from plain(*arguments) or ()

        return follow

    known = validator.VALIDATORS
    changed = {word: followed(word) for word in _REFERENCES if word in known}
    changed |= {word: _passed for word in _LEFT_TO_THE_SERVER if word in known}
    return extend(validator, {**changed, "additionalProperties": _additional})


def _additional(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
    """As it is, but where it depends on patterns."""
    if "patternProperties" in schema:
        return ()
    return Draft202012Validator.VALIDATORS["additionalProperties"](
        validator, value, instance, schema
    )


def _passed(*_: Any) -> tuple[MismatchError, ...]:
    return ()


def _without_dialects(value: JsonValue) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_dialects(item) for key, item in value.items() if key != "$schema"}
    return [_without_dialects(item) for item in value] if isinstance(value, list) else value
