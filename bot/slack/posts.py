"""Which messages of ours stand where, by key: what posting once rests on."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import delete, insert, not_, or_, select, update
from sqlalchemy.exc import IntegrityError

from core.ports import PostedMessage
from core.records import Frozen, Instant, Place
from core.replicas import living
from core.store.database import Database
from core.store.tables import posts


class Post(Frozen):
    """A message that was begun; `message` is None until Slack has said where it stands."""

    key: str
    channel: str
    message: str | None
    thread: str | None
    at: Instant

    @property
    def posted(self) -> PostedMessage | None:
        """Where it stands, once that is known."""
        if self.message is None:
            return None
        return PostedMessage(
            channel=self.channel, message=self.message, thread=self.thread or self.message
        )


class PostStore:
    """The table `posts`.

    Args:
        holder: id of this replica.
    """

    def __init__(self, database: Database, holder: str = "local") -> None:
        self._database = database
        self._holder = holder

    async def begin(self, key: str, place: Place) -> Post | None:
        """Note that a message is about to be posted; the earlier note where there is one."""
        row = {
            "key": key,
            "channel": place.channel,
            "message": None,
            "thread": place.thread,
            "at": datetime.now(UTC),
            "begun_by": self._holder,
        }
        try:
            async with self._database.write() as connection:
                await connection.execute(insert(posts).values(row))
        except IntegrityError:
            return await self.get(key)
        return None

    async def get(self, key: str) -> Post | None:
        """The note with this key."""
        columns = (posts.c.key, posts.c.channel, posts.c.message, posts.c.thread, posts.c.at)
        query = select(*columns).where(posts.c.key == key)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else Post.model_validate(dict(row._mapping))

    async def take_up(self, key: str) -> bool:
        """Post what was begun and not finished; False where a living replica is at it."""
        theirs = posts.c.begun_by.in_(living()) & (posts.c.begun_by != self._holder)
        free = or_(posts.c.begun_by.is_(None), not_(theirs))
        async with self._database.write() as connection:
            taken = await connection.execute(
                update(posts)
                .where(posts.c.key == key, posts.c.message.is_(None), free)
                .values(begun_by=self._holder)
            )
        return taken.rowcount == 1

    async def stands(self, key: str, posted: PostedMessage) -> None:
        """The message stands there."""
        where = {"channel": posted.channel, "message": posted.message, "thread": posted.thread}
        await self._put_down(key, where)

    async def in_doubt(self, key: str) -> None:
        """Nobody is posting the message any more, and nobody knows whether it stands."""
        await self._put_down(key, {})

    async def forget(self, key: str) -> None:
        """The message was refused; the next attempt is the first."""
        async with self._database.write() as connection:
            await connection.execute(
                delete(posts).where(posts.c.key == key, posts.c.message.is_(None))
            )

    async def _put_down(self, key: str, values: dict[str, str]) -> None:
        async with self._database.write() as connection:
            await connection.execute(
                update(posts).where(posts.c.key == key).values(begun_by=None, **values)
            )

    async def keys_in(self, place: Place, prefix: str) -> list[str]:
        """Keys of the messages in a thread, the one that it hangs on included, newest first."""
        query = (
            select(posts.c.key)
            .where(
                posts.c.channel == place.channel,
                or_(posts.c.message == place.thread, posts.c.thread == place.thread),
                posts.c.key.startswith(prefix, autoescape=True),
            )
            .order_by(posts.c.at.desc())
            .limit(20)
        )
        async with self._database.read() as connection:
            return list((await connection.execute(query)).scalars())
