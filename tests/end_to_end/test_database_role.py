"""The whole application on PostgreSQL, as a role that cannot alter its audit log."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bot import names
from tests.support.countersign import ALICE, BOB, DEPLOYS, Application, application
from tests.support.postgres import Postgres
from tests.support.until import until

_SETTING = "COUNTERSIGN_DATABASE_URL="


async def countersign(*arguments: str, **environment: str) -> str:
    """What a command says; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from bot.cli import main; main()", *arguments),
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    said, complained = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, complained.decode()
    return said.decode()


async def prepared(owner: str) -> str:
    """Prepare a database; the URL that the application is to use."""
    said = await countersign(
        "database", "prepare", "--role", "countersign_app", COUNTERSIGN_OWNER_URL=owner
    )
    line = next(line for line in said.splitlines() if line.startswith(_SETTING))
    return line.removeprefix(_SETTING)


async def test_a_run_from_request_to_effect_as_a_role_that_can_only_append(
    postgres: Postgres, tmp_path: Path
) -> None:
    owner = postgres.new_database()
    copy = tmp_path / "audit.jsonl"
    environment = {
        "COUNTERSIGN_DATABASE_URL": await prepared(owner),
        "COUNTERSIGN_AUDIT_FILE": str(copy),
    }
    async with application(tmp_path / "home", None, environment) as app:
        await app.connected()
        shop = app.home / "repositories" / "shop"

        def git(*arguments: str) -> str:
            command = ["git", "-C", str(shop), *arguments]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout

        commit = git("rev-parse", "HEAD").strip()
        async with app.page(ALICE) as alice, app.page(BOB) as bob:
            answer = await alice.command(DEPLOYS, f"/ops run revert-commit commit={commit}")
            assert answer["ok"], answer

            async def card() -> dict[str, Any] | None:
                messages = await alice.messages(DEPLOYS)
                return next((m for m in messages if "Revert a commit" in m["text"]), None)

            shown = await until(card, f"the card:\n{app.tail()}", limit_s=30)
            assert shown is not None
            await bob.press(shown, names.APPROVE)

            async def done() -> bool:
                found = await card()
                return found is not None and found["text"].startswith("Done")

            await until(done, f"the end of the run:\n{app.tail()}", limit_s=30)
        assert f"This reverts commit {commit}" in git("log", "-1")
        assert "could alter the audit log" not in app.log.read_text()
        assert await app.stop() == 0

    whole = await countersign("audit", "verify", "--file", str(copy), **app.environment)
    assert "The audit log is whole" in whole
    assert f"{copy} is whole" in whole
    entries = [json.loads(line) for line in copy.read_text().splitlines()]
    assert f"The audit log is whole: {len(entries)} entries." in whole
    assert {"U0ALICE", "U0BOB"} <= {entry["actor"] for entry in entries}
    status = await countersign("database", "status", **app.environment)
    assert "can only append to the audit log" in status

    plain = environment["COUNTERSIGN_DATABASE_URL"].replace("+asyncpg", "")
    with psycopg.connect(plain, autocommit=True) as connection:
        for statement in (
            b"UPDATE audit SET actor = 'U0DAVE'",
            b"DELETE FROM audit",
            b"TRUNCATE audit",
            b"DROP TRIGGER audit_changed ON audit",
            b"ALTER TABLE audit DISABLE TRIGGER USER",
            b"UPDATE audit_head SET sequence = 0",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
    postgres.drop(owner)


@pytest.mark.parametrize(
    "statement",
    [
        b"UPDATE alembic_version SET version_num = '0001'",
        b"UPDATE dbos.dbos_migrations SET version = 3",
    ],
)
async def test_a_start_before_the_database_was_prepared_anew_says_what_to_run(
    postgres: Postgres, tmp_path: Path, statement: bytes
) -> None:
    owner = postgres.new_database()
    environment = {"COUNTERSIGN_DATABASE_URL": await prepared(owner)}
    with psycopg.connect(owner.replace("+asyncpg", ""), autocommit=True) as connection:
        connection.execute(statement)
    app = Application(tmp_path / "home", None, environment)
    await app.start()
    assert await app.ended() == 1
    assert "run `countersign database prepare` as the owner" in app.tail().splitlines()[-1]
    postgres.drop(owner)
