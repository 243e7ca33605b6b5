"""A workflow that could not be planned, signed or run is refused, with file, line and mend."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from core.automation import AITrigger
from core.configuration import read_file
from core.consistency import problems
from core.security.policy import Policy
from core.state import AIWorkflow
from tests.core.configuration.test_configuration_consistency import whole
from tests.core.workflows.parts import policy, registry, step, workflow

PARAMETERS: dict[str, Any] = {
    "text": {"description": "a"},
    "hosts": {"type": "list", "description": "b"},
    "count": {"type": "integer", "description": "c", "default": 1},
    "loud": {"type": "boolean", "description": "d", "default": False},
}


def told(*steps: dict[str, Any], rules: Policy | None = None, **fields: Any) -> list[str]:
    """What is wrong with a workflow, without the file's name."""
    made = workflow(*steps, parameters=PARAMETERS, **fields)
    parts = {"policy": rules} if rules else {}
    found = problems(whole(made, **parts), registry(Path("lines")))
    return [line.removeprefix("config/workflows/note.yaml: ") for line in found]


def say(step_id: str, line: str = "a", **more: Any) -> dict[str, Any]:
    """A step that appends a line."""
    return {**step(step_id=step_id, line=line), **more}


def manual(step_id: str, **more: Any) -> dict[str, Any]:
    """A step that a person does."""
    return {"id": step_id, "name": f"Do {step_id}", "manual": "Look.", **more}


def group(step_id: str, **more: Any) -> dict[str, Any]:
    """A step that holds others."""
    return {"id": step_id, "name": f"Do {step_id}", **more}


def test_every_kind_of_step_may_refer_to_what_is_done_before_it() -> None:
    assert (
        told(
            say("first", "${parameters.text}", when="parameters.loud || parameters.count > 2"),
            group(
                "both",
                parallel=[
                    say("left", "${steps.first.line}"),
                    group("rest", steps=[say("right"), say("more", "${steps.right.line}")]),
                ],
            ),
            group(
                "each-host",
                for_each="${parameters.hosts.filter(h, h != parameters.text)}",
                steps=[
                    say("drain", "${each} ${steps.left.line}"),
                    say(
                        "deploy",
                        "${each + steps.drain.line}",
                        when="steps.drain.ok",
                        undo={
                            "action": "file.append",
                            "with": {"line": "${each} ${steps.deploy.line} ${steps.drain.line}"},
                        },
                    ),
                ],
            ),
            manual("look", show={"line": "${steps.more.line}"}, roles=["lead"]),
            say("last", "${steps.deploy['web-1'].line} ${steps.look.summary}"),
            on_failure=[
                say("sorry", "${steps.last.state}"),
                say("told", "${steps.sorry.line} ${parameters.text}"),
            ],
        )
        == []
    )


NOT_BEFORE = "no step that is done before has the id"


