"""The audit log is a chain: an edit, a gap, a swap or an insertion shows."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest
import rfc8785
from sqlalchemy import delete, insert, select, update

from core.security.audit import AuditLog
from core.store.database import Database
from core.store.tables import audit


@pytest.fixture
async def log(database: Database) -> AuditLog:
    log = AuditLog(database)
    for number in range(1, 6):
        await log.record(f"U{number}", "run.requested", f"run{number}", {"number": number})
    return log


async def change(database: Database, number: int, **values: object) -> None:
    async with database.write() as connection:
        await connection.execute(update(audit).where(audit.c.sequence == number).values(values))


async def test_a_chain_that_nobody_touched_is_whole(log: AuditLog) -> None:
    assert await log.verify() == (5, None)
    entries = [entry async for entry in log.entries()]
    assert [entry.sequence for entry in entries] == [1, 2, 3, 4, 5]
    assert [json.loads(entry.details)["number"] for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[0].previous == "0" * 64


async def test_an_empty_log_is_whole(database: Database) -> None:
    assert await AuditLog(database).verify() == (0, None)


async def test_anybody_can_verify_an_export_without_countersign(log: AuditLog) -> None:
    previous = "0" * 64
    async for entry in log.entries():
        document = json.loads(entry.model_dump_json())
        written = document.pop("hash")
        assert document["previous"] == previous
        previous = hashlib.sha256(rfc8785.dumps(document)).hexdigest()
        assert written == previous


@pytest.mark.parametrize(
    "values",
    [
        {"actor": "U9"},
        {"action": "run.approve"},
        {"subject": "run9"},
        {"details": '{"number": 33}'},
        {"at": "2020-01-01T00:00:00+00:00"},
        {"previous": "f" * 64},
        {"hash": "f" * 64},
    ],
)
async def test_an_edit_of_any_column_is_found(
    log: AuditLog, database: Database, values: dict[str, object]
) -> None:
    await change(database, 3, **values)
    assert await log.verify() == (2, "entry 3 was altered or moved")


async def test_an_edit_with_its_hash_made_anew_is_found_at_the_next_entry(
    log: AuditLog, database: Database
) -> None:
    await change(database, 3, actor="U9")
    entry = [e async for e in log.entries()][2]
    await change(database, 3, hash=entry.computed_hash())
    assert await log.verify() == (3, "entry 4 was altered or moved")


@pytest.mark.parametrize("sequence", [1, 3])
async def test_a_removed_entry_is_found(log: AuditLog, database: Database, sequence: int) -> None:
    async with database.write() as connection:
        await connection.execute(delete(audit).where(audit.c.sequence == sequence))
    whole, problem = await log.verify()
    assert whole == sequence - 1
    assert problem == f"entry {sequence} is missing (found {sequence + 1})"


async def test_entries_that_changed_places_are_found(log: AuditLog, database: Database) -> None:
    for sequence, place in ((2, 100), (4, 2), (100, 4)):
        await change(database, sequence, sequence=place)
    assert await log.verify() == (1, "entry 2 was altered or moved")


async def test_an_inserted_entry_is_found(log: AuditLog, database: Database) -> None:
    await change(database, 5, sequence=6)
    async with database.write() as connection:
        four = (await connection.execute(select(audit).where(audit.c.sequence == 4))).one()
        forged = dict(four._mapping) | {"sequence": 5, "actor": "U9", "hash": "e" * 64}
        await connection.execute(insert(audit).values(forged))
    assert await log.verify() == (4, "entry 5 was altered or moved")


async def test_appends_at_once_keep_the_chain(log: AuditLog) -> None:
    await asyncio.gather(
        *(log.record("U1", "run.requested", f"at once {n}", {"n": n}) for n in range(40))
    )
    assert await log.verify() == (45, None)


async def test_an_entry_is_there_only_if_its_effect_is(log: AuditLog, database: Database) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012  the failure is inside the transaction
        async with database.write() as connection:
            await log.append(connection, "U1", "run.approved", "run1", {})
            raise ZeroDivisionError
    await log.record("U1", "run.denied", "run1", {})
    assert await log.verify() == (6, None)
    assert [e.action async for e in log.entries()][5] == "run.denied"


async def test_hostile_texts_are_kept_in_a_form_that_can_be_stored(log: AuditLog) -> None:
    hostile = "\x00 \ud800 \u202e <!channel> " + "x" * 400
    await log.record(hostile, "run.refused", hostile, {"why": hostile, "deep": [hostile]})
    assert await log.verify() == (6, None)
    last = [e async for e in log.entries()][5]
    assert (len(last.actor), len(last.subject)) == (120, 300)
    assert json.loads(last.details)["deep"] == [
        hostile.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
    ]
