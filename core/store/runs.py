"""Runs on our tables. Every change of state is one conditional UPDATE with its audit entry."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from pydantic import JsonValue
from sqlalchemy import Select, delete, false, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import InvalidRequestError, NotFoundError
from core.records import storable_text
from core.security.audit import AuditLog
from core.store.database import Database
from core.store.progress import Move, at_work_now
from core.store.run_rows import (
    UnreadableRunError,
    load,
    progress,
    signature_columns,
    step_columns,
)
from core.store.run_writer import RunWriter
from core.store.starts import Start, Started
from core.store.tables import run_locks, run_steps, run_targets, runs, signatures
from core.workflows.run import Run, RunState, StepProgress, StepState
from core.workflows.signatures import Signature

__all__ = ["Move", "RunStore", "Start", "Started", "UnreadableRunError"]

_CLAIMABLE = (RunState.RUNNING, RunState.ATTENTION)
_log = logging.getLogger(__name__)


class RunStore:
    """Reads and changes runs."""

    def __init__(self, database: Database, audit: AuditLog) -> None:
        self._database = database
        self._audit = audit
        self._writer = RunWriter(database, audit)

    async def create(self, run: Run) -> bool:
        """Save a new run; False where its id is taken, and then nothing is changed."""
        return await self._writer.create(run)

    async def begin(self, start: Start) -> Started:
        """Let an APPROVED run begin, with the locks and the places that it takes."""
        return await self._writer.begin(start)

    async def save(self, move: Move) -> RunState | None:
        """Write what a segment has done; None where another one has claimed the run."""
        return await self._writer.save(move)

    async def get(self, run_id: str) -> Run:
        """One run with its signatures and steps.

        Raises:
            NotFoundError: there is none with this id.
            UnreadableRunError: it is there, and its plan cannot be read.
        """
        async with self._database.read() as connection:
            row = (await connection.execute(select(runs).where(runs.c.id == run_id))).one_or_none()
            if row is None:
                raise NotFoundError(f"There is no run '{run_id}'. `runs` lists them.")
            return await load(connection, row)

    async def exists(self, run_id: str) -> bool:
        """Whether there is a run with this id."""
        query = select(runs.c.id).where(runs.c.id == run_id)
        async with self._database.read() as connection:
            return (await connection.execute(query)).one_or_none() is not None

    async def find(self, prefix: str) -> Run:
        """The run whose id is or begins with `prefix` (at least 4 characters).

        Raises:
            NotFoundError: there is none, or more than one.
        """
        query = select(runs.c.id).where(runs.c.id.startswith(prefix, autoescape=True)).limit(2)
        async with self._database.read() as connection:
            ids = list((await connection.execute(query)).scalars())
        if len(prefix) < 4 or not ids:
            raise NotFoundError(f"There is no run '{prefix}'. `runs` lists them.")
        if len(ids) > 1 and prefix not in ids:
            raise NotFoundError(f"More than one run begins with '{prefix}'; give more of its id.")
        return await self.get(prefix if prefix in ids else ids[0])

    async def latest(
        self,
        limit: int,
        states: Collection[RunState] = (),
        workflow: str | None = None,
        *,
        requester: str | None = None,
        target: str | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
    ) -> list[Run]:
        """The newest runs first, at most `limit`.

        Args:
            target: of runs that have begun.
            since: asked for then or later; `before`: asked for earlier, for the next page.
        """
        query = select(runs).order_by(runs.c.created_at.desc()).limit(limit)
        if states:
            query = query.where(runs.c.state.in_([str(state) for state in states]))
        if workflow is not None:
            query = query.where(runs.c.workflow == workflow)
        if requester is not None:
            query = query.where(runs.c.requester == requester)
        if target is not None:
            touching = select(run_targets.c.run_id).where(run_targets.c.target == target)
            query = query.where(runs.c.id.in_(touching))
        if since is not None:
            query = query.where(runs.c.created_at >= since)
        if before is not None:
            query = query.where(runs.c.created_at < before)
        return await self._all(query)

    async def unfinished(self, states: Collection[RunState]) -> list[str]:
        """Ids of all runs in one of `states`, oldest first."""
        query = (
            select(runs.c.id)
            .where(runs.c.state.in_([str(state) for state in states]))
            .order_by(runs.c.created_at)
        )
        async with self._database.read() as connection:
            return list((await connection.execute(query)).scalars())

    async def under_way(self) -> list[tuple[str, int]]:
        """Id and generation of each run that the engine should have, oldest first."""
        query = (
            select(runs.c.id, runs.c.generation)
            .where(runs.c.state.in_([str(RunState.APPROVED), str(RunState.RUNNING)]))
            .order_by(runs.c.created_at)
        )
        async with self._database.read() as connection:
            return [(row.id, row.generation) for row in await connection.execute(query)]

    async def overdue(self, now: datetime) -> list[tuple[str, int]]:
        """Run and position of each step of a run that has begun whose time is over."""
        query = (
            select(run_steps.c.run_id, run_steps.c.position)
            .join(runs, runs.c.id == run_steps.c.run_id)
            .where(
                runs.c.state.in_([str(state) for state in _CLAIMABLE]),
                run_steps.c.state == str(StepState.WAITING),
                run_steps.c.due_at <= now,
            )
        )
        async with self._database.read() as connection:
            return [(row.run_id, row.position) for row in await connection.execute(query)]

    async def ended_with_locks(self) -> list[tuple[str, int]]:
        """Id and generation of each run that has ended and holds a lock."""
        query = (
            select(runs.c.id, runs.c.generation)
            .where(
                runs.c.id.in_(select(run_locks.c.run_id)),
                runs.c.state.in_([str(state) for state in RunState if state.final]),
            )
            .order_by(runs.c.created_at)
        )
        async with self._database.read() as connection:
            return [(row.id, row.generation) for row in await connection.execute(query)]

    async def release(self, run_id: str) -> None:
        """Give back the locks of a run that has ended, and that nobody carries out any more."""
        ended = select(runs.c.id).where(
            runs.c.id == run_id,
            runs.c.state.in_([str(state) for state in RunState if state.final]),
        )
        async with self._database.write() as connection:
            await connection.execute(delete(run_locks).where(run_locks.c.run_id.in_(ended)))

    async def look(self, run_id: str, position: int) -> tuple[RunState, int, StepProgress]:
        """The run's state and epoch, and how one of its steps stands."""
        query = (
            select(runs.c.state.label("run_state"), runs.c.epoch, run_steps)
            .join(run_steps, run_steps.c.run_id == runs.c.id)
            .where(runs.c.id == run_id, run_steps.c.position == position)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one()
        return RunState(row.run_state), row.epoch, progress(row)

    async def states_since(self, since: datetime) -> list[RunState]:
        """The state of each run that was asked for since then."""
        query = select(runs.c.state).where(runs.c.created_at >= since)
        async with self._database.read() as connection:
            return [RunState(state) for state in (await connection.execute(query)).scalars()]

    async def sign(self, run: Run, signature: Signature) -> None:
        """Add a countersignature.

        Raises:
            InvalidRequestError: the run is no longer awaiting any, or the person has signed.
        """
        async with self._database.write() as connection:
            moved = await self._bump(connection, run.id, {RunState.AWAITING}, {})
            if not moved:
                raise InvalidRequestError("This run no longer waits for countersignatures.")
            try:
                await connection.execute(
                    insert(signatures).values(signature_columns(run.id, signature))
                )
            except IntegrityError as error:
                raise InvalidRequestError("You have signed this run already.") from error
            details: dict[str, JsonValue] = {
                "digest": signature.digest,
                "comment": signature.comment,
            }
            if signature.on_behalf is not None:
                details["on_behalf"] = signature.on_behalf
            await self._audit.append(
                connection, signature.user, f"run.{signature.decision}", run.id, details
            )

    async def transition(
        self,
        run_id: str,
        before: Collection[RunState],
        after: RunState,
        actor: str,
        reason: str = "",
        details: dict[str, JsonValue] | None = None,
    ) -> bool:
        """Move a run on, once: False where it is in none of the states `before`.

        One that is cancelled while a step runs keeps its locks until the step has come to its end.
        """
        async with self._database.write() as connection:
            moved = await self._bump(
                connection,
                run_id,
                before,
                {"state": str(after), "reason": storable_text(reason)[:2000]},
            )
            if moved:
                if after.final:
                    at_work = at_work_now() if after is RunState.CANCELLED else false()
                    await connection.execute(
                        delete(run_locks).where(run_locks.c.run_id == run_id, ~at_work)
                    )
                await self._audit.append(
                    connection, actor, f"run.{after}", run_id, {"reason": reason, **(details or {})}
                )
        return moved

    async def claim(self, run_id: str, generation: int) -> tuple[Run, int] | None:
        """Claim a run that has begun: from now on only its new epoch may write.

        Returns:
            The run and the epoch; None where it waits, has ended, or has a newer generation.
        """
        async with self._database.write() as connection:
            claimed = await connection.execute(
                update(runs)
                .where(
                    runs.c.id == run_id,
                    runs.c.generation == generation,
                    runs.c.state == str(RunState.RUNNING),
                )
                .values(epoch=runs.c.epoch + 1)
                .returning(runs)
            )
            row = claimed.one_or_none()
            return None if row is None else (await load(connection, row), row.epoch)

    async def postpone(self, run_id: str, generation: int, reason: str) -> bool:
        """Note why an approved run cannot begin yet; the engine gets it again as a new
        generation."""
        async with self._database.write() as connection:
            changed = await connection.execute(
                update(runs)
                .where(
                    runs.c.id == run_id,
                    runs.c.generation == generation,
                    runs.c.state == str(RunState.APPROVED),
                )
                .values(
                    generation=generation + 1,
                    version=runs.c.version + (runs.c.reason != reason).cast(runs.c.version.type),
                    reason=storable_text(reason)[:2000],
                )
            )
        return changed.rowcount == 1

    async def renew(self, run_id: str, generation: int) -> None:
        """Make a run that is under way a new generation for the engine; nothing where it is one."""
        async with self._database.write() as connection:
            await connection.execute(
                update(runs)
                .where(
                    runs.c.id == run_id,
                    runs.c.generation == generation,
                    runs.c.state.in_([str(RunState.APPROVED), str(RunState.RUNNING)]),
                )
                .values(generation=generation + 1)
            )

    async def answer(
        self,
        run_id: str,
        before: RunState,
        steps: Mapping[int, tuple[StepState, StepProgress]],
        actor: str,
        action: str,
        reason: str = "",
        after: RunState = RunState.RUNNING,
    ) -> int | None:
        """Save what a person said of steps, and let the run go on.

        Args:
            before: the run's state; a RUNNING one stays with whoever carries it out, others
                become a new generation for the engine.
            steps: by position: the state in which each is now, and how it stands then.

        Returns:
            The run's generation; None where the run or a step is in another state.
        """
        async with self._database.write() as connection:
            moved = await connection.execute(
                update(runs)
                .where(runs.c.id == run_id, runs.c.state == str(before))
                .values(
                    state=str(after),
                    reason="",
                    generation=runs.c.generation + (0 if before is RunState.RUNNING else 1),
                    version=runs.c.version + 1,
                    updated_at=datetime.now(UTC),
                )
                .returning(runs.c.generation)
            )
            generation: int | None = moved.scalar_one_or_none()
            for position, (expected, step) in steps.items():
                changed = await connection.execute(
                    update(run_steps)
                    .where(
                        run_steps.c.run_id == run_id,
                        run_steps.c.position == position,
                        run_steps.c.state == str(expected),
                    )
                    .values(step_columns(step))
                )
                if generation is None or changed.rowcount != 1:
                    await connection.rollback()
                    return None
            for step_id in sorted(step.step_id for _, step in steps.values()):
                await self._audit.append(
                    connection, actor, action, f"{run_id}/{step_id}", {"reason": reason}
                )
        return generation

    async def _all(self, query: Select[tuple[object, ...]]) -> list[Run]:
        """The runs that a query finds, without those that cannot be read."""
        found = []
        async with self._database.read() as connection:
            for row in (await connection.execute(query)).all():
                try:
                    found.append(await load(connection, row))
                except UnreadableRunError as error:
                    _log.warning("left out of a list: %s", error)
        return found

    @staticmethod
    async def _bump(
        connection: AsyncConnection,
        run_id: str,
        before: Collection[RunState],
        values: dict[str, JsonValue],
    ) -> bool:
        changed = await connection.execute(
            update(runs)
            .where(runs.c.id == run_id, runs.c.state.in_([str(state) for state in before]))
            .values(version=runs.c.version + 1, updated_at=datetime.now(UTC), **values)
        )
        return changed.rowcount == 1
