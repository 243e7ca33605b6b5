"""The file has every entry once and in order, whatever is killed, and whoever writes it."""

from __future__ import annotations

import asyncio
import re
import stat
from pathlib import Path

import pytest
from sqlalchemy import delete, text, update

from core.errors import ConfigurationError, InvalidRequestError
from core.security.audit import AuditEntry, AuditLog
from core.security.audit_file import AuditFile
from core.security.audit_lines import EntryLines, verify_lines
from core.store.database import Database
from core.store.tables import audit
from tests.support.tampering import unguarded
from tests.support.until import until

_HEAD_AT = text(
    "UPDATE audit_head SET sequence = :keep, hash = (SELECT hash FROM audit WHERE sequence = :keep)"
)


@pytest.fixture
async def log(database: Database) -> AuditLog:
    log = AuditLog(database)
    await record(log, 5)
    return log


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


async def record(log: AuditLog, count: int) -> None:
    for number in range(count):
        await log.record("U1", "run.requested", "run \u2028 \U0001f680", {"number": number})


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


async def entries(log: AuditLog) -> list[AuditEntry]:
    return [entry async for entry in log.entries()]


async def test_a_new_file_gets_the_log_from_the_beginning_and_then_what_follows(
    log: AuditLog, path: Path
) -> None:
    file = AuditFile(path, log)
    assert await file.look() == 5
    assert await file.look() == 0
    await record(log, 2)
    assert await file.look() == 2
    assert list(EntryLines(path)) == await entries(log)
    assert await verify_lines(EntryLines(path), log) == (7, None)


async def test_only_its_owner_can_read_it(log: AuditLog, path: Path) -> None:
    await AuditFile(path, log).look()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_file_for_an_empty_log_is_empty(database: Database, path: Path) -> None:
    assert await AuditFile(path, AuditLog(database)).look() == 0
    assert path.read_bytes() == b""
    assert await verify_lines(EntryLines(path), AuditLog(database)) == (0, None)


async def test_it_goes_on_where_another_process_has_ended(log: AuditLog, path: Path) -> None:
    await AuditFile(path, log).look()
    await record(log, 3)
    assert await AuditFile(path, log).look() == 3
    assert await verify_lines(EntryLines(path), log) == (8, None)


async def test_a_crash_at_any_byte_of_a_write_is_mended(log: AuditLog, path: Path) -> None:
    await AuditFile(path, log).look()
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        await AuditFile(path, log).look()
        assert path.read_bytes() == whole


async def test_it_only_ever_appends(log: AuditLog, path: Path) -> None:
    file = AuditFile(path, log)
    await file.look()
    before, inode = path.read_bytes(), path.stat().st_ino
    await record(log, 4)
    await file.look()
    assert path.read_bytes().startswith(before)
    assert path.stat().st_ino == inode


async def test_replicas_that_share_the_file_write_each_entry_once(
    log: AuditLog, path: Path
) -> None:
    files = [AuditFile(path, log) for _ in range(3)]

    async def work() -> None:
        await record(log, 20)

    async def follow(file: AuditFile) -> None:
        while len(lines(path) if path.exists() else []) < 65:
            await file.look()

    async with asyncio.timeout(60):
        await asyncio.gather(*(follow(file) for file in files), work(), work(), work())
    assert await verify_lines(EntryLines(path), log) == (65, None)


