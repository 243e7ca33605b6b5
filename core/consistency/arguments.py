"""Whether what a step gives to its action can be what the action takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, JsonValue, ValidationError

from core.consistency.places import Problem, Spot
from core.errors import InvalidRequestError
from core.records import Risk
from core.workflows.actions import Action
from core.workflows.definition import Call
from core.workflows.template import Types, compile_expression, sole_expression, templates

_SAMPLES: dict[str, JsonValue] = {
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "list": ["a"],
    "map": {"a": "b"},
}
"""A value of each type that an expression can be known to have, but text: that may be read as
anything."""


def written_risk(action: Action[BaseModel], call: Call) -> Risk | None:
    """The call's risk, where its arguments are all written out and right."""
    if next(templates(dict(call.arguments)), None) is not None:
        return None  # known when a plan is made, which refuses what nobody could sign
    try:
        return action.risk_of(action.read(dict(call.arguments)))
    except InvalidRequestError:
        return None


def argument_problems(
    spot: Spot, action: Action[BaseModel], call: Call, types: Types
) -> Iterator[Problem]:
    """Names that the action does not know, what it lacks, and values of the wrong type."""
    fields = {field.alias or name for name, field in action.arguments.model_fields.items()}
    unknown = sorted(set(call.arguments) - fields)
    for name in unknown:
        yield spot.at(name).says(f"{call.action} takes {', '.join(sorted(fields))}.")
    if unknown:
        return
    given, sampled = _as_far_as_known(call, types)
    try:
        action.arguments.model_validate(given)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            name = str(problem["loc"][0]) if problem["loc"] else ""
            if name not in given:
                wrong = problem["type"] == "missing" and name and name not in call.arguments
                if wrong or (not name and len(given) == len(call.arguments) and not sampled):
                    yield _told(spot, call, problem)
            elif name not in sampled or problem["type"].endswith("_type"):
                yield _told(spot, call, problem)


def _told(spot: Spot, call: Call, problem: Any) -> Problem:
    place = [part for part in problem["loc"] if isinstance(part, str | int)]
    says = str(problem["msg"]).removeprefix("Value error, ").rstrip(".")
    return spot.at(*place).says(f"{call.action}: {says}.")


def _as_far_as_known(call: Call, types: Types) -> tuple[dict[str, JsonValue], set[str]]:
    """The arguments that are written out, and samples of those whose type is known."""
    given: dict[str, JsonValue] = {}
    sampled = set()
    for name, value in call.arguments.items():
        if next(templates(value), None) is None:
            given[name] = value
        elif isinstance(value, str) and (source := sole_expression(value)) is not None:
            found = compile_expression(source, types).type
            if found in _SAMPLES:
                given[name] = _SAMPLES[found]
                sampled.add(name)
    return given, sampled
