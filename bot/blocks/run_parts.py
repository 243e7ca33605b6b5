"""The parts of a run's card: steps, origins of values, guardrails, progress, countersignatures.

Everything in them is text elements: what a webhook, a model or a program wrote stays text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from pydantic import JsonValue
from slackblocks import RichTextElement, RichTextObject

from bot.blocks.layout import (
    bold,
    bullets,
    code,
    cut,
    link,
    paragraph,
    person,
    preformatted,
    text,
    with_people,
)
from core.records import Provenance, Risk, Scalar
from core.security.policy import Role
from core.workflows.guardrails import Approval, GuardrailResult, GuardrailState
from core.workflows.plan import PlannedArgument, PlannedStep
from core.workflows.run import Run, StepProgress, StepState
from core.workflows.signatures import Decision, Signature

_GUARDRAIL = {
    GuardrailState.MET: "Met",
    GuardrailState.WAITING: "Waiting",
    GuardrailState.BLOCKED: "Blocked",
}
_STEP = {
    StepState.PENDING: "Not begun",
    StepState.RUNNING: "Running",
    StepState.SUCCEEDED: "Done",
    StepState.FAILED: "Failed",
    StepState.UNKNOWN: "Cut off, outcome not known",
    StepState.SKIPPED: "Skipped",
}
_SIGN = {GuardrailState.MET: "✓ ", GuardrailState.WAITING: "", GuardrailState.BLOCKED: "✕ "}
_SOURCE = {
    "person": "typed by a person, ",
    "definition": "",
    "schedule": "from the schedule ",
    "webhook": "webhook field, ",
    "model": "model output, ",
    "step": "earlier step's output, ",
}


class Budget:
    """How many characters the parts that can be cut may still use."""

    def __init__(self, characters: int) -> None:
        self.left = characters
        self.shortened = False

    def take(self, value: str, most: int) -> str:
        """As much of `value` as there is room for, at least a little."""
        taken = cut(value, max(min(most, self.left), 40))
        self.left -= len(taken)
        self.shortened = self.shortened or taken != value
        return taken

    def room(self, most: int) -> int:
        """Room for a part of at most `most` characters, which is then used up."""
        given = max(min(most, self.left), 0)
        self.left -= given
        return given


def facts(run: Run) -> RichTextObject:
    """Who asked, through what, and the blast radius."""
    plan = run.plan
    radius: list[RichTextElement] = [bold("Touches: ")]
    for position, target in enumerate(plan.targets):
        radius += [text(", "), code(cut(target, 200))] if position else [code(cut(target, 200))]
    lines = [
        [bold("Asked for by: "), person(run.requester), text(f" through {cut(run.origin, 300)}")],
        [bold("Environment: "), text(plan.environment), text(" · "), *_risk(plan.risk)],
    ]
    return bullets(*lines, radius) if plan.targets else bullets(*lines)


def step_parts(
    position: int, step: PlannedStep, budget: Budget, preview: bool
) -> list[RichTextObject]:
    """One step as it will run: what, with which arguments, and its dry run's output."""
    title: list[RichTextElement] = [bold(f"{position}. {step.name}"), text(" · ")]
    parts: list[RichTextObject] = [
        paragraph(
            [*title, *_risk(step.risk), text(" · "), code(step.action)],
            [text(budget.take(step.description, 500))],
        )
    ]
    if step.arguments:
        parts.append(bullets(*(_argument(k, v, budget) for k, v in step.arguments.items())))
    if step.untrusted:
        names = ", ".join(step.untrusted)
        parts.append(paragraph([bold(f"Untrusted values in this step: {names}")]))
    if preview and step.preview is not None and not step.preview.strip():
        parts.append(paragraph([text("Dry run: it would print nothing.")]))
    elif preview and step.preview and (room := budget.room(1_500)) > 100:
        parts += [paragraph([text("Dry run:")]), preformatted(step.preview, room)]
    return parts


def origins(
    arguments: Mapping[str, PlannedArgument], requester: str, budget: Budget
) -> list[RichTextObject]:
    """Where each value came from."""
    if not arguments:
        return []
    lines = [
        [
            code(name),
            text(" = "),
            code(budget.take(_value(argument.value), 200)),
            text(" — "),
            *_provenance(argument.provenance, requester),
        ]
        for name, argument in arguments.items()
    ]
    return [paragraph([bold("Where the values came from")]), bullets(*lines)]


def guardrails(results: tuple[GuardrailResult, ...], run: Run) -> list[RichTextObject]:
    """Each guardrail with its state and the evidence."""
    if not results:
        return []
    people = [run.requester, *(signature.user for signature in run.signatures)]
    lines: list[list[RichTextElement]] = [
        [
            bold(_SIGN[result.state] + _GUARDRAIL[result.state]),
            text(f": {cut(result.description, 300)} — "),
            *with_people(cut(result.evidence, 300), people),
        ]
        for result in results
    ]
    return [paragraph([bold("Guardrails")]), bullets(*lines)]


