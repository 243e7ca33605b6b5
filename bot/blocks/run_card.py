"""A run -> the one message that always says what is so now."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from slackblocks import (
    ActionsBlock,
    Block,
    Button,
    ConfirmationDialogue,
    ContextBlock,
    DividerBlock,
    Element,
    Markdown,
    PlainText,
    RichTextObject,
)

from bot import names
from bot.blocks.layout import Content, bold, cut, dicts, header, note, paragraph, rich, text
from bot.blocks.run_parts import (
    Budget,
    facts,
    given,
    guardrails,
    origins,
    progress,
    progress_line,
    signed,
    step_parts,
    who_may_sign,
)
from bot.slack.escaping import escape_mrkdwn
from core.records import Risk
from core.security.policy import Role
from core.workflows.run import Run, RunState

Style = Literal["primary", "danger"]

_BUDGET = 8_500
_SHORTENED = "Some values are shown shortened here; the signature covers all of them."
_TITLES = {
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


def run_card(run: Run, now: datetime, roles: Mapping[str, Role]) -> Content:
    """The card.

    Args:
        run: with its guardrails judged, where it still waits.
        now: for how long a step has been running.
        roles: the policy's, to name the groups that may countersign.
    """
    budget = Budget(_BUDGET)
    title = f"{_TITLES[run.state]}: {run.plan.name}"
    blocks: list[Block] = [header(title), rich(*_opening(run))]
    if run.state is RunState.AWAITING:
        blocks += _plan_blocks(run, budget, roles)
    else:
        outputs = run.state.final or run.state is RunState.ATTENTION
        with_ = given(run.plan.arguments, budget)
        blocks += [DividerBlock(), rich(*with_, *progress(run, now, budget, outputs))]
        if parts := signed(run.signatures):
            blocks.append(rich(*parts))
    blocks.append(_small_print(run))
    if buttons := _buttons(run):
        blocks.append(ActionsBlock(buttons, block_id=f"run:{run.id}"))
    return Content(text=escape_mrkdwn(_spoken(run, title)), blocks=dicts(blocks))


def _opening(run: Run) -> list[RichTextObject]:
    parts: list[RichTextObject] = [paragraph([text(run.plan.objective)]), facts(run)]
    if run.reason:
        parts.append(paragraph([bold("Why: "), text(cut(run.reason, 800))]))
    return parts


def _plan_blocks(run: Run, budget: Budget, roles: Mapping[str, Role]) -> list[Block]:
    parts: list[RichTextObject] = [paragraph([bold("What will run, exactly")])]
    for position, step in enumerate(run.plan.steps, start=1):
        parts += step_parts(position, step, budget, preview=True)
    blocks: list[Block] = [DividerBlock(), rich(*parts)]
    if where := origins(run.plan.arguments, run.requester, budget):
        blocks += [DividerBlock(), rich(*where)]
    if rules := guardrails(run.guardrails, run):
        blocks += [DividerBlock(), rich(*rules)]
    if run.approval:
        blocks.append(rich(who_may_sign(run.approval, roles)))
    if budget.shortened:
        blocks.append(note(_SHORTENED))
    return blocks


def _small_print(run: Run) -> Block:
    """Only our own words and digits stand in this mrkdwn."""
    parts = [f"Run `{escape_mrkdwn(run.id)}`", f"plan `{escape_mrkdwn(run.digest[:19])}…`"]
    if run.state is RunState.AWAITING and run.expires_at:
        fallback = run.expires_at.strftime("%Y-%m-%d %H:%M %Z")
        stamp = int(run.expires_at.timestamp())
        parts.append(f"expires <!date^{stamp}^{{date_short_pretty}} at {{time}}|{fallback}>")
    return ContextBlock([Markdown(" · ".join(parts))])


def _buttons(run: Run) -> list[Element]:
    if run.state is RunState.AWAITING:
        return [_approve(run), _deny(run), _cancel(run)]
    if run.state in {RunState.APPROVED, RunState.RUNNING}:
        return [_cancel(run)]
    if run.state is RunState.ATTENTION:
        return _resolutions(run)
    return []


def _approve(run: Run) -> Button:
    destructive = run.plan.risk is Risk.DESTRUCTIVE
    style: Style = "danger" if destructive else "primary"
    if run.approval and run.approval.phrase:  # its form is the confirmation
        return Button("Approve…", names.APPROVE_BY_PHRASE, value=run.id, style=style)
    where = f" on {', '.join(run.plan.targets)}" if run.plan.targets else ""
    what = f"{run.plan.name}{where}, environment {run.plan.environment}."
    return Button(
        "Approve",
        names.APPROVE,
        value=run.id,
        style=style,
        confirm=_confirm(
            "Countersign this plan?",
            f"You sign exactly the plan on this card (risk: {run.plan.risk}). {what}",
            "Approve",
            style,
        ),
    )


def _deny(run: Run) -> Button:
    return Button(
        "Deny",
        names.DENY,
        value=run.id,
        confirm=_confirm(
            "Deny this run?",
            "That ends it. To give a reason, reply in the thread: deny REASON",
            "Deny",
            "danger",
        ),
    )


def _cancel(run: Run) -> Button:
    return Button(
        "Cancel run",
        names.CANCEL,
        value=run.id,
        confirm=_confirm(
            "Cancel this run?", "It stops before its next step; what was done stays.", "Cancel run"
        ),
    )


def _resolutions(run: Run) -> list[Element]:
    return [
        Button("It was done", names.RESOLVE_DONE, value=run.id),
        Button(
            "Do it again",
            names.RESOLVE_REPEAT,
            value=run.id,
            confirm=_confirm(
                "Do the step again?",
                "Only if you know that it had no effect: otherwise it has two.",
                "Do it again",
                "danger",
            ),
        ),
        Button(
            "Stop",
            names.RESOLVE_STOP,
            value=run.id,
            style="danger",
            confirm=_confirm("Stop this run?", "No further step is done.", "Stop", "danger"),
        ),
    ]


def _confirm(title: str, body: str, yes: str, style: Style = "primary") -> ConfirmationDialogue:
    return ConfirmationDialogue(title, PlainText(cut(body, 300)), yes, "Not now", style=style)


def _spoken(run: Run, title: str) -> str:
    """What a notification or a screen reader says."""
    plan = run.plan
    where = f" on {', '.join(plan.targets)}" if plan.targets else ""
    sentence = f"{title}{where}, environment {plan.environment}, risk {plan.risk}. Run {run.id}, "
    sentence += f"asked for by {run.requester} through {run.origin}."
    if run.state is RunState.AWAITING and run.approval:
        sentence += f" {run.approval.describe()}. Use its buttons, or reply approve or deny."
    elif run.state in {RunState.RUNNING, RunState.ATTENTION, RunState.SUCCEEDED}:
        sentence += f" {progress_line(run)}."
    return cut(f"{sentence} {run.reason}".strip(), 2_500)
