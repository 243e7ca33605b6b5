"""`countersign audit` and `countersign database`, as a person types them."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text, update
from typer.testing import CliRunner, Result

from bot.cli import app
from core.errors import ConfigurationError, CountersignError
from core.security.audit import AuditLog
from core.store.database import Database
from core.store.tables import audit
from tests.support.tampering import unguarded


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with three entries in its log."""
    monkeypatch.setenv("COUNTERSIGN_HOME", str(tmp_path))
    asyncio.run(_fill(tmp_path))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def say(*arguments: str) -> str:
    """What a command that succeeds prints."""
    result = run(*arguments)
    assert result.exception is None, result.exception
    return result.stdout


def fail(*arguments: str) -> str:
    """What a command that fails says of it; `main` prints it and exits with 1."""
    result = run(*arguments)
    assert isinstance(result.exception, CountersignError), result.output
    return str(result.exception)


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{home / 'data' / 'countersign.db'}")
    await database.open()
    yield database
    await database.close()


async def _fill(home: Path) -> None:
    async with opened(home) as database:
        log = AuditLog(database)
        await log.record("U1", "run.requested", "run1", {"why": "=1+1"})
        await log.record("U2", "run.signed", "run1", {})
        await log.record("=U3", "gate.recorded", "gate1", {})


async def _alter(home: Path) -> None:
    async with opened(home) as database, unguarded(database) as connection:
        await connection.execute(update(audit).where(audit.c.sequence == 2).values(actor="U9"))


async def _cut(home: Path) -> None:
    async with opened(home) as database, unguarded(database) as connection:
        await connection.execute(text("DELETE FROM audit WHERE sequence = 3"))


def test_a_whole_log_is_said_to_be_whole_with_the_hash_to_note(home: Path) -> None:
    said = say("audit", "verify")
    assert "The audit log is whole: 3 entries." in said
    noted = said.split("Entry 3 has the hash ")[1].split(":")[0]
    assert len(noted) == 64
    assert "whole" in say("audit", "verify", "--head", noted)


def test_an_altered_entry_fails_the_verification(home: Path) -> None:
    asyncio.run(_alter(home))
    assert "broken after 1 entry: entry 2 was altered" in fail("audit", "verify")


def test_a_removed_tail_fails_the_verification(home: Path) -> None:
    asyncio.run(_cut(home))
    assert "broken after 2 entries: entries 3 to 3 are missing" in fail("audit", "verify")


def test_a_hash_that_is_not_there_fails_the_verification(home: Path) -> None:
    assert "no entry has the hash" in fail("audit", "verify", "--head", "f" * 64)


def test_an_export_is_verified_with_and_without_the_database(
    home: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path_factory.mktemp("out") / "audit.jsonl"
    assert "3 entries" in say("audit", "export", "--output", str(path))
    assert f"{path} is whole: 3 entries." in say("audit", "verify", "--file", str(path))
    asyncio.run(_alter(home))
    assert "broken" in fail("audit", "verify", "--file", str(path))
    monkeypatch.setenv("COUNTERSIGN_HOME", str(path.parent / "nowhere"))
    assert "is whole: 3" in say("audit", "verify", "--file", str(path), "--offline")
    last = json.loads(path.read_text().splitlines()[-1])["hash"]
    assert "whole" in say("audit", "verify", "--file", str(path), "--offline", "--head", last)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    said = fail("audit", "verify", "--file", str(path), "--offline", "--head", last)
    assert "no entry has the hash" in said


def test_offline_without_a_file_says_what_is_missing(home: Path) -> None:
    assert "--offline needs --file" in fail("audit", "verify", "--offline")


def test_an_export_to_the_terminal_is_one_entry_a_line(home: Path) -> None:
    entries = [json.loads(line) for line in say("audit", "export").splitlines()]
    assert [entry["sequence"] for entry in entries] == [1, 2, 3]


def test_an_export_has_what_was_selected(home: Path) -> None:
    def actions(*selection: str) -> list[str]:
        lines = say("audit", "export", *selection).splitlines()
        return [json.loads(line)["action"] for line in lines]

    assert actions("--action", "run.*") == ["run.requested", "run.signed"]
    assert actions("--actor", "U2") == ["run.signed"]
    assert actions("--subject", "gate*") == ["gate.recorded"]
    assert actions("--until", "2020-01-01") == []
    assert len(actions("--since", "2020-01-01T12:30")) == 3


def test_a_csv_has_no_formula(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "audit.csv"
    say("audit", "export", "--format", "csv", "--output", str(path))
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["actor"] for row in rows] == ["U1", "U2", "'=U3"]


def test_an_export_never_overwrites(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "there"
    path.write_text("mine")
    assert "cannot be made" in fail("audit", "export", "--output", str(path))
    assert path.read_text() == "mine"


def test_a_home_without_a_database_is_not_a_whole_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERSIGN_HOME", str(tmp_path / "none"))
    for command in (["audit", "verify"], ["audit", "export"], ["database", "status"]):
        assert "There is no database" in fail(*command)
    assert not (tmp_path / "none").exists()


def test_the_status_says_what_protects_the_log(home: Path) -> None:
    said = say("database", "status")
    assert "3 entries" in said
    assert "may write the file" in said


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "--owner-url is not a database URL"),
        ("sqlite+aiosqlite:///x.db", "is for PostgreSQL"),
        ("postgresql+asyncpg://me:hunter2@127.0.0.1:1/x", "Check --owner-url"),
    ],
)
def test_a_wrong_owner_url_is_a_clear_error(url: str, says: str) -> None:
    result = run("database", "prepare", "--owner-url", url, "--role", "app")
    assert isinstance(result.exception, ConfigurationError)
    assert says in str(result.exception)
    assert "hunter2" not in str(result.exception)
