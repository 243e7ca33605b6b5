"""The processes that share one database: who is alive, and what happens when one is not.

Each start of a process is an incarnation with an id of its own. It says that it lives by a row
with the time of its last sign of life, on the database's clock. One that has said nothing for a
while is marked dead, once and for good; whatever it still does then counts for nothing, and it
ends itself as soon as it notices. On SQLite there is one process, which a lock on a file sees to.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Interval, delete, func, insert, literal, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from core.errors import ConfigurationError, CountersignError
from core.records import Frozen, Instant
from core.store.database import Database
from core.store.tables import replicas
from core.store.tables.base import UtcDateTime

_BEATS = 5  # signs of life in the time after which one is taken for dead
_AGAIN = timedelta(minutes=1)
_REMEMBERED = timedelta(days=1)
_log = logging.getLogger(__name__)


class ReplicaLostError(CountersignError):
    """The others take this process for dead; it must end, and whoever supervises it starts it."""


class ReplicaStatus(Frozen):
    """One process that is alive."""

    id: str
    name: str
    started_at: Instant
    seen_at: Instant


class Replica:
    """This process among those that share the database.

    Args:
        database: connections that nothing else uses, so that signs of life wait for nobody.
        name: what people call it; several processes may have the same.
        timeout: after so long without a sign of life a process is taken for dead.
    """

    def __init__(self, database: Database, name: str, timeout: timedelta) -> None:
        self.id = f"{name}-{secrets.token_hex(4)}"
        self.name = name
        self._database = database
        self._timeout = timeout
        self._seen = self._steady_since = 0.0

    @property
    def shares(self) -> bool:
        """Whether there may be others."""
        return not self._database.is_sqlite

    async def join(self) -> None:
        """Be alive from now on. On SQLite all others are dead: there is one process at a time."""
        now = self._now()
        async with self._database.write() as connection:
            if not self.shares:
                await connection.execute(
                    update(replicas).where(replicas.c.dead_at.is_(None)).values(dead_at=now)
                )
            await connection.execute(
                insert(replicas).values(id=self.id, name=self.name, started_at=now, seen_at=now)
            )
        self._seen = self._steady_since = time.monotonic()
        _log.info("this is replica %s", self.id)

    async def live(self) -> None:
        """Give signs of life, for ever; cancel to stop. On SQLite nobody needs them.

        Raises:
            ReplicaLostError: the others take this process for dead, or would now.
        """
        pause_s = self._timeout.total_seconds() / _BEATS
        while self.shares:
            await asyncio.sleep(pause_s)
            await self._beat(pause_s)

    async def leave(self) -> None:
        """Hand over: the others take up at once what this process has left.

        Also after it was buried: until it noticed, it may have begun something.
        """
        now = self._now()
        dead = {"name": self.name, "started_at": now, "seen_at": now, "dead_at": now}
        try:
            async with self._database.write() as connection:
                await connection.execute(delete(replicas).where(replicas.c.id == self.id))
                await connection.execute(insert(replicas).values(id=self.id, **dead))
        except (OSError, SQLAlchemyError) as error:
            _log.warning("the others take over without being told: %s", error)

    async def bury(self) -> list[str]:
        """Mark those dead that have given no sign of life for too long.

        A process judges nobody before it has lived undisturbed for that long itself: after the
        database was away, everybody has been silent.

        Returns:
            Ids of the dead whose work is to be taken over. Each comes again and again for a day:
            it may not have known that it was dead, and have begun something more.
        """
        async with self._database.write() as connection:
            if self._may_judge:
                silent = replicas.c.seen_at < self._ago(self._timeout)
                lost = await connection.execute(
                    update(replicas)
                    .where(silent, replicas.c.dead_at.is_(None), replicas.c.id != self.id)
                    .values(dead_at=self._now())
                    .returning(replicas.c.id)
                )
                for id_ in lost.scalars():
                    _log.warning("replica %s is dead; its work is taken over", id_)
            not_yet = replicas.c.taken_at.is_(None)
            long_ago = replicas.c.taken_at < self._ago(_AGAIN)
            dead = select(replicas.c.id).where(
                replicas.c.dead_at.is_not(None), or_(not_yet, long_ago)
            )
            return list((await connection.execute(dead)).scalars())

    async def taken_over(self, dead: list[str]) -> None:
        """All that these have left has been taken over by now."""
        async with self._database.write() as connection:
            await connection.execute(
                update(replicas)
                .where(replicas.c.id.in_(dead), replicas.c.dead_at.is_not(None))
                .values(taken_at=self._now())
            )
            await connection.execute(
                delete(replicas).where(replicas.c.dead_at < self._ago(_REMEMBERED))
            )

    async def alive(self) -> list[ReplicaStatus]:
        """Everybody who is alive, in the order of their starts."""
        columns = (replicas.c[name] for name in ReplicaStatus.model_fields)
        alive = select(*columns).where(replicas.c.dead_at.is_(None))
        async with self._database.read() as connection:
            rows = (await connection.execute(alive.order_by(replicas.c.started_at))).all()
        return [ReplicaStatus.model_validate(dict(row._mapping)) for row in rows]

    async def _beat(self, pause_s: float) -> None:
        """One sign of life; where none comes through in time, the others take us for dead."""
        deadline = asyncio.get_running_loop().time() + self._left_s()
        try:
            async with asyncio.timeout_at(deadline), self._database.write() as connection:
                beaten = await connection.execute(
                    update(replicas)
                    .where(replicas.c.id == self.id, replicas.c.dead_at.is_(None))
                    .values(seen_at=self._now())
                )
        except TimeoutError as error:
            raise ReplicaLostError(
                f"Replica {self.id} could not reach the database for "
                f"{self._timeout.total_seconds():g} s, so another has taken over its work."
            ) from error
        if beaten.rowcount == 0:
            raise ReplicaLostError(
                f"Replica {self.id} gave no sign of life for "
                f"{self._timeout.total_seconds():g} s, and another has taken over its work. Is "
                "this machine overloaded, or was it suspended? COUNTERSIGN_REPLICA_TIMEOUT is "
                "how long the others wait."
            )
        now = time.monotonic()
        if now - self._seen > 2 * pause_s:
            self._steady_since = now
        self._seen = now

    def _left_s(self) -> float:
        return max(0.0, self._seen + self._timeout.total_seconds() - time.monotonic())

    @property
    def _may_judge(self) -> bool:
        steady_s = time.monotonic() - self._steady_since
        return self.shares and steady_s > self._timeout.total_seconds()

    def _now(self) -> ColumnElement[datetime]:
        """The database's clock: those of several machines differ."""
        if self._database.is_sqlite:
            return literal(datetime.now(UTC), UtcDateTime())
        return func.clock_timestamp(type_=UtcDateTime())

    def _ago(self, time_: timedelta) -> ColumnElement[datetime]:
        if self._database.is_sqlite:
            return literal(datetime.now(UTC) - time_, UtcDateTime())
        return self._now() - literal(time_, Interval())


def living() -> Any:
    """A subquery: the ids of those who are alive."""
    return select(replicas.c.id).where(replicas.c.dead_at.is_(None))


@contextmanager
def only_process(database: Database) -> Iterator[None]:
    """On SQLite, keep a second process from working on the same file, as long as this lasts.

    The system takes the lock back when the process ends, however it ends.

    Raises:
        ConfigurationError: another process works on it.
    """
    if not database.is_sqlite or not database.url.database:
        yield
        return
    path = Path(f"{database.url.database}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(
                f"Another Countersign works on {database.url.database}. Stop it, give this one a "
                "COUNTERSIGN_HOME of its own, or let both share PostgreSQL "
                "(COUNTERSIGN_DATABASE_URL)."
            ) from error
        yield
