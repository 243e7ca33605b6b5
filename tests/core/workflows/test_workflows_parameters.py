"""Parameters and the other pieces of a workflow file: what fits, and what is said of the rest."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.errors import InvalidRequestError
from core.workflows.definition import Escalation, Parameter, StepDefinition
from tests.core.workflows.parts import step, workflow


def parameter(**fields: Any) -> Parameter:
    return Parameter.model_validate({"description": "what it is", **fields})


@pytest.mark.parametrize(
    ("kind", "given_value", "value"),
    [
        ("string", "main", "main"),
        ("string", 7, "7"),
        ("integer", "3", 3),
        ("integer", " +42 ", 42),
        ("integer", -5, -5),
        ("number", "0.5", 0.5),
        ("number", 2, 2.0),
        ("number", 0.00001, 0.00001),
        ("boolean", "Yes", True),
        ("boolean", "false", False),
        ("boolean", True, True),
    ],
)
def test_a_value_is_read_in_the_parameters_type(
    kind: str, given_value: str | float | bool, value: str | float | bool
) -> None:
    read = parameter(type=kind).read("x", given_value)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("fields", "given_value", "says"),
    [
        ({"type": "integer"}, "three", "x must be a integer, for example 3."),
        ({"type": "integer"}, "3.5", "for example 3"),
        ({"type": "integer"}, "1" * 17, "for example 3"),
        ({"type": "integer"}, True, "for example 3"),
        ({"type": "number"}, "1e400", "for example 0.5"),
        ({"type": "number"}, float("inf"), "x must be between"),
        ({"type": "number"}, float("nan"), "x must be between"),
        ({"type": "boolean"}, "perhaps", "for example yes or no"),
        ({"type": "boolean"}, 1, "for example yes or no"),
        ({"type": "integer", "minimum": 1}, 0, "x must be between 1 and"),
        ({"type": "integer", "maximum": 9}, 10, "and 9."),
        ({"type": "integer", "maximum": 1e17}, 9_999_999_999_999_999, "x must be between"),
        ({"choices": ["shop", "search"]}, "payroll", "x must be one of: shop, search."),
        ({"pattern": "[a-z]+"}, "main; rm -rf /", r"x must match \[a-z\]\+ \(what it is\)"),
        ({"pattern": "[a-z]+"}, "main\n", "x must match"),
        ({"max_length": 3}, "main", "x is longer than 3 characters."),
        ({}, "a\x00b", "x holds a character that cannot be stored."),
        ({}, "a\ud800b", "x holds a character that cannot be stored."),
        ({}, "see ${steps.build.url}", r"x must not hold"),
        ({}, "${parameters.other}", "references stand in workflow files only"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_what_would(
    fields: dict[str, Any], given_value: str | float | bool, says: str
) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        parameter(**fields).read("x", given_value)


@given(
    st.sampled_from(["string", "integer", "number", "boolean"]),
    st.one_of(st.text(), st.integers(), st.floats(), st.booleans()),
)
def test_whatever_is_accepted_can_be_signed_as_canonical_json(
    kind: str, value: str | float | bool
) -> None:
    try:
        read = parameter(type=kind).read("x", value)
    except InvalidRequestError:
        return
    assert rfc8785.dumps(read)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"pattern": "("}, "pattern is not a regular expression"),
        ({"pattern": "a{99999999999}"}, "pattern is not a regular expression"),
        ({"default": "x", "choices": ["a", "b"]}, "default must be one of: a, b"),
        ({"type": "integer", "default": "many"}, "default must be a integer"),
        ({"type": "integer", "maximum": 3, "default": 4}, "default must be between"),
        ({"choices": [1.20, 1.21]}, "write the choice 1.2 in quotes; it is a string"),
        ({"type": "integer", "choices": ["three"]}, "choices must be a integer"),
        ({"minimum": float("inf")}, "finite"),
        ({"max_length": 0}, "greater than or equal to 1"),
        ({"type": "date"}, "'string', 'integer', 'number', 'boolean' or 'list'"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        parameter(**fields)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("4h", timedelta(hours=4)),
        ("1d", timedelta(days=1)),
    ],
)
def test_durations_are_written_with_a_unit(text: str, duration: timedelta) -> None:
    assert StepDefinition.model_validate(step(time_limit=text, line="a")).time_limit == duration


@pytest.mark.parametrize("wrong", ["0s", "-PT5M", "2d", "soon", "5 minutes", "9999999s"])
def test_a_time_limit_is_between_nothing_and_a_day(wrong: str) -> None:
    with pytest.raises(ValidationError, match="time_limit"):
        StepDefinition.model_validate(step(time_limit=wrong, line="a"))


@pytest.mark.parametrize("number", [2**60, -(2**60), 1e300, float("inf"), float("nan")])
def test_a_number_that_cannot_be_signed_exactly_is_refused_in_a_step(number: float) -> None:
    with pytest.raises(ValidationError, match="write it in quotes"):
        StepDefinition.model_validate(step(deep=[{"number": number}]))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"steps": [step(), step()]}, "two steps have the id '"),
        ({"steps": []}, "at least 1 item"),
        ({"targets": ["nowhere"]}, "'targets' names unknown parameters: nowhere"),
        (
            {"guardrails": [{"type": "approval", "roles": ["lead"]}] * 2},
            "give one 'approval' guardrail only",
        ),
        ({"guardrails": [{"type": "blessing"}]}, "'approval', 'blast_radius'"),
        ({"steps": [step("rm -rf")]}, "match pattern"),
    ],
)
def test_a_workflow_that_contradicts_itself_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        workflow(**fields)


def test_an_escalation_needs_somebody_to_escalate_to() -> None:
    with pytest.raises(ValidationError, match="roles"):
        Escalation.model_validate({"after": "5m", "roles": []})
