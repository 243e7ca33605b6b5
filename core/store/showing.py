"""Which runs' messages are behind, and who brings them up to date: one replica at a time.

A message is updated by whoever holds its run's claim, so that an older version can never be
written over a newer one. A claim ends when the message stands, or with the one who holds it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import case, or_, select, update

from core.records import Place
from core.replicas import living
from core.store.database import Database
from core.store.tables import runs


class Showing:
    """Claims on the table `runs`.

    Args:
        holder: id of this replica.
    """

    def __init__(self, database: Database, holder: str = "local") -> None:
        self._database = database
        self._holder = holder

    async def claim(self, limit: int) -> list[str]:
        """Claim up to `limit` runs whose message does not say what is so now, oldest first."""
        now = datetime.now(UTC)
        behind = (
            select(runs.c.id)
            .where(
                runs.c.shown_version < runs.c.version,
                runs.c.shown_by.is_(None),
                or_(runs.c.show_after.is_(None), runs.c.show_after <= now),
            )
            .order_by(runs.c.created_at)
            .limit(limit)
        )
        async with self._database.read() as connection:
            if (await connection.execute(behind)).first() is None:
                return []  # most of the time, and then nobody has to wait for a write
        async with self._database.write() as connection:
            unclaimed = behind.with_for_update(skip_locked=True)  # nothing to SQLite
            ids = list((await connection.execute(unclaimed)).scalars())
            await connection.execute(
                update(runs).where(runs.c.id.in_(ids)).values(shown_by=self._holder)
            )
        return ids

    async def shown(self, run_id: str, version: int, place: Place, message: str) -> None:
        """The run's message stands at `message` in `place` and says what was so at `version`.

        Where the claim was lost in between, another may have shown something newer before: then
        the run counts as behind, and is shown again.
        """
        ours = runs.c.shown_by == self._holder
        async with self._database.write() as connection:
            await connection.execute(
                update(runs)
                .where(runs.c.id == run_id)
                .values(
                    shown_version=case((ours, version), else_=0),
                    shown_by=case((ours, None), else_=runs.c.shown_by),
                    show_after=None,
                    message=message,
                    channel=place.channel,
                    thread=place.thread,
                )
            )

    async def in_doubt(self, run_id: str) -> None:
        """This replica ends while it updates the message, which may come through all the same,
        over something newer that another has shown: it is shown again."""
        ours = runs.c.shown_by == self._holder
        async with self._database.write() as connection:
            await connection.execute(
                update(runs)
                .where(runs.c.id == run_id)
                .values(shown_version=0, shown_by=case((ours, None), else_=runs.c.shown_by))
            )

    async def release(self, run_id: str, delay: timedelta) -> None:
        """It could not be shown now; whoever comes first tries again after `delay`."""
        async with self._database.write() as connection:
            await connection.execute(
                update(runs)
                .where(runs.c.id == run_id, runs.c.shown_by == self._holder)
                .values(shown_by=None, show_after=datetime.now(UTC) + delay)
            )

    async def not_showable(self, run_id: str) -> None:
        """The run as it is now cannot be shown; it is tried again after its next change."""
        async with self._database.write() as connection:
            await connection.execute(
                update(runs)
                .where(runs.c.id == run_id, runs.c.shown_by == self._holder)
                .values(shown_version=runs.c.version, shown_by=None)
            )

    async def release_dead(self) -> None:
        """End the claims of those who are not alive any more."""
        async with self._database.write() as connection:
            await connection.execute(
                update(runs)
                .where(runs.c.shown_by.is_not(None), runs.c.shown_by.not_in(living()))
                .values(shown_by=None, show_after=None)
            )
