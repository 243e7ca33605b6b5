"""A run -> the one message that always says what is so now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from slackblocks import (
    Block,
    ContextBlock,
    DividerBlock,
    Markdown,
    RichTextElement,
    RichTextObject,
)

from bot.blocks.layout import (
    Content,
    bold,
    bullets,
    cut,
    dicts,
    header,
    link,
    note,
    paragraph,
    rich,
    text,
    with_people,
)
from bot.blocks.run_buttons import buttons, waiting_steps
from bot.blocks.run_outline import duration, title
from bot.blocks.run_output import outputs
from bot.blocks.run_parts import (
    Budget,
    escalation,
    facts,
    given,
    guardrails,
    origins,
    progress_line,
    signed,
    who_may_sign,
)
from bot.blocks.run_steps import planned, progress
from bot.slack.escaping import escape_mrkdwn
from core.security.policy import Role
from core.workflows.guardrails import GuardrailState
from core.workflows.needs import Need
from core.workflows.run import Run, RunState

_BUDGET = 8_500
_LINKS = 10
_SHORTENED = "Some values are shown shortened here; the signature covers all of them."
_BEGUN = frozenset({RunState.RUNNING, RunState.ATTENTION, RunState.SUCCEEDED, RunState.FAILED})
TITLES = {
    RunState.AWAITING: "Countersign",
    RunState.APPROVED: "Approved, about to begin",
    RunState.RUNNING: "Running",
    RunState.ATTENTION: "A person must decide",
    RunState.SUCCEEDED: "Done",
    RunState.FAILED: "Failed",
    RunState.DENIED: "Denied",
    RunState.EXPIRED: "Expired",
    RunState.CANCELLED: "Cancelled",
    RunState.BLOCKED: "Stopped by a guardrail",
}


@dataclass(frozen=True)
class CardContext:
    """What a card says that is not in the run itself.

    Attributes:
        roles: the policy's, to name the groups that hold them.
        missing: what is still to be signed; None where that is not known.
        glass: whether the policy lets anybody break the glass.
        file: whether the file with the long output stands in the thread.
    """

    roles: Mapping[str, Role] = field(default_factory=dict)
    missing: Sequence[Need] | None = None
    glass: bool = False
    file: bool = False


def run_card(run: Run, context: CardContext) -> Content:
    """The card. `run` must come with its guardrails judged, where it has not begun."""
    budget = Budget(_BUDGET)
    head = f"{heading(run)}: {run.plan.name}"
    blocks: list[Block] = [header(head), rich(*opening(run))]
    if run.state is RunState.AWAITING:
        blocks += _plan_blocks(run, budget, context)
    else:
        blocks += _progress_blocks(run, budget, context)
    blocks.append(_small_print(run))
    blocks += buttons(run, context.glass)
    return Content(text=escape_mrkdwn(_spoken(run, head)), blocks=dicts(blocks))


def heading(run: Run) -> str:
    """Where the run is, in words."""
    if run.state is RunState.ATTENTION and waiting_steps(run):
        return "Waits for a person"
    held = any(result.state is GuardrailState.WAITING for result in run.guardrails)
    if run.state is RunState.APPROVED and (held or run.reason):
        return "Approved, waits for its turn"
    return TITLES[run.state]


def opening(run: Run) -> list[RichTextObject]:
    """What it is for, who asked, and why it ended as it did."""
    parts: list[RichTextObject] = [paragraph([text(run.plan.objective)]), facts(run)]
    if run.reason:
        people = [run.requester, *(signature.user for signature in run.signatures)]
        why = with_people(cut(run.reason, 1_200), people)
        parts.append(paragraph([bold("Why: "), *why]))
    return parts


def summary(run: Run) -> list[RichTextObject]:
    """How a run that has ended went: steps, time, links."""
    if not run.state.final or not any(step.attempts for step in run.steps):
        return []
    words = progress_line(run)
    begun = [step.started_at for step in run.steps if step.started_at]
    ended = [step.finished_at for step in run.steps if step.finished_at]
    if begun and ended:
        words += f" in {duration((max(ended) - min(begun)).total_seconds())}"
    line: list[RichTextElement] = [bold("In short: "), text(words)]
    steps = {step.id: step for step in run.plan.steps}
    links = {p.link: cut(title(steps[p.step_id]), 100) for p in run.steps if p.link}
    named = [[link(url, name)] for url, name in links.items()][:_LINKS]
    return [paragraph(line), bullets(*named)] if named else [paragraph(line)]


def _plan_blocks(run: Run, budget: Budget, context: CardContext) -> list[Block]:
    blocks: list[Block] = [DividerBlock(), *(rich(*p) for p in planned(run.plan, budget))]
    if where := origins(run.plan.arguments, run.requester, budget):
        blocks += [DividerBlock(), rich(*where)]
    if rules := guardrails(run.guardrails, run):
        blocks += [DividerBlock(), rich(*rules)]
    signers = [*signed(run.signatures)]
    if run.approval:
        signers += who_may_sign(run.approval, context.roles, context.missing)
    if signers := [*signers, *escalation(run)]:
        blocks.append(rich(*signers))
    if budget.shortened:
        blocks.append(note(_SHORTENED))
    return blocks


def _progress_blocks(run: Run, budget: Budget, context: CardContext) -> list[Block]:
    printed = outputs(run)
    values = given(run.plan.arguments, budget)
    parts = progress(run, budget, printed.shown, links=not run.state.final)
    blocks: list[Block] = [DividerBlock(), *(rich(*part) for part in [values, *parts] if part)]
    closing = [*summary(run), *_telling_guardrails(run), *signed(run.signatures)]
    if closing:
        blocks += [DividerBlock(), rich(*closing)]
    if printed.file and context.file:
        blocks.append(note(f"The whole output is in this thread: {printed.name}"))
    return blocks


def _telling_guardrails(run: Run) -> list[RichTextObject]:
    """Of a run that waits for nobody, only the guardrails that hold it, or gave way."""
    kept = GuardrailState.MET if run.state is RunState.APPROVED else None
    told = [
        result
        for result in run.guardrails
        if result.state is GuardrailState.OVERRIDDEN or (kept and result.state is not kept)
    ]
    return guardrails(told, run)


def _small_print(run: Run) -> Block:
    """Only our own words and digits stand in this mrkdwn."""
    parts = [f"Run `{escape_mrkdwn(run.id)}`", f"plan `{escape_mrkdwn(run.digest[:19])}…`"]
    if run.state is RunState.AWAITING and run.expires_at:
        fallback = run.expires_at.strftime("%Y-%m-%d %H:%M %Z")
        stamp = int(run.expires_at.timestamp())
        parts.append(f"expires <!date^{stamp}^{{date_short_pretty}} at {{time}}|{fallback}>")
    return ContextBlock([Markdown(" · ".join(parts))])


def _spoken(run: Run, head: str) -> str:
    """What a notification or a screen reader says."""
    plan = run.plan
    where = f" on {', '.join(plan.targets)}" if plan.targets else ""
    sentence = f"{head}{where}, environment {plan.environment}, risk {plan.risk}. Run {run.id}, "
    sentence += f"asked for by {run.requester} through {run.origin}."
    if run.state is RunState.AWAITING and run.approval:
        sentence += f" {run.approval.describe()}. Use its buttons, or reply approve or deny."
    elif run.state in _BEGUN:
        sentence += f" {progress_line(run)}."
    for step in waiting_steps(run):
        sentence += f" To be done by a person: {step.description}"
    return cut(f"{sentence} {run.reason}".strip(), 2_500)
