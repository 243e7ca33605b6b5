"""What other runs have done and hold, for guardrails with a memory."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select

from core.store.database import Database
from core.store.tables import run_locks, run_targets, runs
from core.workflows.guardrails.base import Begun

_MOST = 1000  # no rate allows more


class OtherRuns:
    """Questions about all runs but one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begun(
        self, but: str, since: datetime, workflow: str | None = None, target: str | None = None
    ) -> list[Begun]:
        """The newest thousand runs that have begun after `since`, oldest first.

        Args:
            but: id of the run that asks.
            workflow: only runs of this one.
            target: only runs that touch this.
        """
        query = (
            select(runs.c.id, runs.c.begun_at)
            .where(runs.c.begun_at > since, runs.c.id != but)
            .order_by(runs.c.begun_at.desc(), runs.c.id)
            .limit(_MOST)
        )
        if workflow is not None:
            query = query.where(runs.c.workflow == workflow)
        if target is not None:
            touching = select(run_targets.c.run_id).where(run_targets.c.target == target)
            query = query.where(runs.c.id.in_(touching))
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [Begun(run_id=row.id, at=row.begun_at) for row in reversed(rows)]

    async def lock_holder(self, but: str, name: str) -> str | None:
        """The id of the run that holds this lock, unless it is `but`."""
        query = select(run_locks.c.run_id).where(run_locks.c.name == name)
        async with self._database.read() as connection:
            holder: str | None = (await connection.execute(query)).scalar_one_or_none()
        return None if holder == but else holder
