"""What people can ask of the inbox: what waits, what has failed and why, and to try it again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from core.deliveries import DeliveryBook
from core.errors import InvalidRequestError, NotFoundError
from core.security.audit import AuditLog
from core.store.database import Database
from core.store.inbox import SqlInbox

GITHUB = "webhook:github"
BODY = json.dumps({"action": "opened", "nested": [{"access_token": "s3cret"}]}).encode()


@pytest.fixture
def inbox(database: Database) -> SqlInbox:
    return SqlInbox(database)


@pytest.fixture
def book(database: Database) -> DeliveryBook:
    return DeliveryBook(database, AuditLog(database))


async def fail(inbox: SqlInbox, *keys: str, source: str = GITHUB, subject: str = "") -> None:
    for key in keys:
        await inbox.accept(source, key, BODY, {"x-event": "push", "x-my-token": "t"}, subject)
        (delivery,) = await inbox.claim(1, ["webhook"])
        await inbox.give_up(delivery, f"{key} cannot be read")


async def test_what_has_failed_is_listed_with_the_reason_newest_first(
    inbox: SqlInbox, book: DeliveryBook
) -> None:
    await fail(inbox, "a", "b")
    await fail(inbox, "c", source="webhook:gitlab")
    await inbox.accept(GITHUB, "waits", BODY, {})
    await inbox.accept("slack", "s", b"{}", {})
    assert [(d.integration, d.key, d.reason) for d in await book.failed()] == [
        ("gitlab", "c", "c cannot be read"),
        ("github", "b", "b cannot be read"),
        ("github", "a", "a cannot be read"),
    ]
    assert [d.key for d in await book.failed("github", limit=1)] == ["b"]
    assert (await book.failed())[0].size == len(BODY)


async def test_what_is_tried_again_is_listed_after_what_is_not(
    inbox: SqlInbox, book: DeliveryBook
) -> None:
    await fail(inbox, "over")
    await inbox.accept(GITHUB, "later", BODY, {})
    (delivery,) = await inbox.claim(1, ["webhook"])
    await inbox.retry(delivery, "Slack is away", timedelta(hours=1))
    await inbox.accept(GITHUB, "new", BODY, {})
    assert [(d.key, d.state, d.attempts, d.reason) for d in await book.failed()] == [
        ("over", "failed", 1, "over cannot be read"),
        ("later", "received", 1, "Slack is away"),
    ]


async def test_what_is_tried_again_can_be_had_now_and_keeps_its_place(
    inbox: SqlInbox, book: DeliveryBook
) -> None:
    for key in ("first", "second"):
        await inbox.accept(GITHUB, key, BODY, {}, "main")
    (delivery,) = await inbox.claim(2, ["webhook"])
    await inbox.retry(delivery, "Slack is away", timedelta(hours=1))
    assert await inbox.claim(2, ["webhook"]) == []
    with pytest.raises(InvalidRequestError, match="second is received"):
        await book.replay("second", "ann")
    await book.replay("first", "ann")
    assert [one.key for one in await inbox.claim(2, ["webhook"])] == ["first"]


async def test_how_each_source_stands(inbox: SqlInbox, book: DeliveryBook) -> None:
    await fail(inbox, "bad")
    before = datetime.now(UTC)
    for key in ("a", "b", "c"):
        await inbox.accept(GITHUB, key, BODY, {})
    first, _ = await inbox.claim(2, ["webhook"])
    await inbox.finish(first)
    (standing,) = await book.standings()
    assert (standing.source, standing.waiting, standing.failed, standing.done) == (GITHUB, 2, 1, 1)
    assert standing.oldest is not None
    assert before <= standing.oldest <= datetime.now(UTC)


async def test_one_that_has_failed_is_processed_again_and_that_is_audited(
    inbox: SqlInbox, book: DeliveryBook, database: Database
) -> None:
    await fail(inbox, "bad", subject="pull/1")
    await inbox.accept(GITHUB, "later", BODY, {}, "pull/1")
    await book.replay("bad", "U1")
    (later,) = await inbox.claim(9, ["webhook"])
    assert later.key == "later", "it comes after what waits already"
    await inbox.finish(later)
    (again,) = await inbox.claim(9, ["webhook"])
    assert (again.key, again.body, again.attempts) == ("bad", BODY, 0)
    (entry,) = [e async for e in AuditLog(database).entries()]
    assert (entry.actor, entry.action) == ("U1", "webhook.replayed")
    assert entry.subject == "webhook:github bad"


async def test_only_what_has_failed_is_processed_again(
    inbox: SqlInbox, book: DeliveryBook, database: Database
) -> None:
    await inbox.accept(GITHUB, "waits", BODY, {})
    with pytest.raises(InvalidRequestError, match="is received"):
        await book.replay("waits", "U1")
    with pytest.raises(NotFoundError, match="no delivery with the key 'none'"):
        await book.replay("none", "U1")
    assert [e async for e in AuditLog(database).entries()] == []


async def test_a_key_that_two_senders_have_needs_the_integration(
    inbox: SqlInbox, book: DeliveryBook
) -> None:
    await fail(inbox, "1")
    await fail(inbox, "1", source="webhook:gitlab")
    with pytest.raises(InvalidRequestError, match="github, gitlab"):
        await book.find("1")
    assert (await book.find("1", "gitlab")).integration == "gitlab"


async def test_what_looks_like_a_secret_is_not_shown(inbox: SqlInbox, book: DeliveryBook) -> None:
    await fail(inbox, "bad")
    contents = await book.contents(await book.find("bad"))
    assert contents.headers == {"x-event": "push", "x-my-token": "(hidden)"}
    assert "s3cret" not in contents.body
    assert json.loads(contents.body)["action"] == "opened"


async def test_old_bodies_of_what_was_processed_are_removed_and_the_key_is_still_known(
    inbox: SqlInbox, book: DeliveryBook
) -> None:
    await fail(inbox, "bad")
    await inbox.accept(GITHUB, "done", BODY, {})
    (delivery,) = await inbox.claim(1, ["webhook"])
    await inbox.finish(delivery)
    await inbox.accept(GITHUB, "waits", BODY, {})
    now = datetime.now(UTC)
    assert await book.purge(now - timedelta(days=1)) == 0
    assert await book.purge(now + timedelta(seconds=1)) == 1
    assert await book.purge(now + timedelta(seconds=1)) == 0
    assert [(await book.find(key)).size for key in ("bad", "done", "waits")] == [
        len(BODY),
        0,
        len(BODY),
    ]
    assert not await inbox.accept(GITHUB, "done", BODY, {})
