"""The runs that a person has asked to see, a page at a time, each of which can be opened."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from slackblocks import (
    ActionsBlock,
    Block,
    Button,
    Element,
    Option,
    PlainText,
    RichTextElement,
    StaticSelectMenu,
)

from bot import names
from bot.blocks.layout import (
    Content,
    bold,
    bullets,
    code,
    cut,
    dicts,
    moment,
    paragraph,
    person,
    rich,
    text,
)
from bot.blocks.run_card import heading
from bot.blocks.run_filter import RunFilter
from bot.blocks.run_parts import progress_line
from bot.slack.escaping import escape_mrkdwn
from core.workflows.run import Run, RunState

_AT_WORK = frozenset({RunState.RUNNING, RunState.ATTENTION})


def run_list(found: Sequence[Run], wanted: RunFilter, more: bool, command: str) -> Content:
    """One page.

    Args:
        found: the runs of this page.
        more: whether there are older ones.
    """
    if not found:
        return _none(wanted, command)
    words = wanted.describe()
    name = "Older runs" if wanted.before else "Latest runs"
    title: list[RichTextElement] = [bold(name)]
    if words:
        title.append(text(f" · {words}"))
    buttons = [_opening(found), *_paging(wanted, found[-1].created_at if more else None)]
    blocks: list[Block] = [
        rich(paragraph(title), bullets(*(_line(run) for run in found))),
        ActionsBlock(buttons, block_id="runs"),
    ]
    spoken = "; ".join(f"{run.id} {run.plan.name}, {_state(run)}" for run in found)
    return Content(text=escape_mrkdwn(cut(f"{name}: {spoken}", 2_500)), blocks=dicts(blocks))


def _line(run: Run) -> list[RichTextElement]:
    targets = f" on {cut(', '.join(run.plan.targets), 100)}" if run.plan.targets else ""
    far = f", {progress_line(run)}" if run.state in _AT_WORK else ""
    return [
        code(run.id),
        bold(f" {cut(run.plan.name, 80)}"),
        text(f"{targets} · {_state(run)}{far} · "),
        moment(run.created_at),
        text(" · "),
        person(run.requester),
    ]


def _state(run: Run) -> str:
    return "Waits for countersignatures" if run.state is RunState.AWAITING else heading(run)


def _opening(found: Sequence[Run]) -> Element:
    options = [
        Option(PlainText(cut(f"{run.id[:6]} {run.plan.name} · {_state(run)}", 75)), run.id)
        for run in found
    ]
    return StaticSelectMenu(names.OPEN_RUN, options=options, placeholder="Open a run…")


def _paging(wanted: RunFilter, last: datetime | None) -> list[Element]:
    """Args: last: moment of this page's last run, where there are older ones."""
    buttons: list[Element] = []
    if wanted.before is not None:
        newest = wanted.older_than(None).model_dump_json(exclude_defaults=True)
        buttons.append(Button("Newest", names.RUNS_NEWEST, value=newest))
    if last is not None:
        older = wanted.older_than(last).model_dump_json(exclude_defaults=True)
        buttons.append(Button("Older", names.RUNS_OLDER, value=older))
    return buttons


def _none(wanted: RunFilter, command: str) -> Content:
    if words := wanted.describe():
        told = f"No run that you may see is {words}."
    else:
        told = f"No run yet that you may see. {command} workflows lists what can be run."
    return Content(text=escape_mrkdwn(told), blocks=dicts([rich(paragraph([text(told)]))]))
