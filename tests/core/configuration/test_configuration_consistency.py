"""Whether the records fit each other: each thing that does not is told with file and mend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.automation import AISchedule, AITrigger
from core.consistency import problems, require_consistent
from core.errors import ConfigurationError
from core.state import AIAssistant, AIIntegration, AIModel, AIWorkflow, ApplicationState
from tests.core.workflows.parts import policy, registry, state, step, workflow

FOLDER = Path("config")


def model(model_id: str, modality: str, default: bool = True) -> AIModel:
    return AIModel.model_validate(
        {
            "id": model_id,
            "modality": modality,
            "parameters": 1,
            "format": "served",
            "licence": "Apache-2.0",
            "source": {"type": "server", "name": model_id},
            "capabilities": ["chat" if modality == "text" else "embeddings"],
            "default": default,
        }
    )


MODELS = {"chat": model("chat", "text"), "embed": model("embed", "embeddings")}


def adapter(base: str, **fields: Any) -> AIModel:
    record = model("terse", "text", default=False)
    return AIModel.model_validate(
        record.model_dump()
        | {"source": {"type": "adapter", "base": base, "path": "terse"}}
        | fields
    )


def assistant(**fields: Any) -> AIAssistant:
    return AIAssistant.model_validate(
        {
            "id": "planner",
            "name": "Planner",
            "speciality": "plans",
            "system_prompt": "Plan.",
            "examples": ["a", "b", "c"],
            **fields,
        }
    )


def trigger(**fields: Any) -> AITrigger:
    return AITrigger.model_validate(
        {
            "id": "ci",
            "integration": "github",
            "event": "ci.failed",
            "channel": "#deploys",
            "workflows": [{"workflow": "note"}],
            **fields,
        }
    )


def schedule(**fields: Any) -> AISchedule:
    return AISchedule.model_validate(
        {"id": "daily", "name": "Daily", "cron": "0 8 * * *", "channel": "#general", **fields}
    )


def whole(*workflows: AIWorkflow, **parts: Any) -> ApplicationState:
    """A state in which everything fits, but for what a test puts in."""
    fitting: dict[str, Any] = {
        "models": MODELS,
        "assistants": {"planner": assistant()},
        "integrations": {"github": AIIntegration(id="github", kind="github")},
    }
    return state(FOLDER, *(workflows or (workflow(),)), **(fitting | parts))


def found(here: ApplicationState) -> list[str]:
    return problems(here, registry(Path("lines")))


PARAMETERS = {"text": {"description": "a"}}


def test_what_fits_has_no_problems() -> None:
    here = whole(
        workflow(
            step(line="${parameters.text}"),
            step(step_id="second", line="${steps.first.line}"),
            parameters=PARAMETERS,
            environment="${parameters.text}",
            start=["engineer"],
            guardrails=[{"type": "approval", "roles": ["lead"]}],
            escalation={"roles": ["lead"]},
        ),
        assistants={"planner": assistant(model="chat", workflows=["note"])},
        triggers={"ci": trigger(workflows=[{"workflow": "note", "with": {"text": "${event.x}"}}])},
        schedules={
            "daily": schedule(workflow="note", **{"with": {"text": "a"}}),
            "digest": schedule(id="digest", assistant="planner", prompt="What happened?"),
        },
    )
    assert found(here) == []
    require_consistent(here, registry(Path("lines")))


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        (
            {"policy": policy(break_glass={"roles": ["chief"], "channel": "#deploys"})},
            (
                "config/policy.yaml: break_glass.roles: define 'chief' under 'roles', or mend "
                "its spelling."
            ),
        ),
        (
            {"models": {"embed": model("embed", "embeddings")}},
            "config/models: exactly one text model needs 'default: true' (now: none).",
        ),
        (
            {
                "models": {
                    m.id: m
                    for m in (model("a", "text"), model("b", "text"), model("e", "embeddings"))
                }
            },
            "config/models: exactly one text model needs 'default: true' (now: a, b).",
        ),
        (
            {"models": {**MODELS, "terse": adapter("embed")}},
            "config/models/terse.yaml: source.base: there is no 'embed'; there is chat.",
        ),
        (
            {"models": {**MODELS, "terse": adapter("chat", modality="vision")}},
            (
                "config/models/terse.yaml: an adapter has 'modality: text' and is not the "
                "default: its base is."
            ),
        ),
        ({"assistants": {}}, "config/assistants: there must be at least one assistant."),
        (
            {"assistants": {"planner": assistant(workflows=["notes"])}},
            "config/assistants/planner.yaml: workflows: there is no 'notes'; there is note.",
        ),
        (
            {"assistants": {"planner": assistant(model="gpt")}},
            "config/assistants/planner.yaml: model: there is no 'gpt'; there is chat, embed.",
        ),
        (
            {"triggers": {"ci": trigger(integration="gitlab")}},
            "config/triggers/ci.yaml: integration: there is no 'gitlab'; there is github.",
        ),
        (
            {"triggers": {"ci": trigger(workflows=[{"workflow": "notes"}])}},
            "config/triggers/ci.yaml: workflows.1.workflow: there is no 'notes'; there is note.",
        ),
        (
            {"triggers": {"ci": trigger(workflows=[{"workflow": "note", "with": {"x": "1"}}])}},
            "config/triggers/ci.yaml: workflows.1.with.x: there is no 'x'; there is none.",
        ),
        (
            {"schedules": {"daily": schedule(assistant="poet", prompt="Write.")}},
            "config/schedules/daily.yaml: assistant: there is no 'poet'; there is planner.",
        ),
        (
            {"schedules": {"daily": schedule(workflow="notes")}},
            "config/schedules/daily.yaml: workflow: there is no 'notes'; there is note.",
        ),
        (
            {"schedules": {"daily": schedule(workflow="note", **{"with": {"x": 1}})}},
            "config/schedules/daily.yaml: with: note has no parameter x; it has none.",
        ),
    ],
)
def test_a_name_that_names_nothing_is_told_with_what_there_is(
    parts: dict[str, Any], line: str
) -> None:
    assert found(whole(**parts)) == [line]


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"start": ["king"]}, "start: there is no 'king'; there is engineer, approver, lead."),
        (
            {"escalation": {"roles": ["king"]}},
            "escalation.roles: there is no 'king'; there is engineer, approver, lead.",
        ),
        (
            {"environment": "${parameters.env}"},
            "environment: parameters.env: there is no 'env'; there is none.",
        ),
        (
            {"steps": [step(line="${parameters.txt}")], "parameters": PARAMETERS},
            "steps.first.with.line: parameters.txt: there is no 'txt'; there is parameters.text.",
        ),
        (
            {"steps": [step(line="${steps.second.line}"), step(step_id="second")]},
            "steps.first.with.line: steps.second.line: no step that is done before has the",
        ),
        (
            {"steps": [step(line="${steps.first.line}")]},
            "steps.first.with.line: steps.first.line: no step that is done before has the",
        ),
        (
            {"steps": [step(line="${secrets.token}")]},
            "steps.first.with.line: secrets.token: there is no 'secrets'; there is",
        ),
        (
            {"steps": [step(line="a", colour="red")]},
            "steps.first.with.colour: file.append takes dry_run, line, number.",
        ),
        (
            {"steps": [step(line="a", number="many")]},
            "steps.first.with.number: file.append: Input should be a valid integer",
        ),
        (
            {"steps": [step("cloud.explode")]},
            "steps.first.action: There is no action 'cloud.explode'. Known actions: file.append",
        ),
    ],
)
def test_a_workflow_that_cannot_run_is_told(fields: dict[str, Any], line: str) -> None:
    first = found(whole(workflow(**fields)))[0]
    assert first.startswith(f"config/workflows/note.yaml: {line}")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("${parameters.text}", "parameters.text: there is no 'parameters'; there is event."),
        ("${steps.x.y}", "steps.x.y: there is no 'steps'; there is event."),
        ("${event}", 'event: name what you need of it: event.a_name or event["a-name"].'),
        ("a ${event.x", "${event.x: it has no closing } within 4000 characters"),
        ("a ${[event.x]}", "[event.x]: a list cannot stand inside text; let it stand alone."),
        ({"a": "b"}, "write a plain value, or a list of texts."),
        ("x" * 501, "text is longer than 500 characters."),
    ],
)
def test_a_trigger_maps_from_the_event_what_the_workflow_takes(value: Any, says: str) -> None:
    offer = {"workflow": "note", "with": {"text": value}}
    (line,) = found(
        whole(
            workflow(step(line="${parameters.text}"), parameters=PARAMETERS),
            triggers={"ci": trigger(workflows=[offer])},
        )
    )
    assert line.startswith(f"config/triggers/ci.yaml: workflows.1.with.text: {says}")


@pytest.mark.parametrize(
    ("when", "says"),
    [
        ("event.branch == 'main' && size(event.title) > 3", None),
        ("event.title", None),
        ("size(event.title)", "must be true or false, but is of type integer."),
        ("evnt.title == ''", "there is no 'evnt'; there is event."),
        ("event.title ==", "character 15: mismatched input"),
    ],
)
def test_a_triggers_condition_is_over_the_event(when: str, says: str | None) -> None:
    lines = found(whole(triggers={"ci": trigger(when=when)}))
    if says is None:
        assert lines == []
    else:
        (line,) = lines
        assert line.startswith("config/triggers/ci.yaml: when: ")
        assert says in line


def test_a_trigger_that_starts_a_run_gives_every_argument_that_has_no_default() -> None:
    parameters = PARAMETERS | {
        "host": {"description": "b"},
        "why": {"description": "c", "default": "-"},
    }
    here = workflow(step(line="${parameters.text}"), parameters=parameters)
    offer = {"workflow": "note", "with": {"host": "${event.host}"}}
    offered = whole(here, triggers={"ci": trigger(workflows=[offer])})
    assert found(offered) == []  # a person fills in the rest
    (line,) = found(whole(here, triggers={"ci": trigger(mode="start", workflows=[offer])}))
    assert line == (
        "config/triggers/ci.yaml: workflows.1: note needs text: add it under 'with', or let a "
        "person fill it in with 'mode: offer'."
    )


def test_a_schedule_gives_every_argument_that_has_no_default() -> None:
    (line,) = found(
        whole(
            workflow(step(line="${parameters.text}"), parameters=PARAMETERS),
            schedules={"daily": schedule(workflow="note")},
        )
    )
    assert line == "config/schedules/daily.yaml: with: note needs text (a): add text=…"


def test_everything_is_told_at_once() -> None:
    here = whole(workflow(start=["king"]), assistants={}, models={})
    with pytest.raises(ConfigurationError) as caught:
        require_consistent(here, registry(Path("lines")))
    assert len(str(caught.value).splitlines()) == 5


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "name either a 'workflow' or an 'assistant'"),
        ({"workflow": "note", "assistant": "a", "prompt": "b"}, "either a 'workflow' or an"),
        ({"assistant": "planner"}, "an 'assistant' needs a 'prompt'"),
        ({"workflow": "note", "prompt": "b"}, "a workflow has none"),
        ({"workflow": "note", "cron": "0 8 * *"}, "cron"),
        ({"workflow": "note", "timezone": "Europe/Atlantis"}, "is not a time zone"),
        ({"workflow": "note", "misfire_grace": "0s"}, "misfire_grace"),
        ({"workflow": "note", "misfire_grace": "8d"}, "misfire_grace"),
        ({"workflow": "note", "channel": "general"}, "channel"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        schedule(**fields)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"match": {"branch": "("}}, "branch is not a regular expression"),
        ({"match": {"branch": "a{99999999999}"}}, "branch is not a regular expression"),
        ({"channel": "<!channel>"}, "channel"),
        ({"mode": "force"}, "'offer' or 'start'"),
    ],
)
def test_a_trigger_that_makes_no_sense_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        trigger(**fields)
