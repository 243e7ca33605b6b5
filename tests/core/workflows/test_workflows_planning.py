"""Planning: a workflow and its arguments become exactly what will run."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidRequestError, NotFoundError
from core.records import Idempotency, Risk
from core.state import AIWorkflow
from core.workflows.guardrails import Approval
from core.workflows.needs import Need
from core.workflows.plan import Plan, PlannedArgument
from core.workflows.planning import Planner
from tests.core.workflows.parts import (
    ALICE,
    WEBHOOK,
    policy,
    registry,
    step,
    typed,
    workflow,
)

PARAMETERS: dict[str, Any] = {
    "text": {"description": "what to append"},
    "times": {"type": "integer", "description": "how often", "default": 2},
    "version": {"description": "which version", "default": 1.5},
}
LINE = {"line": "${parameters.text}", "number": "${parameters.times}"}


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    return Planner(policy(), registry(tmp_path / "lines"))


async def plan(planner: Planner, made: AIWorkflow, **values: str | float | bool) -> Plan:
    return await planner.plan("run1", made, typed(**values), ALICE)


async def test_a_plan_says_who_what_where_and_under_which_guardrails(planner: Planner) -> None:
    freeze = {"name": "quiet", "from": "Fri 16:00", "to": "Mon 08:00"}
    made = await plan(
        planner,
        workflow(
            step(**LINE, time_limit="90s"),
            parameters=PARAMETERS,
            targets=["text"],
            environment="staging",
            guardrails=[
                {"type": "freeze", "windows": [freeze]},
                {"type": "environment", "allowed": ["staging"]},
            ],
        ),
        text="hello",
    )
    assert (made.run_id, made.workflow, made.requester) == ("run1", "note", ALICE)
    assert (made.environment, made.targets, made.risk) == ("staging", ("hello",), Risk.CHANGE)
    (only,) = made.steps
    assert only.arguments == {"line": "hello", "number": 2}
    assert (only.description, only.preview) == ("Append “hello”", "+hello")
    assert (only.risk, only.idempotency) == (Risk.CHANGE, Idempotency.NONE)
    assert only.time_limit_s == 90
    assert [guardrail.type for guardrail in made.guardrails] == [
        "approval",
        "freeze",
        "environment",
    ]


async def test_a_default_fills_in_what_is_not_given_and_is_trusted(planner: Planner) -> None:
    made = await plan(planner, workflow(step(**LINE), parameters=PARAMETERS), text="hello")
    assert made.arguments["times"].value == 2
    assert made.arguments["times"].provenance.kind == "definition"
    assert made.arguments["version"].value == "1.5", "in its type, as a given value would be"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, r"note needs text \(what to append\): add text=…"),
        ({"text": "a", "txet": "b"}, "note has no parameter txet; it has text, times, version"),
        ({"text": "a", "times": "often"}, "times must be a integer"),
        ({"text": "a ${steps.first.line}"}, "references stand in workflow files only"),
    ],
)
async def test_wrong_arguments_are_refused_with_what_is_expected(
    planner: Planner, values: dict[str, str], says: str
) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        await plan(planner, workflow(step(**LINE), parameters=PARAMETERS), **values)


async def test_what_no_person_of_the_team_wrote_is_marked_in_each_step_that_holds_it(
    planner: Planner,
) -> None:
    both = workflow(step(line="${parameters.text}"), step(step_id="second"), parameters=PARAMETERS)
    untrusted = {"text": PlannedArgument(value="from outside", provenance=WEBHOOK)}
    made = await planner.plan("run1", both, untrusted, ALICE)
    assert [one.untrusted for one in made.steps] == [("text (webhook field)",), ()]
    assert not made.arguments["text"].provenance.trusted
    assert (await plan(planner, both, text="typed")).steps[0].untrusted == ()


async def test_a_step_that_needs_an_earlier_ones_outcome_is_filled_in_later(
    planner: Planner,
) -> None:
    made = await plan(
        planner,
        workflow(
            step(),
            step(step_id="second", line="${parameters.text}: ${steps.first.line}"),
            parameters=PARAMETERS,
        ),
        text="hello",
    )
    second = made.steps[1]
    assert second.arguments == {"line": "hello: ${steps.first.line}"}
    assert second.description == "Append a line (its arguments come from earlier steps)"
    assert second.preview is None
    assert second.risk is Risk.CHANGE


async def test_a_dry_run_that_fails_is_told_instead_of_planned(planner: Planner) -> None:
    failing = workflow(step(line="a", dry_run="fails"))
    with pytest.raises(
        InvalidRequestError, match="The dry run of 'Do first' failed: the disk would be full"
    ):
        await plan(planner, failing)


async def test_arguments_that_the_action_does_not_take_are_named(planner: Planner) -> None:
    with pytest.raises(InvalidRequestError, match=r"file\.append: .*wrong"):
        await plan(planner, workflow(step(line="a", wrong="b")))


async def test_an_action_that_nobody_offers_is_named_with_those_there_are(
    planner: Planner,
) -> None:
    with pytest.raises(NotFoundError, match=r"no action 'cloud\.explode'.*file\.append"):
        await plan(planner, workflow(step("cloud.explode")))


async def test_a_plan_risks_as_much_as_its_riskiest_step(planner: Planner) -> None:
    made = await plan(
        planner,
        workflow(step("file.read"), step(step_id="second"), step(step_id="third", line="drop")),
    )
    assert [one.risk for one in made.steps] == [Risk.READ, Risk.CHANGE, Risk.DESTRUCTIVE]
    assert made.risk is Risk.DESTRUCTIVE
    assert approval(made) == policy().approval[Risk.DESTRUCTIVE]


async def test_a_plan_that_only_reads_needs_no_approval(planner: Planner) -> None:
    assert (await plan(planner, workflow(step("file.read")))).guardrails == ()


def approval(made: Plan) -> Approval:
    (found,) = [g for g in made.guardrails if isinstance(g, Approval)]
    return found


@pytest.mark.parametrize(
    ("own", "effective"),
    [
        ({"roles": ["lead"]}, {"needs": (Need(roles=("lead",)),)}),
        (
            {"roles": ["approver", "lead"], "count": 3},
            {"needs": (Need(count=3, roles=("approver", "lead")),)},
        ),
        ({"roles": ["approver", "engineer"]}, {"needs": (Need(roles=("approver",)),)}),
        (
            {"roles": ["approver", "lead"], "expires_after": "10m"},
            {"expires_after": timedelta(minutes=10)},
        ),
        ({"roles": ["approver", "lead"], "expires_after": "30d"}, {}),
        ({"roles": ["approver", "lead"], "four_eyes": False}, {}),
        ({"roles": ["approver", "lead"], "phrase": True}, {"phrase": True}),
    ],
)
async def test_a_workflow_can_tighten_the_policy_and_never_loosen_it(
    planner: Planner, own: dict[str, Any], effective: dict[str, Any]
) -> None:
    made = await plan(planner, workflow(guardrails=[{"type": "approval", **own}]))
    assert approval(made) == policy().approval[Risk.CHANGE].model_copy(update=effective)


async def test_a_workflow_may_ask_for_approval_where_the_policy_asks_for_none(
    planner: Planner,
) -> None:
    own = {"type": "approval", "roles": ["lead"]}
    made = await plan(planner, workflow(step("file.read"), guardrails=[own]))
    assert approval(made) == Approval(roles=("lead",))


async def test_where_the_workflow_asks_for_others_than_the_policy_both_must_sign(
    planner: Planner,
) -> None:
    own = {"type": "approval", "roles": ["engineer"]}
    made = await plan(planner, workflow(guardrails=[own]))
    assert approval(made).needs == (Need(roles=("engineer",)), Need(roles=("approver", "lead")))
