"""Precondition: what a system says now is as it must be."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import JsonValue, ValidationError

from core.workflows.actions import ActionError
from core.workflows.guardrails import GuardrailState
from core.workflows.guardrails.precondition import Precondition
from tests.core.workflows.guardrails.situations import (
    ToldWorld,
    guardrail,
    judged,
    situation,
    stored,
)

SCOPE: dict[str, JsonValue] = {"parameters": {"repository": "acme/shop", "commit": "abc"}}


def ci(expect: str = 'values.conclusion == "success"', **fields: Any) -> Precondition:
    rail = guardrail(
        "precondition",
        **{
            "action": "ci.status",
            "with": {"repository": "${parameters.repository}"},
            "expect": expect,
            "message": "CI on main is green",
            **fields,
        },
    )
    assert isinstance(rail, Precondition)
    return rail


def says(**values: JsonValue) -> ToldWorld:
    return ToldWorld(
        reads={"ci.status": {"values": values, "summary": "run 7 on main", "output": "log"}}
    )


async def test_it_is_met_where_the_system_says_what_is_expected() -> None:
    rail = ci().rendered(SCOPE)
    world = says(conclusion="success")
    result = await judged(rail, world, situation())
    assert result.description == "CI on main is green"
    assert (result.state, result.evidence) == (
        GuardrailState.MET,
        "ci.status says: run 7 on main",
    )
    assert world.asked == [("ci.status", {"repository": "acme/shop"})]


async def test_it_forbids_where_the_system_says_something_else() -> None:
    result = await judged(ci(), says(conclusion="failure"), situation())
    assert (result.state, result.evidence) == (
        GuardrailState.BLOCKED,
        'It is not so (values.conclusion == "success"). ci.status says: run 7 on main',
    )


async def test_it_waits_where_the_system_cannot_be_asked() -> None:
    down = ToldWorld(reads={"ci.status": ActionError("the server does not answer")})
    result = await judged(ci(), down, situation())
    assert (result.state, result.evidence) == (
        GuardrailState.WAITING,
        "ci.status could not be read: the server does not answer",
    )
    assert ci().evaluate(situation()).state is GuardrailState.WAITING, "nobody has looked"


@pytest.mark.parametrize(
    ("expect", "why"),
    [
        ("values.verdict", "there is no 'verdict'"),
        ("values.conclusion", "must be true or false"),
        ("values.conclusion > 3", ""),
    ],
)
async def test_an_answer_that_cannot_be_compared_forbids(expect: str, why: str) -> None:
    result = await judged(ci(expect), says(conclusion="success"), situation())
    assert result.state is GuardrailState.BLOCKED
    assert why in result.evidence


async def test_an_answer_can_be_compared_with_the_workflows_parameters() -> None:
    rail = stored(ci("values.sha == parameters.commit").rendered(SCOPE))
    assert (await judged(rail, says(sha="abc"), situation())).state is GuardrailState.MET
    assert (await judged(rail, says(sha="abd"), situation())).state is GuardrailState.BLOCKED
    assert isinstance(rail, Precondition)
    assert rail.known == {"commit": "abc"}, "and no parameter that it does not name"


async def test_a_parameter_is_a_value_and_never_part_of_the_expression() -> None:
    hostile: dict[str, JsonValue] = {
        "parameters": {"repository": "x", "commit": '" || true || "', "more": "${parameters.x}"}
    }
    rail = ci("values.sha == parameters.commit").rendered(hostile)
    assert (await judged(rail, says(sha="abc"), situation())).state is GuardrailState.BLOCKED


async def test_values_from_the_file_do_not_stand_in_for_parameters() -> None:
    rail = ci("values.sha == parameters.commit", known={"commit": "forged"}).rendered(SCOPE)
    assert (await judged(rail, says(sha="forged"), situation())).state is GuardrailState.BLOCKED


async def test_summary_and_output_can_be_compared_too() -> None:
    assert (await judged(ci('output.contains("log")'), says(), situation())).state is (
        GuardrailState.MET
    )
    assert (await judged(ci('summary == "other"'), says(), situation())).state is (
        GuardrailState.BLOCKED
    )


@pytest.mark.parametrize("expect", ["values.a ==", "", "values.a = 1"])
def test_an_expression_that_cannot_be_read_is_refused_when_the_file_is(expect: str) -> None:
    with pytest.raises(ValidationError, match="expect"):
        ci(expect)