@pytest.mark.parametrize(
    ("steps", "line"),
    [
        (
            [say("a", when="parameters.count")],
            "steps.a.when: parameters.count: must be true or false, but is of type integer.",
        ),
        (
            [say("a", when="parameters.count > 'x'")],
            "steps.a.when: parameters.count > 'x': character 18: '>' cannot take (integer, string)",
        ),
        (
            [say("a", when="steps.b.ok"), say("b")],
            f"steps.a.when: steps.b.ok: {NOT_BEFORE} 'b'; there is none.",
        ),
        (
            [group("g", parallel=[say("a"), say("b", "${steps.a.line}")])],
            f"steps.g.b.with.line: steps.a.line: {NOT_BEFORE} 'a'; there is none.",
        ),
        (
            [group("g", for_each=["x"], steps=[say("a")]), say("b", "${each}")],
            "steps.b.with.line: each: there is no 'each'; there is parameters, steps.",
        ),
        (
            [group("g", steps=[say("a"), say("b", "${steps.g.x}")])],
            f"steps.g.b.with.line: steps.g.x: {NOT_BEFORE} 'g'; there is steps.a.",
        ),
        (
            [say("a"), group("g", for_each="${steps.a.hosts}", steps=[say("b")])],
            "steps.g.for_each: steps.a.hosts: it is known only when steps have run, but people",
        ),
        (
            [group("g", for_each="${parameters.text}", steps=[say("b")])],
            "steps.g.for_each: parameters.text: must be a list, but is of type string.",
        ),
        (
            [group("g", for_each="parameters.hosts", steps=[say("b")])],
            "steps.g.for_each: write a list, or ${parameters.NAME} with a parameter of type list.",
        ),
        (
            [group("g", for_each=["a", "${parameters.x}"], steps=[say("b")])],
            "steps.g.for_each.1: parameters.x: there is no 'x'",
        ),
        (
            [manual("m", show={"x": "${steps.y.z}"})],
            f"steps.m.show.x: steps.y.z: {NOT_BEFORE} 'y'; there is none.",
        ),
        (
            [{**manual("m"), "manual": "Look at ${parameters.url}"}],
            "steps.m.manual: parameters.url: there is no 'url'",
        ),
        (
            [manual("m", roles=["king"])],
            "steps.m.roles: there is no 'king'; there is engineer, approver, lead.",
        ),
        (
            [
                say("a", undo={"action": "file.append", "with": {"line": "${steps.b.line}"}}),
                say("b"),
            ],
            f"steps.a.undo.with.line: steps.b.line: {NOT_BEFORE} 'b'; there is steps.a.",
        ),
        (
            [say("a", undo={"action": "cloud.explode"})],
            "steps.a.undo.action: There is no action 'cloud.explode'.",
        ),
        (
            [say("a", "hosts: ${parameters.hosts}")],
            "steps.a.with.line: parameters.hosts: a list cannot stand inside text",
        ),
        (
            [say("a", "${parameters.hosts}")],
            "steps.a.with.line: file.append: Input should be a valid string.",
        ),
        (
            [say("a", "${parameters.count}")],
            "steps.a.with.line: file.append: Input should be a valid string.",
        ),
        (
            [{**step(step_id="a"), "with": {"number": "${parameters.count}"}}],
            "steps.a.with.line: file.append: Field required.",
        ),
        (
            [{**step(step_id="a"), "with": {"line": "${parameters.text}", "number": "many"}}],
            "steps.a.with.number: file.append: Input should be a valid integer",
        ),
        (
            [say("a", "costs ${5")],
            "steps.a.with.line: ${5: it has no closing } within 4000 characters",
        ),
        (
            [say("a", "left:\n${parameters.count\n```")],
            "steps.a.with.line: ${parameters.count\n```: it has no closing } within 4000",
        ),
        (
            [say("a", "${parameters.count and ${parameters.text}")],
            "steps.a.with.line: parameters.count and ${parameters.text}: character 22: is a }",
        ),
    ],
)
def test_a_step_that_could_not_run_is_told(steps: list[dict[str, Any]], line: str) -> None:
    found = told(*steps)
    assert len(found) == 1, found
    assert found[0].startswith(line)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (
            {"on_failure": [say("sorry", "${each}")]},
            "on_failure.sorry.with.line: each: there is no 'each'",
        ),
        (
            {"on_failure": [say("sorry", "${steps.later.x}"), say("later")]},
            f"on_failure.sorry.with.line: steps.later.x: {NOT_BEFORE} 'later'; there is steps.f",
        ),
        (
            {
                "guardrails": [
                    {"type": "approval", "needs": [{"roles": ["lead"]}, {"roles": ["x"]}]}
                ]
            },
            "guardrails.approval.roles: there is no 'x'; there is engineer, approver, lead.",
        ),
        (
            {
                "guardrails": [
                    {
                        "type": "precondition",
                        "action": "file.read",
                        "with": {"line": "a"},
                        "expect": "size(summary) + 1",
                        "message": "The file can be read",
                    }
                ]
            },
            "guardrails.precondition.expect: size(summary) + 1: must be",
        ),
        (
            {"guardrails": [{"type": "lock", "name": "deploy-${parameters.host}"}]},
            "guardrails.lock.name: parameters.host: there is no 'host'; there is parameters.count",
        ),
        (
            {"escalation": {"roles": ["lead", "engineer"]}},
            "escalation.roles: 'engineer' cannot sign; those who can are approver, lead.",
        ),
        (
            {"start": ["approver"]},
            "start: nobody may start it: policy.yaml grants that to engineer, lead.",
        ),
        (
            {"environment": "${steps.first.line}"},
            f"environment: steps.first.line: {NOT_BEFORE} 'first'; there is none.",
        ),
    ],
)
def test_a_workflow_that_nobody_could_sign_or_start_is_told(
    fields: dict[str, Any], line: str
) -> None:
    found = told(**fields)
    assert len(found) == 1, found
    assert found[0].startswith(line)


def test_a_workflow_for_which_nobody_may_sign_is_told() -> None:
    rules = policy(
        grants=[
            {"allow": ["start"], "roles": ["engineer"]},
            {"allow": ["approve"], "roles": ["lead"], "workflows": ["other-*"]},
        ]
    )
    lines = problems(whole(workflow(), policy=rules), registry(Path("lines")))
    assert lines == [
        "config/policy.yaml: grants.2: no workflow is named 'other-*'; there is note.",
        (
            "config/workflows/note.yaml: nobody with the role approver or lead may countersign "
            "it: add a grant of 'approve' to policy.yaml."
        ),
    ]


def test_each_problem_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "workflows").mkdir()
    (tmp_path / "triggers").mkdir()
    file = tmp_path / "workflows" / "note.yaml"
    file.write_text(
        dedent("""\
        name: Note
        objective: The file has a line more.
        parameters:
          text:
            description: what to write
        start: [engineer, king]
        steps:
          - id: first
            name: First
            action: file.append
            with:
              number: 3
              line: >-
                see
                ${parameters.txt}
          - id: both
            name: Both
            parallel:
              - id: left
                name: Left
                when: steps.right.ok
                action: file.append
                with: {line: a}
              - id: right
                name: Right
                manual: Look.
                roles:
                  - engineer
                  - queen
        guardrails:
          - type: approval
            count: 1
            roles: [lead, duke]
        """)
    )
    ci = tmp_path / "triggers" / "ci.yaml"
    ci.write_text(
        dedent("""\
        integration: github
        event: ci.failed
        channel: "#deploys"
        workflows:
          - workflow: note
            with:
              text: ${event.title + 1}
              txt: a
        """)
    )
    here = whole(
        read_file(file, AIWorkflow, {"id": "note"}),
        triggers={"ci": read_file(ci, AITrigger, {"id": "ci"})},
    ).model_copy(update={"folder": tmp_path})
    found = problems(here, registry(Path("lines")))
    places = [line.removeprefix(f"{tmp_path}/").split(": ")[:2] for line in found]
    assert places == [
        ["workflows/note.yaml:13", "steps.first.with.line"],
        ["workflows/note.yaml:21", "steps.both.left.when"],
        ["workflows/note.yaml:29", "steps.both.right.roles"],
        ["workflows/note.yaml:6", "start"],
        ["workflows/note.yaml:33", "guardrails.approval.roles"],
        ["triggers/ci.yaml:8", "workflows.1.with.txt"],
    ]
