"""`countersign webhooks`, as an administrator types it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bot.cli import app
from core.errors import InvalidRequestError, NotFoundError
from core.security.audit import AuditLog
from core.store.database import Database
from core.store.inbox import SqlInbox

BODY = b'{"action": "opened", "token": "s3cret", "title": "bell \\u0007"}'


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A home whose application has failed to process one delivery; another waits."""
    monkeypatch.setenv("COUNTERSIGN_HOME", str(tmp_path))
    url = f"sqlite+aiosqlite:///{tmp_path / 'data' / 'countersign.db'}"

    async def start() -> None:
        database = Database(url)
        await database.open()
        inbox = SqlInbox(database)
        await inbox.accept("webhook:github", "d-1", BODY, {"x-github-event": "push"}, "a/b main")
        (delivery,) = await inbox.claim(1, ["webhook"])
        await inbox.give_up(delivery, "it is not\x1b[31m what GitHub documents")
        await inbox.accept("webhook:github", "d-2", BODY, {})
        await database.close()

    asyncio.run(start())
    return url


def webhooks(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["webhooks", *arguments])


@pytest.mark.usefixtures("url")
def test_what_has_failed_is_listed_with_the_reason() -> None:
    standing, line = webhooks("list").stdout.splitlines()
    assert standing.startswith("github: 1 waiting since 20")
    assert standing.endswith(" 1 failed, 0 done")
    assert f" github d-1 failed, {len(BODY)} bytes: it is not [31m what GitHub" in line
    assert webhooks("list", "--integration", "github").stdout.startswith("github: 1 waiting")
    assert webhooks("list", "--integration", "gitlab").stdout == "No delivery has failed.\n"


def test_what_is_tried_again_is_listed_too(url: str) -> None:
    async def retry() -> None:
        database = Database(url)
        await database.open()
        inbox = SqlInbox(database)
        (delivery,) = await inbox.claim(1, ["webhook"])
        await inbox.retry(delivery, "there is no channel #x", timedelta(hours=1))
        await database.close()

    asyncio.run(retry())
    line = webhooks("list").stdout.splitlines()[-1]
    told = f" github d-2 failed once and is tried again, {len(BODY)} bytes: there is no channel #x"
    assert line.endswith(told)


@pytest.mark.usefixtures("url")
def test_one_is_shown_without_secrets_and_without_control_characters() -> None:
    shown = webhooks("show", "d-1").stdout
    assert "in the order of: a/b main" in shown
    assert "x-github-event: push" in shown
    assert '"action": "opened"' in shown
    assert "s3cret" not in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_one_is_processed_again_and_the_audit_log_says_who_wanted_it(url: str) -> None:
    said = webhooks("replay", "d-1", "--by", "ann")
    assert said.stdout == "github d-1 will be processed again.\n"
    assert "2 waiting" in webhooks("list").stdout
    assert isinstance(webhooks("replay", "d-1").exception, InvalidRequestError)
    assert isinstance(webhooks("replay", "d-9").exception, NotFoundError)

    async def actors() -> list[tuple[str, str]]:
        database = Database(url)
        entries = [(e.actor, e.action) async for e in AuditLog(database).entries()]
        await database.close()
        return entries

    assert asyncio.run(actors()) == [("ann", "webhook.replayed")]
