"""Access tokens: recognised until they end, never to be read again."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from time_machine import travel

from core.errors import InvalidRequestError, NotFoundError
from core.security.audit import AuditLog
from core.security.tokens import AccessTokens
from core.store.database import Database
from core.store.tables import access_tokens, audit

DAY = timedelta(days=1)


def tokens(database: Database) -> AccessTokens:
    return AccessTokens(database, AuditLog(database))


async def test_a_token_is_recognised_until_it_ends(database: Database) -> None:
    store = tokens(database)
    with travel(datetime(2026, 9, 1, tzinfo=UTC), tick=False):
        token = await store.issue("U0ALICE", "laptop", DAY, by="U0ALICE")
        found = await store.recognise(token)
        assert found is not None
        assert (found.user, found.label) == ("U0ALICE", "laptop")
    with travel(datetime(2026, 9, 1, 23, 59, 59, tzinfo=UTC), tick=False):
        assert await store.recognise(token) == found
    with travel(datetime(2026, 9, 2, tzinfo=UTC), tick=False):
        assert await store.recognise(token) is None


async def test_one_that_is_revoked_is_no_token_any_more(database: Database) -> None:
    store = tokens(database)
    first = await store.issue("U0ALICE", "laptop", DAY, by="U0ALICE")
    second = await store.issue("U0ALICE", "desk", DAY, by="U0ALICE")
    found = await store.recognise(first)
    assert found is not None
    for _ in range(2):  # the second time it stays as it is
        await store.revoke(found.id, by="U0BOB")
    assert await store.recognise(first) is None
    assert await store.recognise(second) is not None
    with pytest.raises(NotFoundError, match="no-such"):
        await store.revoke("no-such", by="U0BOB")

    async with database.read() as connection:
        entries = (await connection.execute(select(audit.c.actor, audit.c.action))).all()
    assert [tuple(entry) for entry in entries] == [
        ("U0ALICE", "token.issued"),
        ("U0ALICE", "token.issued"),
        ("U0BOB", "token.revoked"),
    ]


async def test_the_database_does_not_have_the_token(database: Database) -> None:
    store = tokens(database)
    token = await store.issue("U0ALICE", "laptop", DAY, by="U0ALICE")
    async with database.read() as connection:
        kept = str((await connection.execute(select(access_tokens))).all())
        kept += str((await connection.execute(select(audit))).all())
    assert token not in kept
    assert token.removeprefix("cst_") not in kept
    assert token not in str(await store.all())


@pytest.mark.parametrize(
    "given", ["", "cst_", "cst_" + "x" * 43, "x" * 10_000, "cst_\ud800", "cst_\x00", "CST_"]
)
async def test_anything_else_is_none(database: Database, given: str) -> None:
    store = tokens(database)
    await store.issue("U0ALICE", "laptop", DAY, by="U0ALICE")
    assert await store.recognise(given) is None


@pytest.mark.parametrize(
    ("user", "label", "valid_for"),
    [
        ("alice", "laptop", DAY),
        ("U", "laptop", DAY),
        ("U0ALICE", "", DAY),
        ("U0ALICE", "two\nlines", DAY),
        ("U0ALICE", "x" * 121, DAY),
        ("U0ALICE", "laptop", timedelta(0)),
        ("U0ALICE", "laptop", timedelta(days=367)),
    ],
)
async def test_what_cannot_be_made(
    database: Database, user: str, label: str, valid_for: timedelta
) -> None:
    with pytest.raises(InvalidRequestError):
        await tokens(database).issue(user, label, valid_for, by="U0ALICE")
    assert await tokens(database).all() == []
