"""The pieces of a workflow file: parameters, steps, escalation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, model_validator

from core.errors import InvalidRequestError
from core.records import ActionName, Frozen, Identifier, Scalar, Value, storable_text

StepId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
"""Lower-case words joined by `_` or `-`; expressions say `steps.my_step` or `steps["my-step"]`."""

_DURATION = re.compile(r"^(\d{1,6})(s|m|h|d)$")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
USUAL_LIMIT = timedelta(minutes=5)
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


def spoken(duration: timedelta) -> str:
    """A duration as people say it: `90 s`, `15 min`, `2 d`."""
    seconds = round(duration.total_seconds())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


class Parameter(Frozen):
    """One typed input of a workflow; a person, a trigger or a schedule gives its value.

    Attributes:
        choices: with `pattern` and `max_length`, of a list they hold for each item.
    """

    type: Literal["string", "integer", "number", "boolean", "list"] = "string"
    description: str = Field(max_length=200)
    choices: tuple[Scalar, ...] = Field(default=(), max_length=100)
    pattern: str | None = Field(default=None, max_length=300)
    max_length: int = Field(default=500, ge=1, le=3000)
    max_items: int = Field(default=50, ge=1, le=200)
    minimum: float | None = Field(default=None, allow_inf_nan=False)
    maximum: float | None = Field(default=None, allow_inf_nan=False)
    default: Value | None = None

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

    def read(self, name: str, value: Value) -> Value:
        """Return `value` in this parameter's type; a list may be given as `a,b,c`.

        Raises:
            InvalidRequestError: it does not fit; the message says what would.
        """
        if self.type != "list":
            if isinstance(value, tuple):
                raise InvalidRequestError(f"{name} must be one {self.type}, not a list.")
            return self._read_one(name, value)
        items = value if isinstance(value, tuple) else tuple(str(value).split(","))
        items = tuple(item.strip() for item in items if item.strip())
        if len(items) > self.max_items:
            raise InvalidRequestError(f"{name} has more than {self.max_items} items.")
        return tuple(str(self._read_one(name, item)) for item in items)

    def _read_one(self, name: str, value: Scalar) -> Scalar:
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
        if self.type in {"string", "list"}:
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
        if "${" in value:
            # The plan's steps hold references to earlier steps, which are filled in later.
            raise InvalidRequestError(
                f"{name} must not hold '${{': references stand in workflow files only."
            )

    def _check_range(self, name: str, value: float) -> None:
        low = max(-_SAFE_INTEGER, -_SAFE_INTEGER if self.minimum is None else self.minimum)
        high = min(_SAFE_INTEGER, _SAFE_INTEGER if self.maximum is None else self.maximum)
        if not low <= value <= high:
            raise InvalidRequestError(f"{name} must be between {low:g} and {high:g}.")


class Retry(Frozen):
    """How often a step that failed is tried again, and when.

    Attributes:
        attempts: in all, the first one included.
        backoff: before the second attempt; `factor` times as long before each further one.
        longest: no wait is longer.
    """

    attempts: int = Field(default=3, ge=2, le=20)
    backoff: Duration = Field(default=timedelta(seconds=10), ge=timedelta(0), le=timedelta(days=1))
    factor: float = Field(default=2.0, ge=1, le=10)
    longest: Duration = Field(default=USUAL_LIMIT, ge=timedelta(0), le=timedelta(days=1))


def _exact(arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
    for number in _numbers(arguments):
        if not abs(number) <= _SAFE_INTEGER:
            raise ValueError(f"{number} cannot be held exactly; write it in quotes")
    return arguments


Arguments = Annotated[dict[str, JsonValue], AfterValidator(_exact)]
"""What an action is given; canonical JSON holds every number in it exactly."""


class Call(Frozen):
    """An action with its arguments, which may hold `${…}` expressions."""

    action: ActionName
    arguments: Arguments = Field(default_factory=dict, alias="with")
    time_limit: Duration = Field(default=USUAL_LIMIT, gt=timedelta(0), le=timedelta(days=1))


class StepKind(StrEnum):
    """What a step is, by the field that it has."""

    ACTION = "action"
    WAIT = "wait"
    MANUAL = "manual"
    PARALLEL = "parallel"
    FOR_EACH = "for_each"
    SEQUENCE = "steps"


class StepDefinition(Frozen):
    """One step: exactly one of an action, a wait, something that a person does, or a group.

    Attributes:
        when: a condition; the step is left out where it is false.
        action: with `arguments`, `time_limit` (5 minutes, at most a day), `retry`, and `undo`:
            what takes it back where a later step fails.
        wait: for so long.
        manual: what a person who holds one of `roles` (empty: those who countersign) is to do
            and confirm within `time_limit` (30 days); the values of `show` are shown to them, and
            are theirs once confirmed.
        parallel: steps that run at once.
        for_each: a list, known when the plan is made; `steps` run for each item, `${each}`,
            `batch` items at once, with a `pause` between the batches.
        steps: of a `for_each`; alone, a sequence, for example inside `parallel`.
    """

    id: StepId
    name: str = Field(max_length=120)
    when: str | None = Field(default=None, max_length=1000)
    action: ActionName | None = None
    arguments: Arguments = Field(default_factory=dict, alias="with")
    time_limit: Duration | None = Field(default=None, gt=timedelta(0), le=timedelta(days=30))
    retry: Retry | None = None
    undo: Call | None = None
    wait: Duration | None = Field(default=None, gt=timedelta(0), le=timedelta(days=30))
    manual: str | None = Field(default=None, min_length=1, max_length=2000)
    roles: tuple[Identifier, ...] = ()
    show: dict[Identifier, str] = Field(default_factory=dict, max_length=20)
    parallel: tuple[StepDefinition, ...] = Field(default=(), max_length=20)
    for_each: str | tuple[str, ...] | None = None
    batch: int = Field(default=1, ge=1, le=100)
    pause: Duration = Field(default=timedelta(0), ge=timedelta(0), le=timedelta(days=1))
    steps: tuple[StepDefinition, ...] = Field(default=(), max_length=20)

    @model_validator(mode="after")
    def _one_kind(self) -> StepDefinition:
        given = {
            StepKind.ACTION: self.action is not None,
            StepKind.WAIT: self.wait is not None,
            StepKind.MANUAL: self.manual is not None,
            StepKind.PARALLEL: bool(self.parallel),
            StepKind.FOR_EACH: self.for_each is not None,
            StepKind.SEQUENCE: bool(self.steps) and self.for_each is None,
        }
        if sum(given.values()) != 1:
            raise ValueError(
                "give exactly one of 'action', 'wait', 'manual', 'parallel', 'for_each' or 'steps'"
            )
        if self.for_each is not None and not self.steps:
            raise ValueError("a 'for_each' needs 'steps'")
        allowed = _FIELDS[self.kind]
        stray = self.model_fields_set - {"id", "name", "when"} - allowed
        if stray:
            names = ", ".join(sorted("with" if n == "arguments" else n for n in stray))
            raise ValueError(f"a step with '{self.kind}' has no {names}")
        if self.kind is StepKind.ACTION and (self.time_limit or USUAL_LIMIT) > timedelta(days=1):
            raise ValueError("the 'time_limit' of an action is at most 1d")
        return self

    @property
    def kind(self) -> StepKind:
        """Which of the six it is."""
        if self.action is not None:
            return StepKind.ACTION
        if self.wait is not None:
            return StepKind.WAIT
        if self.manual is not None:
            return StepKind.MANUAL
        if self.parallel:
            return StepKind.PARALLEL
        return StepKind.SEQUENCE if self.for_each is None else StepKind.FOR_EACH

    @property
    def call(self) -> Call | None:
        """What it calls, where it is an action."""
        if self.action is None:
            return None
        limit = self.time_limit or USUAL_LIMIT
        return Call.model_validate(
            {"action": self.action, "with": self.arguments, "time_limit": limit}
        )

    def walk(self) -> Iterator[StepDefinition]:
        """This step and, depth first, all in it."""
        yield self
        for child in (*self.parallel, *self.steps):
            yield from child.walk()


_FIELDS: dict[StepKind, set[str]] = {
    StepKind.ACTION: {"action", "arguments", "time_limit", "retry", "undo"},
    StepKind.WAIT: {"wait"},
    StepKind.MANUAL: {"manual", "roles", "show", "time_limit"},
    StepKind.PARALLEL: {"parallel"},
    StepKind.FOR_EACH: {"for_each", "batch", "pause", "steps"},
    StepKind.SEQUENCE: {"steps"},
}


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
