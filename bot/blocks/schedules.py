"""Schedules as people see them: the list, one of them, and one that is about to be added."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from slackblocks import (
    ActionsBlock,
    Block,
    Button,
    ConfirmationDialogue,
    Element,
    PlainText,
    RichTextElement,
)

from bot import names
from bot.blocks.layout import (
    Content,
    bold,
    bullets,
    code,
    cut,
    dicts,
    paragraph,
    person,
    rich,
    text,
)
from bot.slack.escaping import escape_mrkdwn
from core.automation import AISchedule
from core.schedules import ScheduleEntry
from scheduler.words import change_of_clocks, manner, shown, timing

Line = list[RichTextElement]
_MOST = 40


def schedule_list(
    known: Sequence[tuple[ScheduleEntry, datetime | None]], now: datetime, command: str
) -> Content:
    """All that somebody may see, each with its next moment."""
    if not known:
        words = f"There is no schedule. `{command} help schedules` shows how to add one."
        return Content(text=words, blocks=dicts([rich(paragraph([text(words)]))]))
    lines: list[Line] = []
    spoken = []
    for entry, moment in known[:_MOST]:
        schedule = entry.schedule
        when = f"{timing(schedule)} · {_state(entry, moment, now)}"
        what = f" {what_it_does(schedule)} in {schedule.channel} · {when}"
        lines.append([code(schedule.id), bold(f" {cut(schedule.name, 80)}"), text(cut(what, 400))])
        spoken.append(f"{schedule.id}: {schedule.name}{what}")
    if len(known) > _MOST:
        lines.append([text(f"… and {len(known) - _MOST} more")])
    hint: Line = [
        text("One of them: "),
        code(f"{command} schedules ID"),
        text(" · add one: "),
        code(f"{command} help schedules"),
    ]
    blocks = dicts([rich(paragraph([bold("Schedules")]), bullets(*lines)), rich(paragraph(hint))])
    return Content(text=_fallback(f"Schedules: {'; '.join(spoken)}"), blocks=blocks)


def schedule_details(entry: ScheduleEntry, moments: Sequence[datetime], now: datetime) -> Content:
    """One, with its next five moments and what can be done with it."""
    schedule = entry.schedule
    state: Line = []
    if entry.paused:
        state = [bold("Paused"), *_by(entry.changed_by), text(". ")]
    elif not moments:
        state = [bold("Over"), text(": it will not come again. ")]
    origin: Line = [text("It stands in the configuration.")]
    if entry.added_by is not None:
        origin = [text("Added by "), person(entry.added_by), text(", as whom it starts things.")]
    blocks = [*_described(schedule, moments, now), rich(paragraph([*state, *origin]))]
    blocks.append(_buttons(entry))
    paused = " (paused)" if entry.paused else ""
    spoken = f"{schedule.name}{paused}: {_spoken(schedule, moments, now)}"
    return Content(text=_fallback(spoken), blocks=dicts(blocks))


def schedule_preview(
    schedule: AISchedule, moments: Sequence[datetime], now: datetime, draft: str
) -> Content:
    """One that is about to be added: nothing is until the button is pressed.

    Args:
        draft: id under which it is kept until then.
    """
    question = f"Shall “{cut(schedule.name, 80)}” be added?"
    add = Button("Add this schedule", names.SCHEDULE_ADD, value=draft, style="primary")
    blocks: list[Block] = [
        rich(paragraph([bold(question)])),
        *_described(schedule, moments, now),
        ActionsBlock([add], block_id=f"schedule-draft:{schedule.id}"),
    ]
    spoken = f"{question} {_spoken(schedule, moments, now)}"
    return Content(text=_fallback(spoken), blocks=dicts(blocks))


def what_it_does(schedule: AISchedule) -> str:
    """`runs prune-worktree repository=shop`, or `asks governance “What happened?”`."""
    if schedule.workflow is None:
        return f"asks {schedule.assistant} “{cut(schedule.prompt or '', 150)}”"
    given = "".join(f" {name}={_value(value)}" for name, value in schedule.arguments.items())
    return f"runs {schedule.workflow}{cut(given, 300)}"


def _described(schedule: AISchedule, moments: Sequence[datetime], now: datetime) -> list[Block]:
    does = what_it_does(schedule)
    what = text(f"{does} in {schedule.channel}")
    first: Line = [code(schedule.id), bold(f" {schedule.name} "), what]
    when: Line = [bold(timing(schedule)), text(". " + " ".join(manner(schedule)))]
    blocks: list[Block] = [rich(paragraph(first), paragraph(when))]
    if moments:
        title = "Next time" if len(moments) == 1 else f"Next {len(moments)} times"
        lines: list[Line] = [[text(shown(moment, now))] for moment in moments]
        blocks.append(rich(paragraph([bold(title)]), bullets(*lines)))
    if note := change_of_clocks(moments):
        blocks.append(rich(paragraph([text(note)])))
    return blocks


def _spoken(schedule: AISchedule, moments: Sequence[datetime], now: datetime) -> str:
    times = "; ".join(shown(moment, now) for moment in moments) or "never again"
    does = f"It {what_it_does(schedule)} in {schedule.channel}"
    return f"{does}. {timing(schedule)}. Next: {times}. {change_of_clocks(moments)}".strip()


def _buttons(entry: ScheduleEntry) -> ActionsBlock:
    schedule = entry.schedule
    action, label = names.SCHEDULE_PAUSE, "Pause"
    if entry.paused:
        action, label = names.SCHEDULE_RESUME, "Resume"
    buttons: list[Element] = [
        Button(label, action, value=schedule.id),
        Button(
            "Run now",
            names.SCHEDULE_RUN,
            value=schedule.id,
            confirm=_confirm("Run it now?", f"It {what_it_does(schedule)}.", "Run it"),
        ),
    ]
    if entry.added_by is not None:
        confirm = _confirm("Remove it?", f"“{schedule.name}” will not come again.", "Remove it")
        remove = Button(
            "Remove", names.SCHEDULE_REMOVE, value=schedule.id, style="danger", confirm=confirm
        )
        buttons.append(remove)
    return ActionsBlock(buttons, block_id=f"schedule:{schedule.id}")


def _confirm(title: str, body: str, yes: str) -> ConfirmationDialogue:
    return ConfirmationDialogue(title, PlainText(cut(body, 300)), yes, "Not now")


def _state(entry: ScheduleEntry, moment: datetime | None, now: datetime) -> str:
    if entry.paused:
        return "paused"
    return f"next {shown(moment, now)}" if moment else "over"


def _by(user: str | None) -> Line:
    return [text(" by "), person(user)] if user else []


def _value(value: object) -> str:
    words = ",".join(value) if isinstance(value, tuple) else str(value)
    return f'"{words}"' if " " in words else words


def _fallback(words: str) -> str:
    return escape_mrkdwn(cut(words, 2_500))
