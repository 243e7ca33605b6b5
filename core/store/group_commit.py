"""Group commit: what is to be written while a transaction is under way goes into the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from core.store.database import Database

I = TypeVar("I")  # noqa: E741 - item
O = TypeVar("O")  # noqa: E741 - outcome


@dataclass(frozen=True)
class _Batch(Generic[I, O]):
    items: list[I]
    outcomes: asyncio.Task[Sequence[O]]


class GroupCommit(Generic[I, O]):
    """Writes items together, in one transaction after the other.

    Args:
        write: writes some items; an outcome for each, in their order.
        most: items in one transaction.
    """

    def __init__(
        self,
        database: Database,
        write: Callable[[AsyncConnection, Sequence[I]], Awaitable[Sequence[O]]],
        most: int = 100,
    ) -> None:
        self._database = database
        self._write = write
        self._most = most
        self._open: _Batch[I, O] | None = None
        # One transaction at a time: what waits for it makes the next one larger.
        self._turn = asyncio.Lock()

    async def commit(self, item: I) -> O:
        """Write `item`; committed on return."""
        batch = self._open
        if batch is None or len(batch.items) >= self._most:
            items: list[I] = []
            batch = self._open = _Batch(items, asyncio.create_task(self._together(items)))
        batch.items.append(item)
        place = len(batch.items) - 1
        try:
            # The others of the batch are not cancelled with this one.
            return (await asyncio.shield(batch.outcomes))[place]
        except SQLAlchemyError:
            if len(batch.items) == 1:
                raise
            # An item that cannot be stored must not keep the others out.
            return (await self._together([item]))[0]

    async def _together(self, items: list[I]) -> Sequence[O]:
        try:
            async with self._turn, self._database.write() as connection:
                self._close(items)
                return await self._write(connection, items)
        finally:
            self._close(items)

    def _close(self, items: list[I]) -> None:
        if self._open is not None and self._open.items is items:
            self._open = None
