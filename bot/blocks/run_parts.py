"""The parts of a run's card besides its steps: facts, values, guardrails, countersignatures.

Everything in them is text elements: what a webhook, a model or a program wrote stays text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slackblocks import RichTextElement, RichTextObject

from bot.blocks.layout import (
    bold,
    bullets,
    code,
    cut,
    moment,
    paragraph,
    person,
    text,
    with_people,
)
from bot.blocks.run_outline import duration, positions
from core.records import Provenance, Risk, Value
from core.security.policy import Role
from core.workflows.guardrails import Approval, GuardrailResult, GuardrailState
from core.workflows.needs import Need
from core.workflows.plan import PlannedArgument
from core.workflows.run import Run, RunState, StepState
from core.workflows.signatures import Decision, Signature

_GUARDRAIL = {
    GuardrailState.MET: "✓ Met",
    GuardrailState.WAITING: "Waiting",
    GuardrailState.BLOCKED: "✕ Blocked",
    GuardrailState.OVERRIDDEN: "! Overridden by breaking the glass",
}
_SIGNED = {
    Decision.APPROVE: "Approved by ",
    Decision.DENY: "Denied by ",
    Decision.BREAK_GLASS: "Glass broken by ",
}
SOURCE = {
    "person": "typed by a person, ",
    "definition": "",
    "schedule": "from the schedule ",
    "webhook": "webhook field, ",
    "model": "model output, ",
    "step": "earlier step's output, ",
}
"""Kinds of provenance as people read them, before the detail."""


_MOST_TARGETS = 12


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
    for position, target in enumerate(plan.targets[:_MOST_TARGETS]):
        radius += [text(", "), code(cut(target, 200))] if position else [code(cut(target, 200))]
    if len(plan.targets) > _MOST_TARGETS:
        radius.append(text(f" and {len(plan.targets) - _MOST_TARGETS} more"))
    if len(plan.targets) > 1:
        radius.append(text(f" ({len(plan.targets)} in all)"))
    lines = [
        [bold("Asked for by: "), person(run.requester), text(f" through {cut(run.origin, 300)}")],
        [bold("Environment: "), text(plan.environment), text(" · "), *risk(plan.risk)],
    ]
    return bullets(*lines, radius) if plan.targets else bullets(*lines)


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
            code(budget.take(written(argument.value), 200)),
            text(" — "),
            *_provenance(argument.provenance, requester),
        ]
        for name, argument in arguments.items()
    ]
    return [paragraph([bold("Where the values came from")]), bullets(*lines)]


def guardrails(results: Sequence[GuardrailResult], run: Run) -> list[RichTextObject]:
    """Each guardrail with its state and the evidence."""
    if not results:
        return []
    people = [run.requester]
    for signature in run.signatures:
        people += [signature.user, signature.on_behalf or signature.user]
    lines: list[list[RichTextElement]] = [
        [
            bold(_GUARDRAIL[result.state]),
            text(f": {cut(result.description, 300)} — "),
            *with_people(cut(result.evidence, 300), people),
        ]
        for result in results
    ]
    return [paragraph([bold("Guardrails")]), bullets(*lines)]


def who_may_sign(
    approval: Approval, roles: Mapping[str, Role], missing: Sequence[Need] | None
) -> list[RichTextObject]:
    """Who must still countersign, with the groups that hold the roles; nobody is pinged.

    Args:
        missing: what is still to be signed; None where that is not known.
    """
    needs = approval.needs if missing is None else missing
    rule = ", not the requester" if approval.four_eyes else ""
    lines = [_need(need, roles) + rule for need in needs]
    if approval.sequential and missing:
        lines += [f"then {_need(need, roles)}{rule}" for need in _later(approval, missing[0])]
    if len(lines) > 1:
        who = [paragraph([bold("Who must still countersign")])]
        return [*who, bullets(*([text(line)] for line in lines))]
    return [paragraph([bold("Who may countersign: "), text(line)]) for line in lines]


def escalation(run: Run) -> list[RichTextObject]:
    """Who is called when nobody signs."""
    plan = run.plan.escalation
    if plan is None or run.state is not RunState.AWAITING:
        return []
    steps = ", ".join(
        f"{role} after {duration(plan.after_s * count)}"
        for count, role in enumerate(plan.roles, start=1)
    )
    return [paragraph([bold("If nobody signs, called are: "), text(steps)])]


def signed(signatures: Sequence[Signature]) -> list[RichTextObject]:
    """Who said what."""
    if not signatures:
        return []
    lines = []
    for signature in signatures:
        line: list[RichTextElement] = [text(_SIGNED[signature.decision]), person(signature.user)]
        if signature.on_behalf is not None:
            line += [text(" on behalf of "), person(signature.on_behalf)]
        line += [text(", "), moment(signature.at)]
        if signature.comment:
            line.append(text(f": {cut(signature.comment, 300)}"))
        lines.append(line)
    return [paragraph([bold("Countersignatures")]), bullets(*lines)]


def given(arguments: Mapping[str, PlannedArgument], budget: Budget) -> list[RichTextObject]:
    """The arguments in one paragraph, for a run that waits for nobody's signature."""
    if not arguments:
        return []
    parts: list[RichTextElement] = [bold("With: ")]
    for position, (name, argument) in enumerate(arguments.items()):
        value = budget.take(written(argument.value), 120)
        parts += [text(" · ")] if position else []
        parts += [code(name), text(" = "), code(value)]
    return [paragraph(parts)]


def progress_line(run: Run) -> str:
    """`2 of 3 steps done`, for notifications; what undoes or follows a failure is not counted."""
    aside = {step.undo for step in run.plan.steps if step.undo is not None}
    aside |= set(positions(run.plan.on_failure))
    states = {step.step_id: step.state for step in run.steps}
    own = [step for at, step in enumerate(run.plan.steps) if at not in aside]
    done = sum(states.get(step.id) is StepState.SUCCEEDED for step in own)
    return f"{done} of {len(own)} {'step' if len(own) == 1 else 'steps'} done"


def risk(value: Risk) -> list[RichTextElement]:
    """A risk, in bold where there is one."""
    return [bold(f"risk: {value}") if value is not Risk.READ else text(f"risk: {value}")]


def written(value: Value) -> str:
    """A value as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _need(need: Need, roles: Mapping[str, Role]) -> str:
    named = []
    for name in need.roles:
        role = roles.get(name)
        groups = ", ".join(f"@{group}" for group in role.groups) if role else ""
        named.append(f"{name} ({groups})" if groups else name)
    people = "1 person" if need.count == 1 else f"{need.count} people"
    return f"{people} with the role {' or '.join(named)}"


def _later(approval: Approval, now: Need) -> tuple[Need, ...]:
    """The needs of a sequence that come after the one that is being filled."""
    roles = [need.roles for need in approval.needs]
    return approval.needs[roles.index(now.roles) + 1 :] if now.roles in roles else ()


def _provenance(provenance: Provenance, requester: str) -> list[RichTextElement]:
    source, detail = SOURCE[provenance.kind], cut(provenance.detail, 120)
    told = with_people(f"{source}{detail}", [requester])
    if provenance.confirmed_by is not None:
        return [*told, text(" · confirmed by "), person(provenance.confirmed_by)]
    if provenance.trusted:
        return told
    return [text(f"{source}{detail} · "), bold("untrusted")]
