"""Who may post a message that was begun: one replica at a time, and the next when it has died."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.slack.posts import PostStore
from core.ports import PostedMessage
from core.records import Place
from core.replicas import Replica
from core.store.database import Database
from tests.support.postgres import database, postgres

__all__ = ["database", "postgres"]
PLACE = Place(channel="C1")


@pytest.fixture
async def one(database: Database) -> Replica:
    """A replica that lives."""
    replica = Replica(database, "one", timedelta(minutes=1))
    await replica.join()
    return replica


async def test_what_a_living_replica_posts_no_other_posts(database: Database, one: Replica) -> None:
    mine, others = PostStore(database, one.id), PostStore(database, "two")
    assert await mine.begin("k", PLACE) is None
    begun = await others.begin("k", PLACE)
    assert begun is not None
    assert begun.posted is None
    assert not await others.take_up("k")
    assert await mine.take_up("k"), "after an attempt of its own that was cut off"


async def test_what_a_dead_replica_has_begun_the_first_who_comes_takes_up(
    database: Database, one: Replica
) -> None:
    dead = PostStore(database, "dead")
    mine, others = PostStore(database, one.id), PostStore(database, "two")
    await dead.begin("k", PLACE)
    assert await mine.take_up("k")
    assert not await others.take_up("k")
    await one.leave()
    assert await others.take_up("k")


async def test_what_nobody_is_at_any_more_can_be_taken_up(database: Database, one: Replica) -> None:
    mine, others = PostStore(database, one.id), PostStore(database, "two")
    await mine.begin("k", PLACE)
    await mine.in_doubt("k")
    assert await others.take_up("k")


async def test_what_stands_is_not_taken_up(database: Database, one: Replica) -> None:
    mine, others = PostStore(database, one.id), PostStore(database, "two")
    await mine.begin("k", PLACE)
    await mine.stands("k", PostedMessage(channel="C1", message="1.0", thread="1.0"))
    assert not await others.take_up("k")
    standing = await others.begin("k", PLACE)
    assert standing is not None
    assert standing.posted == PostedMessage(channel="C1", message="1.0", thread="1.0")
