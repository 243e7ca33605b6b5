"""The pieces of a workflow file: parameters, steps, escalation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, JsonValue, field_validator, model_validator

from core.errors import InvalidRequestError
from core.records import Frozen, Identifier, Scalar, storable_text
from core.workflows.template import references

_DURATION = re.compile(r"^(\d{1,6})(s|m|h|d)$")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SAFE_INTEGER = 2**53 - 1  # RFC 8785 canonical JSON holds integers exactly up to here


def parse_duration(value: object) -> object:
    """Read `90s`, `15m`, `4h` or `2d`; ISO 8601, as stored plans have it, goes on to pydantic."""
    if isinstance(value, str):
        if match := _DURATION.match(value):
            return timedelta(**{_UNITS[match[2]]: int(match[1])})
        if not value.startswith(("P", "-P")):
            raise ValueError("write a duration such as 90s, 15m, 4h or 2d")
    return value


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


class Parameter(Frozen):
    """One typed input of a workflow; a person, a trigger or a schedule gives its value."""

    type: Literal["string", "integer", "number", "boolean"] = "string"
    description: str = Field(max_length=200)
    choices: tuple[Scalar, ...] = Field(default=(), max_length=100)
    pattern: str | None = Field(default=None, max_length=300)
    max_length: int = Field(default=500, ge=1, le=3000)
    minimum: float | None = Field(default=None, allow_inf_nan=False)
    maximum: float | None = Field(default=None, allow_inf_nan=False)
    default: Scalar | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Parameter:
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"pattern is not a regular expression: {error}") from error
        try:
            for choice in self.choices:
                if self._convert("choices", choice) != choice:
                    raise ValueError(f"write the choice {choice} in quotes; it is a {self.type}")
            if self.default is not None:
                self.read("default", self.default)
        except InvalidRequestError as error:
            raise ValueError(str(error)) from error
        return self

    def read(self, name: str, value: Scalar) -> Scalar:
        """Return `value` in this parameter's type.

        Raises:
            InvalidRequestError: it does not fit; the message says what would.
        """
        typed = self._convert(name, value)
        if self.choices and typed not in self.choices:
            allowed = ", ".join(str(choice) for choice in self.choices)
            raise InvalidRequestError(f"{name} must be one of: {allowed}.")
        if isinstance(typed, str):
            self._check_text(name, typed)
        elif not isinstance(typed, bool):
            self._check_range(name, typed)
        return typed

    def _convert(self, name: str, value: Scalar) -> Scalar:
        if self.type == "string":
            return str(value)
        if self.type == "number" and isinstance(value, float):
            return value
        text = str(value).strip()
        if self.type == "boolean" and text.lower() in {"true", "yes", "false", "no"}:
            return text.lower() in {"true", "yes"}
        if self.type == "integer" and re.fullmatch(r"[+-]?\d{1,16}", text):
            return int(text)
        if self.type == "number" and re.fullmatch(r"[+-]?\d{1,15}(\.\d{1,15})?", text):
            return float(text)
        example = {"integer": "3", "number": "0.5", "boolean": "yes or no"}[self.type]
        raise InvalidRequestError(f"{name} must be a {self.type}, for example {example}.")

    def _check_text(self, name: str, value: str) -> None:
        if len(value) > self.max_length:
            raise InvalidRequestError(f"{name} is longer than {self.max_length} characters.")
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            raise InvalidRequestError(f"{name} must match {self.pattern} ({self.description}).")
        if value != storable_text(value):
            raise InvalidRequestError(f"{name} holds a character that cannot be stored.")
        if (reference := next(references(value), None)) is not None:
            # The plan's steps hold references to earlier steps, which are filled in later.
            raise InvalidRequestError(
                f"{name} must not hold ${{{reference}}}: references stand in workflow files only."
            )

    def _check_range(self, name: str, value: float) -> None:
        low = max(-_SAFE_INTEGER, -_SAFE_INTEGER if self.minimum is None else self.minimum)
        high = min(_SAFE_INTEGER, _SAFE_INTEGER if self.maximum is None else self.maximum)
        if not low <= value <= high:
            raise InvalidRequestError(f"{name} must be between {low:g} and {high:g}.")


class StepDefinition(Frozen):
    """One step: an action with its arguments, which may hold `${…}` references."""

    id: Identifier
    name: str = Field(max_length=120)
    action: str = Field(pattern=r"^[a-z_]+\.[a-z_]+$")
    arguments: dict[str, JsonValue] = Field(default_factory=dict, alias="with")
    time_limit: Duration = Field(
        default=timedelta(minutes=5), gt=timedelta(0), le=timedelta(days=1)
    )

    @field_validator("arguments")
    @classmethod
    def _exact(cls, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for number in _numbers(arguments):
            if not abs(number) <= _SAFE_INTEGER:
                raise ValueError(f"{number} cannot be held exactly; write it in quotes")
        return arguments


class Escalation(Frozen):
    """Who is told when nobody has countersigned: roles, in order, after the given time each."""

    after: Duration = timedelta(minutes=30)
    roles: tuple[Identifier, ...] = Field(min_length=1)


def _numbers(value: JsonValue) -> Iterator[int | float]:
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _numbers(item)
    elif isinstance(value, list):
        for item in value:
            yield from _numbers(item)
