"""The audit log is a chain: an edit, a gap, a swap or an insertion shows."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest
import rfc8785
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from core.security.audit import AuditLog, Entry
from core.store.database import Database
from core.store.tables import audit, audit_head
from tests.support.tampering import unguarded


@pytest.fixture
async def log(database: Database) -> AuditLog:
    log = AuditLog(database)
    for number in range(1, 6):
        await log.record(f"U{number}", "run.requested", f"run{number}", {"number": number})
    return log


async def change(database: Database, number: int, **values: object) -> None:
    async with unguarded(database) as connection:
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
    async with unguarded(database) as connection:
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
    async with unguarded(database) as connection:
        four = (await connection.execute(select(audit).where(audit.c.sequence == 4))).one()
        forged = dict(four._mapping) | {"sequence": 5, "actor": "U9", "hash": "e" * 64}
        await connection.execute(insert(audit).values(forged))
    assert await log.verify() == (4, "entry 5 was altered or moved")


@pytest.mark.parametrize("removed", [1, 5])
async def test_a_removed_tail_is_found(log: AuditLog, database: Database, removed: int) -> None:
    left = 5 - removed
    async with unguarded(database) as connection:
        await connection.execute(delete(audit).where(audit.c.sequence > left))
    assert await log.verify() == (
        left,
        f"entries {left + 1} to 5 are missing at the end (the head is at entry 5)",
    )


@pytest.mark.parametrize("values", [{"sequence": 4}, {"hash": "f" * 64}])
async def test_a_changed_head_is_found(
    log: AuditLog, database: Database, values: dict[str, object]
) -> None:
    async with unguarded(database) as connection:
        await connection.execute(update(audit_head).values(values))
    whole, problem = await log.verify()
    assert whole == 5
    assert problem is not None
    assert "is not the last entry" in problem


async def test_a_removed_head_is_found(log: AuditLog, database: Database) -> None:
    async with unguarded(database) as connection:
        await connection.execute(delete(audit_head))
    assert await log.verify() == (5, "the head is missing")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'U9' WHERE sequence = 3",
        "UPDATE audit SET actor = actor",
        "DELETE FROM audit WHERE sequence = 5",
        "DELETE FROM audit",
        "UPDATE audit_head SET sequence = 4, hash = (SELECT hash FROM audit WHERE sequence = 4)",
        "UPDATE audit_head SET sequence = 6",
        "DELETE FROM audit_head",
        "INSERT INTO audit_head VALUES (2, 0, '0')",
    ],
)
async def test_the_database_refuses_to_change_what_is_written(
    log: AuditLog, database: Database, statement: str
) -> None:
    with pytest.raises(IntegrityError, match="append-only"):
        async with database.write() as connection:
            await connection.execute(text(statement))
    assert await log.verify() == (5, None)


async def test_postgresql_refuses_to_empty_the_log(database: Database) -> None:
    if database.is_sqlite:
        return  # it has no TRUNCATE
    for table in ("audit", "audit_head", "audit, audit_head"):
        with pytest.raises(IntegrityError, match="append-only"):
            async with database.write() as connection:
                await connection.execute(text(f"TRUNCATE {table}"))


async def test_the_database_refuses_an_entry_that_does_not_follow_the_head(
    log: AuditLog, database: Database
) -> None:
    entries = [entry.model_dump() async for entry in log.entries()]
    last = entries[-1]
    for forged in (
        last | {"sequence": 7, "previous": last["hash"], "hash": "a"},
        last | {"sequence": 6, "previous": "0" * 64, "hash": "b"},
        last | {"sequence": 0, "previous": "0" * 64, "hash": "c"},
    ):
        with pytest.raises(IntegrityError, match="does not follow its head"):
            async with database.write() as connection:
                await connection.execute(insert(audit).values(forged))
    assert await log.verify() == (5, None)


async def test_sqlite_refuses_to_replace_an_entry(log: AuditLog, database: Database) -> None:
    if not database.is_sqlite:
        return  # it has no REPLACE
    entries = [entry.model_dump() async for entry in log.entries()]
    second, last = entries[1], entries[-1]
    for forged in (
        second,
        last | {"sequence": 6, "previous": last["hash"], "hash": second["hash"]},
    ):
        with pytest.raises(IntegrityError, match="append-only"):
            async with database.write() as connection:
                await connection.execute(insert(audit).prefix_with("OR REPLACE").values(forged))
    with pytest.raises(IntegrityError, match="append-only"):
        async with database.write() as connection:
            await connection.execute(text("INSERT OR REPLACE INTO audit_head VALUES (1, 0, '0')"))
    assert await log.verify() == (5, None)


async def test_appends_at_once_keep_the_chain(log: AuditLog) -> None:
    await asyncio.gather(
        *(log.record("U1", "run.requested", f"at once {n}", {"n": n}) for n in range(40))
    )
    assert await log.verify() == (45, None)


async def test_several_entries_at_once_are_links_of_the_chain(
    log: AuditLog, database: Database
) -> None:
    several = [Entry("U1", "step.finished", f"run{n}", {"n": n}) for n in range(30)]
    async with database.write() as connection:
        await log.append_all(connection, several)
        await log.append_all(connection, [])
    assert await log.verify() == (35, None)
    assert [e.subject async for e in log.entries(5)] == [entry.subject for entry in several]


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
