"""The steps of a run's card: as they will run, and how far they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from pydantic import JsonValue
from slackblocks import RichTextElement, RichTextList, RichTextObject, RichTextSection

from bot.blocks.layout import (
    bold,
    code,
    cut,
    link,
    moment,
    paragraph,
    person,
    preformatted,
    text,
    with_people,
)
from bot.blocks.run_outline import (
    Row,
    begun,
    duration,
    planned_rows,
    positions,
    progress_rows,
    title,
    undo_positions,
    undo_rows,
)
from bot.blocks.run_parts import Budget, risk
from core.records import Risk
from core.workflows.definition import StepKind
from core.workflows.plan import Node, Plan, PlannedRetry, PlannedStep
from core.workflows.run import Run, StepProgress, StepState

_STATE = {
    StepState.PENDING: "Not begun",
    StepState.RUNNING: "Running",
    StepState.WAITING: "Waiting",
    StepState.SUCCEEDED: "✓ Done",
    StepState.FAILED: "✕ Failed",
    StepState.UNKNOWN: "Cut off, outcome not known",
    StepState.SKIPPED: "Skipped",
}
_EXPLAINED = frozenset({StepState.RUNNING, StepState.WAITING, StepState.UNKNOWN, StepState.FAILED})
_DEEPEST = 8

Line = list[RichTextElement]


def planned(plan: Plan, budget: Budget, ahead: bool = True) -> list[list[RichTextObject]]:
    """What will run, in its order: each step with its arguments and its dry run. What undoes and
    what follows a failure are parts of their own.

    Args:
        ahead: whether nothing of it has begun.
    """
    title = "What will run, exactly" if ahead else "What was signed, exactly"
    flow = [paragraph([bold(title)]), *_planned(plan, plan.flow, budget)]
    parts: list[list[RichTextObject]] = [flow]
    if undo := undo_rows(plan):
        head = paragraph([bold("If a step fails, what was done is taken back, last first")])
        parts.append([head, *(_takes_back(plan, row, budget) for row in undo)])
    if plan.on_failure is not None:
        head = paragraph([bold("After a failure")])
        parts.append([head, *_planned(plan, plan.on_failure, budget)])
    return parts


def progress(
    run: Run, budget: Budget, outputs: Mapping[str, str], links: bool = True
) -> list[list[RichTextObject]]:
    """How far each step is, with its time and what came of it. What was taken back and what
    followed a failure are parts of their own.

    Args:
        outputs: what is shown of the steps' outputs, by their ids.
        links: whether each step has its link.
    """
    states = {step.step_id: step for step in run.steps}

    def drawn(rows: Iterable[Row]) -> list[RichTextObject]:
        told = [_progress_row(run, row, states, budget, outputs, links) for row in rows]
        return [part for parts in told for part in parts]

    parts = [drawn(progress_rows(run, run.plan.flow))]
    if taken_back := undo_positions(run):
        rows = (Row(1, step=at) for at in taken_back)
        parts.append([paragraph([bold("Taken back")]), *drawn(rows)])
    after = run.plan.on_failure
    if after and any(begun(states.get(run.plan.steps[at].id)) for at in positions(after)):
        rows_after = progress_rows(run, after)
        parts.append([paragraph([bold("After the failure")]), *drawn(rows_after)])
    return parts


def conditions(step: PlannedStep) -> list[str]:
    """What is said of a step besides what it does: when, how often, by whom."""
    words = []
    if step.when is not None:
        words.append(f"Only if {cut(step.when, 200)}")
    if step.retry is not None:
        retry = step.retry
        words.append(f"Up to {retry.attempts} attempts, the second after {_waits(retry)}")
    if step.kind is StepKind.MANUAL:
        who = f"the role {' or '.join(step.roles)}" if step.roles else "a right to countersign"
        words.append(f"Somebody with {who} confirms it.")
    return words


def _waits(retry: PlannedRetry) -> str:
    first = duration(retry.backoff_s)
    times = "twice" if retry.factor == 2 else f"{retry.factor:g} times"
    return first if retry.factor == 1 else f"{first}, each further one after {times} as long"


def told_values(values: Mapping[str, JsonValue], budget: Budget) -> list[Line]:
    """Names with their values, as lines."""
    return [_argument(name, value, budget) for name, value in values.items()]


def _planned(plan: Plan, node: Node, budget: Budget) -> list[RichTextObject]:
    told = [_planned_row(plan, row, budget) for row in planned_rows(plan, node)]
    return [part for parts in told for part in parts]


def _planned_row(plan: Plan, row: Row, budget: Budget) -> list[RichTextObject]:
    if row.step is None:
        return [_line(row.depth, [*_numbered(row), bold(budget.take(row.words, 700))])]
    step = plan.steps[row.step]
    head: Line = [*_numbered(row), bold(cut(title(step), 160)), *_what(step)]
    below: list[Line] = []
    if step.kind is not StepKind.WAIT:  # its title says it
        below.append([text(budget.take(step.description, 500))])
    below += [[text(words)] for words in conditions(step)]
    if step.untrusted:
        names = ", ".join(step.untrusted)
        below.append([bold(f"Untrusted values in this step: {budget.take(names, 400)}")])
    parts: list[RichTextObject] = [_line(row.depth, head, *below)]
    if step.arguments:
        parts.append(_indented(row.depth, told_values(step.arguments, budget)))
    if step.preview is not None:
        parts += _dry_run(step.preview, step.arguments, budget)
    return parts


def _what(step: PlannedStep) -> Line:
    """What kind of step it is."""
    if step.kind is StepKind.WAIT:
        return [text(f" · wait {duration(step.wait_s or 0)}")]
    if step.kind is StepKind.MANUAL:
        return [text(" · a person does this")]
    return [text(" · "), *risk(step.risk), text(" · "), code(step.action)]


def _dry_run(
    output: str, arguments: Mapping[str, JsonValue], budget: Budget
) -> list[RichTextObject]:
    if not output.strip():
        return [paragraph([text("Dry run: it would print nothing.")])]
    if same := [name for name, value in arguments.items() if value == output]:
        return [paragraph([text("Dry run: as "), code(same[0]), text(" says.")])]
    room = budget.room(1_500)
    if room <= 100:
        return []
    return [paragraph([text("Dry run:")]), preformatted(output, room)]


def _takes_back(plan: Plan, row: Row, budget: Budget) -> RichTextObject:
    if row.step is None:
        return _indented(0, [[text(budget.take(row.words, 700))]])
    undo = plan.steps[row.step]
    line: Line = [text(cut(title(undo), 160)), text(": "), code(undo.action)]
    if undo.risk is Risk.DESTRUCTIVE:
        line += [text(" · "), *risk(undo.risk)]
    for name, value in undo.arguments.items():
        line += [text(" · "), *_argument(name, value, budget)]
    return _indented(0, [line])


def _progress_row(
    run: Run,
    row: Row,
    states: Mapping[str, StepProgress],
    budget: Budget,
    outputs: Mapping[str, str],
    links: bool,
) -> list[RichTextObject]:
    if row.step is None:
        return [_line(row.depth, [*_numbered(row), bold(budget.take(row.words, 400))])]
    step = run.plan.steps[row.step]
    state = states.get(step.id, StepProgress(step_id=step.id))
    head: Line = [
        *_numbered(row),
        bold(cut(title(step), 160)),
        text(" · "),
        *_standing(step, state),
    ]
    below: list[Line] = []
    if state.state in _EXPLAINED:
        below.append([text(budget.take(step.description, 400))])
    if state.summary and state.summary != step.description:
        below.append(with_people(budget.take(state.summary, 500), _people(run, state)))
    if links and state.link:
        below.append([link(state.link, "Look at it")])
    parts: list[RichTextObject] = [_line(row.depth, head, *below)]
    if step.kind is StepKind.MANUAL and state.state is StepState.WAITING:
        values = state.values or step.arguments
        if values:
            parts.append(_indented(row.depth, told_values(values, budget)))
    if step.id in outputs:
        parts.append(preformatted(outputs[step.id], len(outputs[step.id])))
    return parts


def _standing(step: PlannedStep, state: StepProgress) -> Line:
    """A step's state with its times and attempts."""
    waiting = state.state is StepState.WAITING
    parts: Line
    if waiting and step.kind is StepKind.MANUAL:
        parts = [bold("Waits for a person")]
    elif waiting and state.due_at is not None:
        again = step.kind is not StepKind.WAIT
        parts = [text("Tried again " if again else "Waits until "), moment(state.due_at)]
    else:
        parts = [text(_STATE[state.state])]
    if state.state is StepState.RUNNING and state.started_at is not None:
        parts += [text(" since "), moment(state.started_at)]
    elif state.started_at is not None and state.finished_at is not None:
        taken = (state.finished_at - state.started_at).total_seconds()
        parts.append(text(f", {duration(taken)}"))
    if state.attempts > 1:
        most = f" of {step.retry.attempts}" if step.retry else ""
        parts.append(text(f", attempt {state.attempts}{most}"))
    if state.by is not None and state.by not in state.summary:
        parts += [text(", by the word of "), person(state.by)]
    return parts


def _people(run: Run, state: StepProgress) -> list[str]:
    known = [run.requester, *(signature.user for signature in run.signatures)]
    return [*known, state.by] if state.by else known


def _numbered(row: Row) -> Line:
    return [] if row.number is None else [bold(f"{row.number}. ")]


def _line(depth: int, head: Line, *below: Line) -> RichTextObject:
    """A row by itself as a paragraph, one in a group as a bullet."""
    if depth == 0:
        return paragraph(head, *below)
    lines: Line = list(head)
    for line in below:
        lines += [text("\n"), *line]
    return _indented(depth - 1, [lines])


def _indented(depth: int, lines: Iterable[Line]) -> RichTextObject:
    sections = [RichTextSection(line) for line in lines]
    return RichTextList("bullet", sections, indent=min(depth, _DEEPEST))


def _argument(name: str, value: JsonValue, budget: Budget) -> Line:
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return [code(name), text(": "), code(budget.take(shown, 300))]
