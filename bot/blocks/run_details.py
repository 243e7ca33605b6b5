"""The modal with everything about a run."""

from __future__ import annotations

from slackblocks import Block, DividerBlock, ModalView, RichTextElement, RichTextObject

from bot.blocks.layout import (
    Json,
    bold,
    bullets,
    code,
    cut,
    excerpt,
    header,
    moment,
    own_link,
    paragraph,
    rich,
    text,
    without_made_up_id,
)
from bot.blocks.run_card import CardContext, heading, opening, summary
from bot.blocks.run_parts import Budget, escalation, guardrails, origins, signed, who_may_sign
from bot.blocks.run_steps import planned, progress
from core.workflows.run import Run, RunState

_BUDGET = 40_000  # of a view's 250,001 characters of JSON, escapes and structure included
_OUTPUT = 6_000
_LINES = 60
_BEFORE = frozenset({RunState.AWAITING, RunState.APPROVED})


def run_details(run: Run, context: CardContext, link: str | None) -> Json:
    """The modal.

    Args:
        run: with its guardrails judged, where it has not begun.
        link: address of the run's card.
    """
    budget = Budget(_BUDGET)
    blocks: list[Block] = [header(f"{heading(run)}: {run.plan.name}"), rich(*opening(run))]
    if link:
        blocks.append(rich(paragraph([own_link(link, "Go to its message")])))
    if run.state not in _BEFORE:
        blocks += [DividerBlock(), *_progress(run, budget)]
    blocks += [
        DividerBlock(),
        *(rich(*part) for part in planned(run.plan, budget, run.state in _BEFORE)),
    ]
    rest = [
        *origins(run.plan.arguments, run.requester, budget),
        *guardrails(run.guardrails, run),
        *signed(run.signatures),
        *escalation(run),
    ]
    if run.approval and run.state is RunState.AWAITING:
        rest += who_may_sign(run.approval, context.roles, context.missing)
    blocks += [DividerBlock(), rich(*rest, _papers(run))]
    view: Json = ModalView(title=cut(f"Run {run.id}", 24), close="Close", blocks=blocks).to_dict()
    return view | {"blocks": [without_made_up_id(block) for block in view["blocks"]]}


def _progress(run: Run, budget: Budget) -> list[Block]:
    printed = {
        step.step_id: excerpt(step.output, room, _LINES)
        for step in run.steps
        if step.output.strip() and (room := budget.room(min(len(step.output), _OUTPUT))) > 0
    }
    title = paragraph([bold("How it went" if run.state.final else "How far it is")])
    parts: list[list[RichTextObject]] = [[title], *progress(run, budget, printed), summary(run)]
    return [rich(*part) for part in parts if part]


def _papers(run: Run) -> RichTextObject:
    """What identifies the run, and when things happened."""
    lines: list[list[RichTextElement]] = [
        [bold("Asked for: "), moment(run.created_at)],
        [bold("Last change: "), moment(run.updated_at)],
        [bold("Workflow: "), code(run.plan.workflow)],
        [bold("Plan: "), code(run.digest)],
    ]
    if run.expires_at and run.state is RunState.AWAITING:
        lines.insert(1, [bold("Expires: "), moment(run.expires_at)])
    longest = max((step.time_limit_s for step in run.plan.steps), default=0)
    lines.append([bold("Longest a step may take: "), text(f"{longest:g} s")])
    return bullets(*lines)
