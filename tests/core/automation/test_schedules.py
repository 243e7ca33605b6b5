"""Schedules in the database: who added what, what is paused, what another replica sees of it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from core.automation import AISchedule
from core.errors import InvalidRequestError, NotFoundError
from core.schedules import ScheduleStore
from core.security.audit import AuditLog
from core.store.database import Database
from core.store.tables import schedules

NOW = datetime(2026, 11, 24, 8, 5, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ALICE, BOB = "U0ALICE", "U0BOB"


def schedule(schedule_id: str = "nightly", **fields: object) -> AISchedule:
    given = {
        "id": schedule_id,
        "name": "Nightly",
        "cron": "0 3 * * *",
        "channel": "#general",
        "workflow": "note",
        "with": {"hosts": ["a", "b"], "times": 3},
        "jitter": "5m",
        "misfire": "all",
    }
    return AISchedule.model_validate(given | fields)


@pytest.fixture
def store(database: Database) -> ScheduleStore:
    return ScheduleStore(database, AuditLog(database))


async def test_what_somebody_added_comes_back_as_it_was(store: ScheduleStore) -> None:
    once = schedule("once", cron=None, at="2026-12-01 22:00", misfire="skip")
    for one in (schedule(), once):
        await store.add(one, ALICE, None, NOW)
    entries = await store.entries({})
    assert {id_: entry.schedule for id_, entry in entries.items()} == {
        "nightly": schedule(),
        "once": once,
    }
    assert entries["nightly"].added_by == ALICE
    assert entries["nightly"].since == NOW
    assert not entries["nightly"].paused


async def test_a_name_is_taken_until_its_schedule_is_removed(store: ScheduleStore) -> None:
    await store.add(schedule(), ALICE, None, NOW)
    with pytest.raises(InvalidRequestError, match="There is a schedule 'nightly' already"):
        await store.add(schedule(name="Another"), BOB, None, LATER)
    await store.remove("nightly", ALICE, NOW)
    assert await store.entries({}) == {}
    await store.add(schedule(name="Another"), BOB, None, LATER)
    entry = (await store.entries({}))["nightly"]
    assert (entry.schedule.name, entry.added_by, entry.since) == ("Another", BOB, LATER)


async def test_every_change_shows_in_the_revision_and_in_the_audit_log(
    store: ScheduleStore, database: Database
) -> None:
    revisions = [await store.revision()]
    for change in (
        store.add(schedule(), ALICE, None, NOW),
        store.pause("nightly", BOB, NOW),
        store.resume("nightly", BOB, LATER),
        store.remove("nightly", ALICE, LATER),
        store.add(schedule(), BOB, None, LATER),
    ):
        await change
        revisions.append(await store.revision())
    assert revisions == sorted(set(revisions))
    done = [(entry.actor, entry.action) async for entry in AuditLog(database).entries()]
    assert done == [
        (ALICE, "schedule.added"),
        (BOB, "schedule.paused"),
        (BOB, "schedule.resumed"),
        (ALICE, "schedule.removed"),
        (BOB, "schedule.added"),
    ]


async def test_a_change_of_what_is_not_there_is_none(
    store: ScheduleStore, database: Database
) -> None:
    await store.pause("no-such", ALICE, NOW)
    assert await store.revision() == 0
    assert [entry async for entry in AuditLog(database).entries()] == []


async def test_the_configurations_schedules_keep_their_pause_while_their_times_stay(
    store: ScheduleStore,
) -> None:
    await store.note([schedule()], NOW)
    await store.pause("nightly", ALICE, NOW)
    before = await store.revision()
    await store.note([schedule(name="Other words")], LATER)
    assert await store.revision() == before, "nothing about its times is new"
    entry = (await store.entries({"nightly": schedule()}))["nightly"]
    assert (entry.paused, entry.since, entry.added_by) == (True, NOW, None)
    assert entry.changed_by == ALICE

    changed = schedule(cron="0 4 * * *")
    await store.note([changed], LATER)
    entry = (await store.entries({"nightly": changed}))["nightly"]
    assert (entry.paused, entry.since) == (False, LATER)


async def test_a_file_takes_the_place_of_what_somebody_added_under_its_name(
    store: ScheduleStore,
) -> None:
    await store.add(schedule(name="Added"), ALICE, None, NOW)
    file = schedule(name="From the file")
    await store.note([file], LATER)
    entry = (await store.entries({"nightly": file}))["nightly"]
    assert (entry.schedule, entry.added_by, entry.since) == (file, None, LATER)
    assert await store.entries({}) == {}, "and where the file is gone, so is the schedule"
    await store.add(schedule(name="Added"), BOB, None, LATER)


async def test_a_resumed_schedule_counts_from_then(store: ScheduleStore) -> None:
    await store.add(schedule(), ALICE, None, NOW)
    await store.pause("nightly", BOB, NOW)
    assert (await store.entries({}))["nightly"].since == NOW
    await store.resume("nightly", BOB, LATER)
    assert (await store.entries({}))["nightly"].since == LATER


async def test_what_is_over_for_a_week_goes_when_something_is_added(store: ScheduleStore) -> None:
    await store.add(schedule("old"), ALICE, NOW - timedelta(days=8), NOW)
    await store.add(schedule("recent"), ALICE, NOW - timedelta(days=6), NOW)
    await store.add(schedule("new"), ALICE, None, NOW)
    assert set(await store.entries({})) == {"recent", "new"}


async def test_a_draft_is_kept_for_a_day(store: ScheduleStore) -> None:
    await store.draft("draft", schedule(), ALICE, NOW)
    await store.draft("draft", schedule(name="Another"), BOB, NOW)
    draft = await store.drafted("draft")
    assert (draft.schedule, draft.drafted_by) == (schedule(), ALICE), "the first one stays"
    await store.draft("next", schedule(), ALICE, NOW + timedelta(hours=25))
    with pytest.raises(NotFoundError, match="too old"):
        await store.drafted("draft")


async def test_one_that_cannot_be_read_any_more_does_not_stop_the_others(
    store: ScheduleStore, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await store.add(schedule("broken"), ALICE, None, NOW)
    await store.add(schedule(), ALICE, None, NOW)
    async with database.write() as connection:
        await connection.execute(
            update(schedules).where(schedules.c.id == "broken").values(definition={"id": "broken"})
        )
    with caplog.at_level(logging.ERROR):
        assert set(await store.entries({})) == {"nightly"}
    assert "the schedule broken in the database cannot be read" in caplog.text
