"""`countersign gates`, as a pipeline types it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bot.cli import app
from core.errors import CountersignError, InvalidRequestError
from core.store.database import Database


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose application has been started before."""
    monkeypatch.setenv("COUNTERSIGN_HOME", str(tmp_path))

    async def start() -> None:
        database = Database(f"sqlite+aiosqlite:///{tmp_path / 'data' / 'countersign.db'}")
        await database.open()
        await database.close()

    asyncio.run(start())
    return tmp_path


def gates(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["gates", *arguments])


@pytest.mark.usefixtures("home")
def test_a_result_that_was_recorded_is_listed() -> None:
    assert gates("list").stdout == "No result is recorded.\n"
    said = gates(
        *("record", "dataset", "tickets-v3", "--passed"),
        *("--evidence", "0 leaks", "--by", "pipeline 12", "--expires-after", "30d"),
    )
    assert said.exit_code == 0, said.exception
    assert "dataset tickets-v3 passed, until 20" in said.stdout
    assert gates("record", "evaluation", "router", "--failed").exit_code == 0
    lines = gates("list").stdout.splitlines()
    assert lines[0].endswith("evaluation router failed, says command line")
    assert lines[1].endswith("says pipeline 12: 0 leaks")
    assert len(gates("list", "--kind", "dataset").stdout.splitlines()) == 1
    assert len(gates("list", "--subject", "router").stdout.splitlines()) == 1
    assert len(gates("list", "--limit", "1").stdout.splitlines()) == 1


@pytest.mark.usefixtures("home")
def test_a_result_must_be_said() -> None:
    said = gates("record", "dataset", "tickets-v3")
    assert said.exit_code == 2
    assert "--passed" in said.output


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("holds", ["soon", "P1D", "0s"])
def test_a_wrong_time_is_a_clear_error(holds: str) -> None:
    said = gates("record", "dataset", "tickets-v3", "--passed", "--expires-after", holds)
    assert isinstance(said.exception, InvalidRequestError)


def test_a_home_without_a_database_records_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERSIGN_HOME", str(tmp_path / "none"))
    said = gates("record", "dataset", "tickets-v3", "--passed")
    assert isinstance(said.exception, CountersignError)
    assert "There is no database" in str(said.exception)