async def test_more_entries_than_one_write_holds(
    log: AuditLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.security.audit_file._BATCH", 2)
    assert await AuditFile(path, log).look() == 5
    assert await verify_lines(EntryLines(path), log) == (5, None)


async def test_long_entries_are_found_from_the_end(log: AuditLog, path: Path) -> None:
    await log.record("U1", "step.finished", "run1", {"output": "x" * 300_000})
    await AuditFile(path, log).look()
    await record(log, 1)
    assert await AuditFile(path, log).look() == 1
    assert await verify_lines(EntryLines(path), log) == (7, None)


async def test_following_writes_what_comes(log: AuditLog, path: Path) -> None:
    task = asyncio.create_task(AuditFile(path, log).follow())
    await until(lambda: path.exists() and len(lines(path)) == 5, "the first five")
    await record(log, 1)
    await until(lambda: len(lines(path)) == 6, "the sixth")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_following_survives_a_file_that_cannot_be_written_for_a_while(
    log: AuditLog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "later" / "audit.jsonl"
    task = asyncio.create_task(AuditFile(path, log).follow())
    await until(lambda: "the audit file lags behind" in caplog.text, "a complaint")
    path.parent.mkdir()
    await until(lambda: path.exists() and len(lines(path)) == 5, "all five")
    task.cancel()


async def test_a_folder_that_is_not_there_is_a_clear_error(log: AuditLog, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"COUNTERSIGN_AUDIT_FILE.*cannot be written"):
        await AuditFile(tmp_path / "none" / "audit.jsonl", log).look()


@pytest.mark.parametrize("text", [b"hello\n", b'{"sequence": 1}\n', b"\xff\n", b"[]\n", b"hello"])
async def test_another_kind_of_file_is_left_alone(log: AuditLog, path: Path, text: bytes) -> None:
    path.write_bytes(text)
    with pytest.raises(ConfigurationError, match="COUNTERSIGN_AUDIT_FILE"):
        await AuditFile(path, log).look()
    assert path.read_bytes() == text


async def test_a_table_that_was_written_anew_is_not_followed(
    log: AuditLog, database: Database, path: Path
) -> None:
    await AuditFile(path, log).look()
    async with unguarded(database) as connection:
        await connection.execute(update(audit).where(audit.c.sequence == 5).values(hash="f" * 64))
    await _refused(log, path)


async def test_a_table_with_fewer_entries_is_not_followed(
    log: AuditLog, database: Database, path: Path
) -> None:
    await AuditFile(path, log).look()
    async with unguarded(database) as connection:
        await connection.execute(delete(audit).where(audit.c.sequence > 3))
    await _refused(log, path)


async def _refused(log: AuditLog, path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="is not a copy of this audit log"):
        await AuditFile(path, log).look()
    assert path.read_bytes() == before


async def test_the_file_shows_a_tail_that_was_removed_with_its_head(
    log: AuditLog, database: Database, path: Path
) -> None:
    await AuditFile(path, log).look()
    await _rewrite(database, keep=3)
    assert await log.verify() == (3, None)  # a whole chain, only shorter
    assert await verify_lines(EntryLines(path), log) == (3, "the database lacks entry 4")


async def test_the_file_shows_a_chain_that_was_written_anew(
    log: AuditLog, database: Database, path: Path
) -> None:
    await AuditFile(path, log).look()
    await _rewrite(database, keep=2)
    await record(log, 3)
    assert await log.verify() == (5, None)
    assert await verify_lines(EntryLines(path), log) == (2, "entry 3 is not as in the database")


async def test_a_hash_noted_elsewhere_shows_a_removed_tail(
    log: AuditLog, database: Database
) -> None:
    noted = (await log.head()).hash
    await record(log, 2)
    assert await log.verify(noted) == (7, None)
    await _rewrite(database, keep=4)
    whole, problem = await log.verify(noted)
    assert whole == 4
    assert problem is not None
    assert problem.startswith(f"no entry has the hash {noted}")


async def _rewrite(database: Database, keep: int) -> None:
    """Cut the log off and make its head fit, as only the owner of the database can."""
    async with unguarded(database) as connection:
        await connection.execute(delete(audit).where(audit.c.sequence > keep))
        await connection.execute(_HEAD_AT, {"keep": keep})


async def _verified(path: Path) -> tuple[int, str | None]:
    return await verify_lines(EntryLines(path), None)


async def test_a_file_alone_shows_what_was_done_to_it(log: AuditLog, path: Path) -> None:
    await AuditFile(path, log).look()
    one, two, three, four, five = lines(path)
    assert await _verified(path) == (5, None)
    for changed, whole, says in (
        ([one, two, four, five], 2, "entry 3 is missing"),
        ([two, three], 0, "entry 1 is missing"),
        ([one, three, two], 1, "entry 2 is missing"),
        ([one, two.replace(b"U1", b"U2"), three], 1, "entry 2 was altered"),
        ([one, two, b"nonsense\n"], 2, "line 3 of .* is no entry"),
        ([one, two, three[:-9]], 2, "line 3 of .* is cut off"),
        ([one, one], 1, "entry 2 is missing"),
    ):
        path.write_bytes(b"".join(changed))
        found, problem = await _verified(path)
        assert found == whole
        assert problem is not None
        assert re.match(says, problem)


async def test_a_file_that_is_not_there_is_a_clear_error(path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        EntryLines(path)
    assert not path.exists()
