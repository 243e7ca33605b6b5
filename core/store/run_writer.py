"""Writes of runs that come often: new ones, beginnings, progress. Many share a transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from sqlalchemy.ext.asyncio import AsyncConnection

from core.security.audit import AuditLog, Entry
from core.store.database import Database
from core.store.group_commit import GroupCommit
from core.store.progress import Move, Progress
from core.store.starts import Start, Started, Starts
from core.workflows.run import Run, RunState

Writer = Callable[[AsyncConnection, Sequence[Any], list[Entry]], Awaitable[Sequence[object]]]


class RunWriter:
    """Puts what is written at the same time into one transaction, with its audit entries."""

    def __init__(self, database: Database, audit: AuditLog) -> None:
        starts, progress = Starts(database), Progress()
        self._audit = audit
        self._writers: dict[type, Writer] = {
            Run: starts.create,
            Start: starts.begin,
            Move: progress.write,
        }
        self._group = GroupCommit[Run | Start | Move, object](database, self._write)

    async def create(self, run: Run) -> bool:
        """Save a new run; False where its id is taken, and then nothing is changed."""
        return cast("bool", await self._group.commit(run))

    async def begin(self, start: Start) -> Started:
        """Let an APPROVED run begin, with all that it takes, or not at all."""
        return cast("Started", await self._group.commit(start))

    async def save(self, move: Move) -> RunState | None:
        """Write what a segment has done.

        Returns:
            The run's state: RUNNING where everything asked for was written and it goes on. None:
            another segment has claimed the run, and nothing was written.
        """
        return cast("RunState | None", await self._group.commit(move))

    async def _write(
        self, connection: AsyncConnection, items: Sequence[Run | Start | Move]
    ) -> Sequence[object]:
        outcomes: dict[int, object] = {}
        entries: list[Entry] = []
        for kind, write in self._writers.items():
            places = [place for place, item in enumerate(items) if isinstance(item, kind)]
            if places:
                done = await write(connection, [items[place] for place in places], entries)
                outcomes.update(zip(places, done, strict=True))
        await self._audit.append_all(connection, entries)
        return [outcomes[place] for place in range(len(items))]
