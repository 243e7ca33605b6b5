"""A configuration as Markdown: its workflows with their guardrails, and its assistants.

`countersign docs` prints it, so that what people read is what the files say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from core.automation import AITrigger
from core.records import Risk
from core.security.policy import Right, effective_approval
from core.state import AIAssistant, AIWorkflow, ApplicationState
from core.workflows.actions import ActionRegistry
from core.workflows.definition import USUAL_LIMIT, Call, Parameter, StepDefinition, StepKind, spoken
from core.workflows.guardrails import Approval
from core.workflows.template import references

_HEAD = """\
# Workflows and assistants

Written by `countersign docs` from the configuration; edit the files there, not this one.

A run's card shows all of this for the very plan that is to be signed. The risk of a step whose
arguments are not all written out here is its action's usual one; the card has the exact one.
*Escalation* says which roles are called in the run's thread, one after the other, while enough
people have not signed.
"""


def describe(state: ApplicationState, actions: ActionRegistry, command: str) -> str:
    """The page, ending in a newline.

    Args:
        state: consistent, as `core.consistency.require_consistent` checks.
        command: the slash command, such as `/ops`.

    Raises:
        CountersignError: the state is not consistent.
    """
    lines = [_HEAD, "## Workflows"]
    for workflow in state.workflows.values():
        lines += ["", *_workflow(state, actions, workflow, command)]
    lines += ["", "## Roles", "", "Who holds a role, by `policy.yaml`.", ""]
    lines += _table(("Role", "Slack user groups and people"), _roles(state))
    lines += ["", "## Assistants"]
    for assistant in state.assistants.values():
        lines += ["", *_assistant(state, assistant)]
    return "\n".join(lines) + "\n"


def _workflow(
    state: ApplicationState, actions: ActionRegistry, workflow: AIWorkflow, command: str
) -> Iterator[str]:
    yield f"### {workflow.name}"
    yield ""
    yield workflow.objective
    yield ""
    yield f"    {_usage(workflow, command)}"
    yield ""
    if workflow.parameters:
        rows = [
            (f"`{name}`", parameter.description, _kind(parameter), _default(parameter))
            for name, parameter in workflow.parameters.items()
        ]
        yield from _table(("Parameter", "What it is", "Allowed", "If left out"), rows)
        yield ""
    yield from _steps(actions, workflow.steps)
    yield ""
    if workflow.on_failure:
        yield "After a failure, when what was done has been undone where a step says how:"
        yield ""
        yield from _steps(actions, workflow.on_failure)
        yield ""
    risk = _highest(actions, workflow)
    yield f"- Risk: **{risk}**, environment {workflow.environment}."
    if workflow.targets:
        yield f"- What it touches: {_code(workflow.targets)}."
    yield f"- Who may start it: {_holders(state, _starters(state, workflow))}."
    yield from _guardrails(state, workflow, risk)
    yield from _starts(state, workflow)
    if workflow.escalation is None:
        yield "- Escalation: none."
    else:
        after, roles = workflow.escalation.after, workflow.escalation.roles
        each = " each" if len(roles) > 1 else ""
        yield f"- Escalation: {_holders(state, roles, ', then ')}, after {spoken(after)}{each}."


def _guardrails(state: ApplicationState, workflow: AIWorkflow, risk: Risk) -> Iterator[str]:
    own = next((rail for rail in workflow.guardrails if isinstance(rail, Approval)), None)
    approval = effective_approval(state.policy, risk, own)
    if approval is None:
        yield "- Countersignatures: none needed, it only reads."
    else:
        yield f"- {approval.describe()}, within {spoken(approval.expires_after)}."
        yield f"- Who may countersign: {_holders(state, approval.roles)}."
    for rail in workflow.guardrails:
        if not isinstance(rail, Approval):
            yield f"- {rail.describe()}."


def _starts(state: ApplicationState, workflow: AIWorkflow) -> Iterator[str]:
    """What offers the workflow or asks for it, beside people."""
    for trigger in state.triggers.values():
        if any(offer.workflow == workflow.id for offer in trigger.workflows):
            verb = "Offered" if trigger.mode == "offer" else "Asked for"
            yield (
                f"- {verb} in {_channel(trigger)} when `{trigger.integration}` says "
                f"`{trigger.event}` (trigger `{trigger.id}`)."
            )
    for schedule in state.schedules.values():
        if schedule.workflow == workflow.id:
            yield (
                f"- Asked for in {schedule.channel} by the clock: `{schedule.timing}` "
                f"{schedule.timezone} (schedule `{schedule.id}`)."
            )


def _channel(trigger: AITrigger) -> str:
    if trigger.owner is None:
        return trigger.channel
    return f"its owner's channel ({trigger.owner.file}), else in {trigger.channel}"


def _assistant(state: ApplicationState, assistant: AIAssistant) -> Iterator[str]:
    yield f"### {assistant.name}"
    yield ""
    yield assistant.speciality
    yield ""
    yield (
        f"- To ask it by name, begin with `{assistant.id}:`. Other requests come to it when they "
        f"are like its {len(assistant.examples)} examples."
    )
    proposed = [state.workflows[name].name for name in assistant.workflows]
    yield f"- May propose: {', '.join(proposed) or 'nothing'}."
    yield f"- Model: {f'`{assistant.model}`' if assistant.model else 'the default one'}."
    for prompt in assistant.suggested_prompts:
        yield f"- For example: “{prompt}”"


def _steps(actions: ActionRegistry, steps: Iterable[StepDefinition]) -> Iterator[str]:
    rows = [
        ("- " * depth + step.name, _what(step), *_measures(actions, step))
        for depth, step in _outline(steps)
    ]
    yield from _table(("Step", "What it does", "Risk", "Time limit"), rows)


def _outline(
    steps: Iterable[StepDefinition], depth: int = 0
) -> Iterator[tuple[int, StepDefinition]]:
    """All steps with how deep they stand in groups."""
    for step in steps:
        yield depth, step
        yield from _outline((*step.parallel, *step.steps), depth + 1)


def _what(step: StepDefinition) -> str:
    """What a step does, and under which conditions."""
    match step.kind:
        case StepKind.ACTION:
            words = f"`{step.action}`"
        case StepKind.WAIT:
            words = f"waits {spoken(step.wait or USUAL_LIMIT)}"
        case StepKind.MANUAL:
            who = " or ".join(step.roles) or "one of those who may countersign"
            words = f"{who} does it and confirms: {step.manual}"
        case StepKind.PARALLEL:
            words = "all of these at once"
        case StepKind.SEQUENCE:
            words = "these, one after the other"
        case StepKind.FOR_EACH:
            words = f"these for each of {_list(step)}, {step.batch} at once"
            words += f", {spoken(step.pause)} between" if step.pause else ""
    if step.when is not None:
        words += f", only if `{step.when}`"
    if step.retry is not None:
        words += f", up to {step.retry.attempts} times"
    if step.undo is not None:
        words += f"; undone by `{step.undo.action}`"
    return words


def _list(step: StepDefinition) -> str:
    if isinstance(step.for_each, tuple):
        return _code(step.for_each)
    return f"`{step.for_each}`"


def _measures(actions: ActionRegistry, step: StepDefinition) -> tuple[str, str]:
    """Risk and time limit, where a step has them."""
    if step.call is not None:
        return str(_risk(actions, step.call)), spoken(step.call.time_limit)
    return "", spoken(step.time_limit) if step.time_limit else ""


def _highest(actions: ActionRegistry, workflow: AIWorkflow) -> Risk:
    """The highest risk of all that the workflow may call, undoing included."""
    steps = [step for _, step in _outline((*workflow.steps, *workflow.on_failure))]
    calls = [call for step in steps for call in (step.call, step.undo) if call is not None]
    risks = [_risk(actions, call) for call in calls]
    return max(risks, key=lambda risk: risk.rank, default=Risk.READ)


def _risk(actions: ActionRegistry, call: Call) -> Risk:
    if (risk := actions.expected(call.action)) is not None:
        return risk
    action = actions.get(call.action)
    if next(references(call.arguments), None) is not None:
        return action.risk
    return action.risk_of(action.read(dict(call.arguments)))


def _starters(state: ApplicationState, workflow: AIWorkflow) -> tuple[str, ...]:
    granted = state.policy.roles_with(Right.START, workflow.id)
    return tuple(role for role in granted if role in (workflow.start or granted)) or workflow.start


def _roles(state: ApplicationState) -> list[tuple[str, ...]]:
    return [
        (f"`{name}`", ", ".join([*(f"@{group}" for group in role.groups), *role.users]) or "nobody")
        for name, role in state.policy.roles.items()
    ]


def _holders(state: ApplicationState, roles: tuple[str, ...], between: str = " or ") -> str:
    named = []
    for name in roles:
        groups = ", ".join(f"@{group}" for group in state.policy.roles[name].groups)
        named.append(f"{name} ({groups})" if groups else name)
    return between.join(named)


def _usage(workflow: AIWorkflow, command: str) -> str:
    words = [command, "run", workflow.id]
    for name, parameter in workflow.parameters.items():
        words.append(f"{name}=…" if parameter.default is None else f"[{name}=…]")
    return " ".join(words)


def _kind(parameter: Parameter) -> str:
    if parameter.type == "list":
        one = _kind(parameter.model_copy(update={"type": "string", "default": None}))
        return f"list of up to {parameter.max_items}, each: {one}"
    if parameter.choices:
        return _code(str(choice) for choice in parameter.choices)
    if parameter.pattern is not None:
        return f"{parameter.type}, `{parameter.pattern}`"
    low, high = parameter.minimum, parameter.maximum
    if parameter.type in {"integer", "number"} and (low is not None or high is not None):
        least = "" if low is None else f", from {low:g}"
        return f"{parameter.type}{least}{'' if high is None else f', up to {high:g}'}"
    if parameter.type == "string":
        return f"string, up to {parameter.max_length} characters"
    return parameter.type


def _default(parameter: Parameter) -> str:
    if parameter.default is None:
        return "must be given"
    if isinstance(parameter.default, tuple):
        return _code(parameter.default) or "empty"
    return f"`{parameter.default}`" if parameter.default != "" else "empty"


def _code(values: Iterable[str]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "| " + " | ".join("---" for _ in head) + " |"
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |"
