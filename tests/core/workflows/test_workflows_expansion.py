"""From a file's steps to what is signed: lists are gone through, and taint is followed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidRequestError
from core.records import Provenance, Risk, Value
from core.workflows.definition import StepKind
from core.workflows.difference import difference
from core.workflows.plan import Plan, PlannedArgument, Rollout, Sequence
from core.workflows.planning import Planner
from tests.core.workflows.parts import ALICE, BOB, WEBHOOK, policy, registry, step, typed, workflow

MODEL = Provenance(kind="model", detail="planner")
PARAMETERS: dict[str, Any] = {
    "text": {"description": "what", "default": "x"},
    "hosts": {"type": "list", "description": "where", "default": [], "max_items": 60},
}


async def plan(
    folder: Path,
    *steps: dict[str, Any],
    given: dict[str, PlannedArgument] | None = None,
    **fields: Any,
) -> Plan:
    made = workflow(*steps, parameters=PARAMETERS, **fields)
    return await Planner(policy(), registry(folder)).plan("run1", made, given or {}, ALICE)


def argument(value: Value, provenance: Provenance) -> PlannedArgument:
    return PlannedArgument(value=value, provenance=provenance)


def for_each(
    *steps: dict[str, Any], over: Any = "${parameters.hosts}", **extra: Any
) -> dict[str, Any]:
    return {"id": "all", "name": "All of them", "for_each": over, "steps": list(steps), **extra}


async def test_a_list_made_of_an_outer_item_is_as_untrusted_as_that(tmp_path: Path) -> None:
    erase = step("file.erase", "erase", line="${each}")
    inner = {"id": "inner", "name": "Disks", "for_each": ["${each}-a"], "steps": [erase]}
    with pytest.raises(InvalidRequestError, match="a model wrote its each"):
        await plan(tmp_path, for_each(inner), given={"hosts": argument(("db-1",), MODEL)})
    made = await plan(tmp_path, for_each(inner), given={"hosts": argument(("db-1",), WEBHOOK)})
    assert made.steps[0].untrusted == ("each (webhook field)",)


async def test_a_target_too_long_for_an_index_is_refused_before_anybody_signs(
    tmp_path: Path,
) -> None:
    where = {"where": {"description": "where", "max_length": 3000}}
    made = workflow(step(line="${parameters.where}"), parameters=where, targets=["where"])
    with pytest.raises(InvalidRequestError, match="where names a target of more than 500"):
        await Planner(policy(), registry(tmp_path)).plan(
            "run1", made, typed(where="x" * 501), ALICE
        )


async def test_an_item_cannot_pass_for_another_ones_steps(tmp_path: Path) -> None:
    """`web][a` would share step ids, and with them idempotency keys and outcomes, with others."""
    inner = step(step_id="deploy", line="to ${each}")
    with pytest.raises(InvalidRequestError, match=r"must not hold '\[' or '\]'"):
        await plan(tmp_path, for_each(inner), given=typed(hosts=("web", "web][a")))


async def test_a_list_is_gone_through_when_the_plan_is_made(tmp_path: Path) -> None:
    inner = step(step_id="deploy", line="to ${each}")
    made = await plan(
        tmp_path,
        for_each(inner, batch=2, pause="1m"),
        given=typed(hosts="a, b ,c"),
        targets=["hosts"],
    )
    assert [s.id for s in made.steps] == ["deploy[a]", "deploy[b]", "deploy[c]"]
    assert [s.arguments["line"] for s in made.steps] == ["to a", "to b", "to c"]
    assert [s.preview for s in made.steps] == ["+to a", "+to b", "+to c"]
    assert made.targets == ("a", "b", "c")
    assert isinstance(made.flow, Sequence)
    (all_of_them,) = made.flow.nodes
    assert isinstance(all_of_them, Rollout)
    assert (len(all_of_them.nodes), all_of_them.batch, all_of_them.pause_s) == (3, 2, 60)


async def test_lists_inside_lists_have_ids_of_their_own(tmp_path: Path) -> None:
    inner = for_each(step(step_id="do", line="${each}"), over=["x", "y"]) | {"id": "inner"}
    made = await plan(tmp_path, for_each(inner), given=typed(hosts="a,b"))
    assert [s.id for s in made.steps] == ["do[a][x]", "do[a][y]", "do[b][x]", "do[b][y]"]


@pytest.mark.parametrize(
    ("over", "hosts", "says"),
    [
        ("${parameters.hosts}", "a,a", "would go through 'a' twice"),
        ("${parameters.text}", "a", "which is no list"),
        ("${steps.first.list}", "a", "known only at run time"),
        ("${parameters.hosts}", "h" * 201, "more than 200 characters"),
        ("${parameters.hosts}", "", "has nothing to do with these arguments"),
    ],
)
async def test_a_list_that_cannot_be_gone_through_is_told(
    tmp_path: Path, over: str, hosts: str, says: str
) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        await plan(tmp_path, for_each(step(line="l"), over=over), given=typed(hosts=hosts))


async def test_a_plan_has_only_so_many_steps(tmp_path: Path) -> None:
    steps = [step(step_id=f"s{n}", line="l") for n in range(10)]
    hosts = ",".join(f"h{n}" for n in range(51))
    with pytest.raises(InvalidRequestError, match="more than 500 steps"):
        await plan(tmp_path, for_each(*steps), given=typed(hosts=hosts))


async def test_conditions_of_groups_hold_for_each_step_in_them(tmp_path: Path) -> None:
    group = {
        "id": "group",
        "name": "group",
        "when": "steps.first.ok",
        "steps": [step(step_id="a"), step(step_id="b", when="steps.a.ok || true")],
    }
    made = await plan(tmp_path, step(), group)
    assert [s.when for s in made.steps] == [
        None,
        "steps.first.ok",
        "(steps.first.ok) && (steps.a.ok || true)",
    ]
    assert made.steps[1].preview is None, "what it would do now says nothing about then"


async def test_what_undoes_stands_after_the_flow_and_counts_for_the_risk(tmp_path: Path) -> None:
    undo = {"action": "file.erase", "with": {"line": "${steps.first.line}"}}
    told = [step(step_id="tell")]
    made = await plan(tmp_path, step(undo=undo), step(step_id="second"), on_failure=told)
    assert [s.id for s in made.steps] == ["first", "second", "first.undo", "tell"]
    assert [s.undo for s in made.steps] == [2, None, None, None]
    assert made.risk is Risk.DESTRUCTIVE
    assert made.on_failure is not None


async def test_waits_and_manual_steps_stand_in_the_plan(tmp_path: Path) -> None:
    made = await plan(
        tmp_path,
        step(),
        {"id": "pause", "name": "Pause", "wait": "90s"},
        {
            "id": "check",
            "name": "Check",
            "manual": "Look at ${parameters.text}",
            "roles": ["lead"],
            "show": {"line": "${steps.first.line}"},
        },
    )
    _, pause, check = made.steps
    assert (pause.kind, pause.wait_s, pause.description) == (StepKind.WAIT, 90, "Wait 90 s")
    assert (check.kind, check.roles) == (StepKind.MANUAL, ("lead",))
    assert check.description == "Look at x"
    assert check.arguments == {"line": "${steps.first.line}"}


async def test_a_models_words_are_followed_through_the_steps(tmp_path: Path) -> None:
    made = await plan(
        tmp_path,
        step("model.muse", "muse", line="${parameters.text}"),
        step(step_id="passes-on", line="${steps.muse.line}"),
        step(step_id="gets", line='${steps["passes-on"].line}'),
        given={"text": argument("from outside", WEBHOOK)},
    )
    assert [s.untrusted for s in made.steps] == [
        ("text (webhook field)",),
        ("steps.muse.line (model output, webhook field)",),
        ("steps.passes-on.line (model output, webhook field)",),
    ]


async def test_something_destructive_does_not_take_a_models_words(tmp_path: Path) -> None:
    said = "is destructive, and a model wrote its"
    erase = step("file.erase", "erase", line="${parameters.text}")
    by_model = {"text": argument("all", MODEL)}
    with pytest.raises(InvalidRequestError, match=f"{said} text"):
        await plan(tmp_path, erase, given=by_model)
    listed = for_each(step("file.erase", "erase", line="${each}"))
    with pytest.raises(InvalidRequestError, match=f"{said} each"):
        await plan(tmp_path, listed, given={"hosts": argument(("a",), MODEL)})
    muse = step("model.muse", "muse", line="what?")
    of_step = step("file.erase", "erase", line="${steps.muse.line}")
    with pytest.raises(InvalidRequestError, match=f"{said} steps.muse.line"):
        await plan(tmp_path, muse, of_step)
    undone = step(undo={"action": "file.erase", "with": {"line": "${parameters.text}"}})
    with pytest.raises(InvalidRequestError, match=f"{said} text"):
        await plan(tmp_path, undone, given=by_model)


@pytest.mark.parametrize(
    "line", ["${parameters['te' + 'xt']}", "${steps['mu' + 'se'].line}", "${string(steps)}"]
)
async def test_a_models_words_do_not_hide_behind_a_computed_name(tmp_path: Path, line: str) -> None:
    muse = step("model.muse", "muse", line="what?")
    with pytest.raises(InvalidRequestError, match="name what you need of it"):
        await plan(
            tmp_path,
            muse,
            step("file.erase", "erase", line=line),
            given={"text": argument("all", MODEL)},
        )


async def test_what_a_person_has_confirmed_is_theirs(tmp_path: Path) -> None:
    erase = step("file.erase", "erase", line="${parameters.text}")
    confirmed = MODEL.model_copy(update={"confirmed_by": BOB})
    made = await plan(tmp_path, erase, given={"text": argument("all", confirmed)})
    assert made.steps[0].untrusted == ()
    made = await plan(
        tmp_path,
        step("model.muse", "muse", line="what?"),
        {"id": "check", "name": "c", "manual": "Look.", "show": {"w": "${steps.muse.line}"}},
        step("file.erase", "erase", line="${steps.check.w}"),
    )
    assert [s.untrusted for s in made.steps][1:] == [("steps.muse.line (model output)",), ()]


def test_a_difference_names_the_place_and_both_values() -> None:
    signed: Any = {
        "steps": [
            {"id": "revert", "with": {"commit": "a"}},
            {"id": "tell", "with": {"to": "#a"}, "time_limit": 5},
        ],
        "roles": ["lead", "oncall"],
    }
    now: Any = {
        "steps": [
            {"id": "tell", "with": {"to": "#a", "text": "x"}},
            {"id": "revert", "with": {"commit": "b"}},
            {"id": "more"},
        ],
        "roles": ["lead"],
    }
    assert difference(signed, now) == [
        'steps.revert.with.commit: was "a", is now "b"',
        'steps.tell.with.text: is new, "x"',
        "steps.tell.time_limit: was 5, is gone",
        'steps.more: is new, {"id": "more"}',
        'roles: was ["lead", "oncall"], is now ["lead"]',
    ]
    assert difference(signed, signed) == []
    reordered: Any = {**signed, "steps": signed["steps"][::-1]}
    assert difference(signed, reordered) == ["steps: the order is now tell, revert"]
    many: Any = {f"k{n}": n for n in range(20)}
    assert difference(many, {})[-1] == "and 12 more"
