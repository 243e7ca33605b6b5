"""The App Home: what waits for my word, what can be run, who can be asked, what the clock does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from slackblocks import (
    ActionsBlock,
    Block,
    Button,
    DividerBlock,
    HomeTabView,
    PlainText,
    RichTextElement,
    SectionBlock,
)

from bot import names
from bot.blocks.layout import (
    Json,
    bold,
    bullets,
    code,
    cut,
    header,
    moment,
    note,
    own_link,
    paragraph,
    person,
    rich,
    text,
    without_made_up_id,
)
from bot.blocks.run_buttons import waiting_steps
from bot.blocks.run_card import heading
from bot.blocks.run_outline import title
from bot.blocks.run_parts import progress_line
from core.automation import AISchedule
from core.records import Frozen
from core.security.reviews import Review
from core.services.health import SystemHealth
from core.state import AIAssistant, AIWorkflow
from core.workflows.run import Run, RunState

_MOST_WORKFLOWS = 30
_MOST = 15


class WaitingRun(Frozen):
    """A run that waits, with a link to its card where there is one."""

    run: Run
    link: str | None


def home(
    waiting: Sequence[WaitingRun],
    open_runs: Sequence[Run],
    workflows: Sequence[AIWorkflow],
    assistants: Sequence[AIAssistant],
    schedules: Sequence[AISchedule],
    upcoming: Mapping[str, datetime | None],
    reviews: Sequence[Review] = (),
    systems: Sequence[SystemHealth] = (),
) -> Json:
    """The home tab of one person.

    Args:
        waiting: runs that this person may countersign, or do a step of, now.
        open_runs: runs that have begun and not ended.
        upcoming: for each schedule the moment of its next firing.
        reviews: of broken glass, which stand open and which this person may close.
        systems: how the integrations were when last asked.
    """
    blocks: list[Block] = [
        header("Waiting for you"),
        *_waiting(waiting),
        *_reviews(reviews),
        DividerBlock(),
        header("Running now"),
        *_open(open_runs),
        DividerBlock(),
        header("Workflows"),
        *_workflows(workflows),
        DividerBlock(),
        header("Assistants"),
        *_assistants(assistants),
        DividerBlock(),
        header("Schedules"),
        *_schedules(schedules, upcoming),
        DividerBlock(),
        header("Systems"),
        *_systems(systems),
        ActionsBlock([Button("Refresh", names.HOME_REFRESH, value="home")], block_id="home"),
    ]
    view: Json = HomeTabView(blocks=blocks).to_dict()
    return view | {"blocks": [without_made_up_id(block) for block in view["blocks"]]}


def _waiting(waiting: Sequence[WaitingRun]) -> list[Block]:
    if not waiting:
        return [note("Nothing waits for you.")]
    lines: list[list[RichTextElement]] = []
    for item in waiting[:_MOST]:
        run = item.run
        name = cut(run.plan.name, 80)
        title = own_link(item.link, name) if item.link else bold(name)
        lines.append(
            [
                title,
                text(f" on {cut(', '.join(run.plan.targets), 200)}" if run.plan.targets else ""),
                text(f" · {_wanted(run)} · risk {run.plan.risk} · asked for by "),
                person(run.requester),
                text(" · "),
                code(run.id),
            ]
        )
    return [rich(bullets(*lines)), *_rest(len(waiting), _MOST)]


def _reviews(reviews: Sequence[Review]) -> list[Block]:
    if not reviews:
        return []
    lines: list[list[RichTextElement]] = [
        [
            bold(f"Review {cut(review.workflow, 60)}"),
            text(" · "),
            person(review.user),
            text(f" broke the glass: {cut(review.reason, 200)} · due "),
            moment(review.due_at),
            text(" · "),
            code(review.run_id),
        ]
        for review in reviews[:_MOST]
    ]
    return [rich(bullets(*lines)), *_rest(len(reviews), _MOST)]


def _wanted(run: Run) -> str:
    """What the person is to do."""
    if run.state is RunState.AWAITING:
        return "countersign it"
    return "; ".join(cut(title(step), 80) for step in waiting_steps(run))


def _open(runs: Sequence[Run]) -> list[Block]:
    if not runs:
        return [note("Nothing is running.")]
    lines: list[list[RichTextElement]] = [
        [
            bold(cut(run.plan.name, 80)),
            text(f" · {heading(run)}, {progress_line(run)} · "),
            code(run.id),
        ]
        for run in runs[:_MOST]
    ]
    return [rich(bullets(*lines)), *_rest(len(runs), _MOST)]


def _workflows(workflows: Sequence[AIWorkflow]) -> list[Block]:
    if not workflows:
        return [note("No workflow is configured.")]
    blocks: list[Block] = [
        SectionBlock(
            PlainText(cut(f"{workflow.name}: {workflow.objective}", 600)),
            block_id=f"workflow:{workflow.id}",
            accessory=Button("Run…", names.OPEN_WORKFLOW, value=workflow.id),
        )
        for workflow in workflows[:_MOST_WORKFLOWS]
    ]
    return [*blocks, *_rest(len(workflows), _MOST_WORKFLOWS)]


def _assistants(assistants: Sequence[AIAssistant]) -> list[Block]:
    if not assistants:
        return [note("No assistant is configured.")]
    lines: list[list[RichTextElement]] = [
        [bold(assistant.name), text(f" {assistant.speciality} Write "), code(f"{assistant.id}: …")]
        for assistant in assistants[:_MOST]
    ]
    return [rich(bullets(*lines)), *_rest(len(assistants), _MOST)]


def _schedules(
    schedules: Sequence[AISchedule], upcoming: Mapping[str, datetime | None]
) -> list[Block]:
    if not schedules:
        return [note("No schedule is configured.")]
    lines: list[list[RichTextElement]] = []
    for schedule in schedules[:_MOST]:
        firing = upcoming.get(schedule.id)
        when = f"next {firing:%a %Y-%m-%d %H:%M %Z}" if firing else "paused or over"
        lines.append([bold(schedule.name), text(f" in {schedule.channel} · {when}")])
    return [
        rich(paragraph([text("By the clock:")]), bullets(*lines)),
        *_rest(len(schedules), _MOST),
    ]


def _systems(systems: Sequence[SystemHealth]) -> list[Block]:
    down = [one for one in systems if not one.ready]
    well = f"{len(systems) - len(down)} of {len(systems)} ready"
    if not down:
        return [note(f"{well}." if systems else "No system is configured.")]
    lines: list[list[RichTextElement]] = [
        [
            bold(cut(one.name, 80)),
            text(f" · not ready: {cut(one.detail, 200)} · since "),
            moment(one.since),
        ]
        for one in down[:_MOST]
    ]
    return [rich(bullets(*lines)), *_rest(len(down), _MOST), note(f"{well}.")]


def _rest(count: int, most: int) -> list[Block]:
    return [note(f"… and {count - most} more")] if count > most else []
