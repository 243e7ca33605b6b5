"""`/ops schedules …`: what is shown before a schedule is added, and what can be done with it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot import names
from core.security.audit import AuditLog
from tests.bot.handlers.world import ALICE, BOB, CAROL, DAVE, DEPLOYS, World

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADD = "/ops schedules add {id} 30 4 * * mon-fri tz=Europe/Paris run write-note file={id}.txt text=x"


async def add(world: World, schedule_id: str, line: str = ADD) -> dict[str, Any]:
    """Add one as Alice, by its preview; what she was told."""
    page = world.pages[ALICE]
    title = schedule_id.replace("-", " ").capitalize()
    await page.command(DEPLOYS, line.format(id=schedule_id))
    preview = await world.whispered(ALICE, f"Shall “{title}” be added?")
    await page.press(preview, names.SCHEDULE_ADD)
    return await world.whispered(ALICE, f"{title}: It ")


async def audited(world: World, schedule_id: str) -> list[tuple[str, str]]:
    """Who did what to a schedule."""
    entries = AuditLog(world.database).entries()
    return [(e.actor, e.action) async for e in entries if e.subject == schedule_id]


async def test_a_schedule_is_shown_in_plain_words_before_it_is_added(world: World) -> None:
    page = world.pages[ALICE]
    await page.command(DEPLOYS, ADD.format(id="early-note"))

    preview = await world.whispered(ALICE, "Shall “Early note” be added?")
    shown = json.dumps(preview["blocks"], ensure_ascii=False)
    assert "At 04:30, Monday through Friday (Europe/Paris)" in shown
    assert "runs write-note file=early-note.txt text=x in #deploys" in shown
    assert "Next 5 times" in shown
    assert shown.count(" 04:30 CE") == 5
    await page.command(DEPLOYS, "/ops schedules list")
    listed = await world.whispered(ALICE, "Schedules: ")
    assert "early-note" not in listed["text"], "nothing is added until it is confirmed"

    for _ in range(2):  # a second press changes nothing
        await page.press(preview, names.SCHEDULE_ADD)
        await world.whispered(ALICE, "Early note: It runs write-note")
    await page.command(DEPLOYS, "/ops schedules")
    await world.whispered(ALICE, "early-note: Early note runs write-note")
    assert await audited(world, "early-note") == [(ALICE, "schedule.added")]


async def test_times_are_those_of_the_person_where_no_zone_is_given(world: World) -> None:
    line = "/ops schedules add here 0 12 * * * run write-note file=here.txt text=x"
    await world.pages[ALICE].command(DEPLOYS, line)
    preview = await world.whispered(ALICE, "Shall “Here” be added?")
    zone = (await world.services.directory.person(ALICE)).timezone
    assert f"At 12:00, every day ({zone})" in preview["text"]


async def test_one_moment_and_a_question_with_everything_that_can_be_said(world: World) -> None:
    line = (
        "/ops schedules add once at 2090-12-01 22:00 tz=Asia/Tokyo channel=#general jitter=5m "
        'misfire=all grace=2h limit=3 name="New year soon" ask incident What is broken?'
    )
    await world.pages[ALICE].command(DEPLOYS, line)

    preview = await world.whispered(ALICE, "Shall “New year soon” be added?")
    shown = json.dumps(preview["blocks"], ensure_ascii=False)
    assert "asks incident “What is broken?” in #general" in shown
    assert "Once, on Friday 01 December 2090 at 22:00 (Asia/Tokyo)" in shown
    assert "later by up to 5 min" in shown
    assert "up to 3 times, if it is no more than 2 h late" in shown
    assert "Next time" in shown
    assert "Fri 01 Dec 2090 22:00 JST" in shown


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("add", "Say what is to be done, and when: /ops schedules add ID"),
        ("add x 0 6 * * mon", "Say what is to be done, and when"),
        ("add x 0 6 * * run write-note", "'0 6 * *' is no time. Write five fields"),
        ("add x 0 25 * * * run write-note file=a text=b", "is not a cron line"),
        ("add x 0 6 30 2 * run write-note file=a text=b", "names a day that never comes"),
        ("add x 0 6 * * * run write-note", "write-note needs file"),
        ("add x 0 6 * * * run write-note file=a text=b colour=red", "colour"),
        ("add x 0 6 * * * run no-such", "There is no workflow 'no-such'"),
        ("add x 0 6 * * * ask nobody Why?", "There is no assistant 'nobody'"),
        ("add x 0 6 * * * ask incident", "prompt: say what is to be asked."),
        ("add X 0 6 * * * run write-note file=a text=b", "id: choose lower-case words"),
        ("add x at 2001-01-01 10:00 run write-note file=a text=b", "has passed"),
        ("add x at noon run write-note file=a text=b", "at: write the local time"),
        ("add x 0 6 * * * tz=Mars/Base run write-note file=a text=b", "timezone"),
        ("add x 0 6 * * * colour=red run write-note file=a text=b", "has no 'colour'"),
        ("add x 0 6 * * * misfire=no run write-note file=a text=b", "choose skip, once or all"),
        ("add nightly 0 6 * * * run write-note file=a text=b", "is a schedule 'nightly' already"),
        ("add x 0 6 * * * channel=#nowhere run write-note file=a text=b", "no channel #nowhere"),
        ("add x 0 6 * * * channel=here run write-note file=a text=b", "write it as #deploys"),
        ("pause", "Say which schedule: schedules pause ID."),
        ("pause no-such", "There is no schedule 'no-such'. There are: "),
        ("frobnicate", "There is no schedule 'frobnicate'"),
        ("remove nightly", "remove schedules/nightly.yaml, or pause it"),
    ],
)
async def test_what_cannot_be_is_said_with_the_mend(world: World, line: str, words: str) -> None:
    user = CAROL if line.startswith("remove") else ALICE
    await world.pages[user].command(DEPLOYS, f"/ops schedules {line}")
    await world.whispered(user, words)


async def test_pause_resume_and_remove(world: World) -> None:
    await add(world, "daily-note")
    page = world.pages[ALICE]

    await page.command(DEPLOYS, "/ops schedules pause daily-note")
    await world.whispered(ALICE, "Schedule daily-note is paused.")
    await page.command(DEPLOYS, "/ops schedules daily-note")
    details = await world.whispered(ALICE, "Daily note (paused): It runs write-note")
    assert "Paused" in json.dumps(details["blocks"])
    await page.press(details, names.SCHEDULE_RESUME)
    await world.whispered(ALICE, "Schedule daily-note goes on: it comes next ")
    await page.press(details, names.SCHEDULE_REMOVE)
    await world.whispered(ALICE, "Schedule daily-note is removed.")
    await page.command(DEPLOYS, "/ops schedules resume daily-note")
    await world.whispered(ALICE, "There is no schedule 'daily-note'")
    assert await audited(world, "daily-note") == [
        (ALICE, "schedule.added"),
        (ALICE, "schedule.paused"),
        (ALICE, "schedule.resumed"),
        (ALICE, "schedule.removed"),
    ]
    await add(world, "daily-note")  # its name is free again


async def test_a_run_by_hand_is_that_persons_and_needs_a_countersignature(world: World) -> None:
    await add(world, "by-hand")

    await world.pages[ALICE].command(DEPLOYS, "/ops schedules run by-hand")
    await world.whispered(ALICE, "Schedule by-hand was started by hand, in #deploys.")
    await world.card(DEPLOYS, "on by-hand.txt")
    latest = await world.services.workflows.latest(20)
    (run,) = [run for run in latest if "By hand" in run.origin]
    assert run.requester == ALICE
    assert run.plan.arguments["file"].provenance.kind == "schedule"
    await world.pages[ALICE].command(DEPLOYS, f"/ops approve {run.id}")
    await world.whispered(ALICE, "somebody else must countersign it")


async def test_who_may_not_start_the_workflow_may_not_touch_its_schedules(world: World) -> None:
    """Dave holds no role, so he does not even see them."""
    page = world.pages[DAVE]
    await page.command(DEPLOYS, ADD.format(id="daves"))
    await world.whispered(DAVE, "To add this schedule you need the role engineer")
    await page.command(DEPLOYS, "/ops schedules")
    await world.whispered(DAVE, "There is no schedule.")
    for verb in ("pause", "run", "remove"):
        await page.command(DEPLOYS, f"/ops schedules {verb} nightly")
        await world.whispered(DAVE, "There is no schedule 'nightly'. There are: none.")
    assert await audited(world, "daves") == [(DAVE, "schedule.refused")]


async def test_somebody_elses_preview_cannot_be_confirmed(world: World) -> None:
    page = world.pages[ALICE]
    await page.command(DEPLOYS, ADD.format(id="mine"))
    preview = await world.whispered(ALICE, "Shall “Mine” be added?")
    (block,) = [b for b in preview["blocks"] if b["type"] == "actions"]
    draft = block["elements"][0]["value"]
    with pytest.raises(Exception, match="Somebody else has drafted"):
        await world.services.schedules.confirm(draft, BOB)


async def test_only_who_added_it_or_administers_it_removes_it(world: World) -> None:
    await add(world, "alices")
    await world.pages[BOB].command(DEPLOYS, "/ops schedules remove alices")
    await world.whispered(BOB, "you need the role lead")
    await world.pages[CAROL].command(DEPLOYS, "/ops schedules remove alices")
    await world.whispered(CAROL, "Schedule alices is removed.")


async def test_a_schedule_fires_as_who_added_it(world: World) -> None:
    """So what Alice has added she cannot countersign herself."""
    await add(world, "as-alice")
    planned = world.services.schedules._book.get("as-alice")
    moment = next(planned.calendar.moments(planned.entry.since))
    await world.services.schedules._firings.fire(planned.schedule, moment, planned.entry.added_by)
    await world.card(DEPLOYS, "on as-alice.txt")
    latest = await world.services.workflows.latest(20)
    (run,) = [run for run in latest if "As alice" in run.origin]
    assert run.requester == ALICE


async def test_help_shows_how(world: World) -> None:
    await world.pages[BOB].command(DEPLOYS, "/ops help schedules")
    await world.whispered(BOB, "/ops schedules add nightly-prune 0 6 * * mon run prune-worktree")
