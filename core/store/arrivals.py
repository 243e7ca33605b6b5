"""Group commit: what comes in while a transaction is written goes into the next one together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

from sqlalchemy.exc import SQLAlchemyError

from core.store.arrival import Arrival, Key, insert_postgresql, insert_sqlite
from core.store.checkpoints import Checkpoints
from core.store.database import Database, unreachable
from core.store.statements import Statements, statements

_MOST = 200
_MOST_BYTES = 8 * 1024 * 1024
_LEAST_HALF = 32
_Waiting = tuple[Arrival, "asyncio.Future[bool]"]


class Arrivals:
    """Inserts deliveries. Their senders wait for it, so it goes before other writes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = insert_sqlite if database.is_sqlite else insert_postgresql
        self._checkpoints = Checkpoints(database)
        self._waiting: deque[_Waiting] = deque()
        self._writer: asyncio.Task[None] | None = None

    async def keep(self, arrival: Arrival) -> bool:
        """Insert, also in place of one that has failed; False where (`source`, `key`) is there
        already. Committed on return.

        Raises:
            SQLAlchemyError: it could not be stored.
        """
        outcome: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((arrival, outcome))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        # Whoever stops waiting takes nobody along: the group is written by a task of its own.
        return await outcome

    async def _write(self) -> None:
        """Write one group after the other until nothing waits."""
        try:
            while self._waiting:
                await self._write_connected()
        finally:
            self._writer = None
            while self._waiting:  # only where this task was cancelled
                self._waiting.popleft()[1].cancel()

    async def _write_connected(self) -> None:
        """Write groups over one connection, as long as it lasts."""
        try:
            async with statements(self._database) as connection:
                while self._waiting and not connection.lost:
                    async with self._database.turn(passing=True):
                        await self._write_group(connection)
        except SQLAlchemyError as error:  # there is no connection, for nobody
            waiting, self._waiting = self._waiting, deque()
            _fail(waiting, error)

    async def _write_group(self, connection: Statements) -> None:
        group = self._take()
        try:
            first: dict[Key, Arrival] = {}
            for arrival, _ in group:
                first.setdefault((arrival.source, arrival.key), arrival)
            new = await self._insert(connection, list(first.values()))
        except SQLAlchemyError as error:
            if len(group) == 1 or unreachable(error):
                _fail(group, error)
            else:
                # An arrival that cannot be stored must not keep the others out.
                for alone in group:
                    await self._write_alone(connection, alone)
        except BaseException:
            for _, outcome in group:
                outcome.cancel()
            raise
        else:
            _settle(group, new)
            self._checkpoints.wrote(sum(len(arrival.body) for arrival, _ in group))

    async def _write_alone(self, connection: Statements, waiting: _Waiting) -> None:
        try:
            new = await self._insert(connection, [waiting[0]])
        except SQLAlchemyError as error:
            _fail([waiting], error)
        else:
            _settle([waiting], new)

    def _take(self) -> list[_Waiting]:
        """What goes into one transaction: at least one arrival.

        On SQLite half of many, since its thread writes beside the event loop: one half is answered
        and comes again while the other is written. All at once would all wait at once.
        """
        most = _MOST
        if self._database.is_sqlite:
            most = min(_MOST, max(_LEAST_HALF, len(self._waiting) // 2))
        group: list[_Waiting] = []
        size = 0
        while self._waiting and len(group) < most and size < _MOST_BYTES:
            group.append(self._waiting.popleft())
            size += len(group[-1][0].body)
        return group


def _settle(group: Sequence[_Waiting], new: set[Key]) -> None:
    for arrival, outcome in group:
        key = (arrival.source, arrival.key)
        if not outcome.done():
            outcome.set_result(key in new)
        new.discard(key)  # the same key again in the group is a duplicate


def _fail(group: Iterable[_Waiting], error: SQLAlchemyError) -> None:
    for _, outcome in group:
        if not outcome.done():
            outcome.set_exception(error)