def who_may_sign(approval: Approval, roles: Mapping[str, Role]) -> RichTextObject:
    """The roles that countersign, with the groups that hold them, as text: nobody is pinged."""
    named = []
    for name in approval.roles:
        role = roles.get(name)
        groups = ", ".join(f"@{group}" for group in role.groups) if role else ""
        named.append(f"{name} ({groups})" if groups else name)
    rule = ", not the requester" if approval.four_eyes else ""
    people = "1 person" if approval.count == 1 else f"{approval.count} people"
    words = f"{people} with the role {' or '.join(named)}{rule}"
    return paragraph([bold("Who may countersign: "), text(words)])


def signed(signatures: tuple[Signature, ...]) -> list[RichTextObject]:
    """Who said what."""
    if not signatures:
        return []
    lines = []
    for signature in signatures:
        word = "Approved by " if signature.decision is Decision.APPROVE else "Denied by "
        comment = f": {cut(signature.comment, 300)}" if signature.comment else ""
        lines.append([text(word), person(signature.user), text(comment)])
    return [paragraph([bold("Countersignatures")]), bullets(*lines)]


def given(arguments: Mapping[str, PlannedArgument], budget: Budget) -> list[RichTextObject]:
    """The arguments in one paragraph, for a run that waits for nobody's signature."""
    if not arguments:
        return []
    parts: list[RichTextElement] = [bold("With: ")]
    for name, argument in arguments.items():
        parts += [code(name), text(" "), code(budget.take(_value(argument.value), 120)), text("  ")]
    return [paragraph(parts)]


def progress(run: Run, now: datetime, budget: Budget, outputs: bool) -> list[RichTextObject]:
    """How far each step is, with its time and what came of it."""
    parts: list[RichTextObject] = []
    done = {step.step_id: step for step in run.steps}
    for position, step in enumerate(run.plan.steps, start=1):
        state = done.get(step.id, StepProgress(step_id=step.id))
        parts.append(_step_line(position, step, state, now, budget))
        if outputs and state.output and (room := budget.room(2_500)) > 100:
            parts.append(preformatted(state.output, room))
    return parts


def progress_line(run: Run) -> str:
    """`2 of 3 steps done`, for notifications."""
    done = sum(step.state is StepState.SUCCEEDED for step in run.steps)
    return f"{done} of {len(run.plan.steps)} steps done"


def _step_line(
    position: int, step: PlannedStep, state: StepProgress, now: datetime, budget: Budget
) -> RichTextObject:
    words = _STEP[state.state]
    if duration := _duration(state, now):
        words += f", {duration}"
    if state.attempts > 1:
        words += f", attempt {state.attempts}"
    line: list[RichTextElement] = [bold(f"{position}. {step.name}"), text(f" · {words}")]
    below: list[RichTextElement] = []
    if state.state is not StepState.SUCCEEDED:  # where it says itself what it has done
        below.append(text(budget.take(step.description, 400)))
    if state.summary:
        below += [text("\n")] if below else []
        below.append(text(budget.take(state.summary, 600)))
    if state.link:
        below += [text(" "), link(state.link, "Look at it")]
    return paragraph(line, below) if below else paragraph(line)


def _duration(state: StepProgress, now: datetime) -> str:
    if state.started_at is None or state.state is StepState.PENDING:
        return ""
    if state.state is StepState.RUNNING:
        return f"for {_seconds((now - state.started_at).total_seconds())}"
    if state.finished_at is None:
        return ""
    return _seconds((state.finished_at - state.started_at).total_seconds())


def _seconds(value: float) -> str:
    if value < 60:
        return f"{max(value, 0):.1f} s"
    minutes, seconds = divmod(round(value), 60)
    return f"{minutes} min {seconds} s"


def _risk(risk: Risk) -> list[RichTextElement]:
    return [bold(f"risk: {risk}") if risk is not Risk.READ else text(f"risk: {risk}")]


def _argument(name: str, value: JsonValue, budget: Budget) -> list[RichTextElement]:
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return [code(name), text(": "), code(budget.take(shown, 300))]


def _value(value: Scalar) -> str:
    """As people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _provenance(provenance: Provenance, requester: str) -> list[RichTextElement]:
    source, detail = _SOURCE[provenance.kind], cut(provenance.detail, 120)
    if provenance.trusted:
        return with_people(f"{source}{detail}", [requester])
    return [text(f"{source}{detail} · "), bold("untrusted")]
