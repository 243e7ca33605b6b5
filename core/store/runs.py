"""Runs on our tables. Every change of state is one conditional UPDATE with its audit entry."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import UTC, datetime

from pydantic import JsonValue, ValidationError
from sqlalchemy import Row, Select, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import CountersignError, InvalidRequestError, NotFoundError
from core.records import Place, storable_text
from core.security.audit import AuditLog
from core.store.database import Database
from core.store.tables import run_steps, runs, signatures
from core.workflows.plan import Plan
from core.workflows.run import Run, RunState, StepProgress, StepState
from core.workflows.signatures import Signature

_log = logging.getLogger(__name__)


class UnreadableRunError(CountersignError):
    """The stored plan of a run is not one: it was altered, or another version wrote it."""


class RunStore:
    """Reads and changes runs."""

    def __init__(self, database: Database, audit: AuditLog) -> None:
        self._database = database
        self._audit = audit

    async def create(self, run: Run) -> bool:
        """Save a new run; False where its id is taken, and then nothing is changed."""
        try:
            async with self._database.write() as connection:
                await connection.execute(insert(runs).values(_columns(run)))
                await connection.execute(
                    insert(run_steps),
                    [
                        {"run_id": run.id, "position": position} | _step_columns(step)
                        for position, step in enumerate(run.steps)
                    ],
                )
                await self._audit.append(
                    connection,
                    run.requester,
                    "run.requested",
                    run.id,
                    {"workflow": run.plan.workflow, "digest": run.digest, "origin": run.origin},
                )
        except IntegrityError:
            return False
        return True

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
            return await _load(connection, row)

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
        self, limit: int, states: Collection[RunState] = (), workflow: str | None = None
    ) -> list[Run]:
        """The newest runs first, at most `limit`."""
        query = select(runs).order_by(runs.c.created_at.desc()).limit(limit)
        if states:
            query = query.where(runs.c.state.in_([str(state) for state in states]))
        if workflow is not None:
            query = query.where(runs.c.workflow == workflow)
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

    async def states_since(self, since: datetime) -> list[RunState]:
        """The state of each run that was asked for since then."""
        query = select(runs.c.state).where(runs.c.created_at >= since)
        async with self._database.read() as connection:
            return [RunState(state) for state in (await connection.execute(query)).scalars()]

    async def not_shown(self) -> list[str]:
        """Ids of runs whose message does not say what is so now."""
        query = select(runs.c.id).where(runs.c.shown_version < runs.c.version)
        async with self._database.read() as connection:
            return list((await connection.execute(query)).scalars())

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
                    insert(signatures).values(run_id=run.id, **signature.model_dump(exclude={"on_behalf"}))
                )
            except IntegrityError as error:
                raise InvalidRequestError("You have signed this run already.") from error
            await self._audit.append(
                connection,
                signature.user,
                f"run.{signature.decision}",
                run.id,
                {"digest": signature.digest, "comment": signature.comment},
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
        """Move a run on, once: False where it is in none of the states `before`."""
        async with self._database.write() as connection:
            moved = await self._bump(
                connection,
                run_id,
                before,
                {"state": str(after), "reason": storable_text(reason)[:2000]},
            )
            if moved:
                await self._audit.append(
                    connection, actor, f"run.{after}", run_id, {"reason": reason, **(details or {})}
                )
        return moved

    async def begin_step(self, run_id: str, position: int) -> StepProgress:
        """Note that the step is about to have its effect, and return how it stood before.

        Committed on return: after a crash the next attempt sees that this one was started.
        """
        where = (run_steps.c.run_id == run_id) & (run_steps.c.position == position)
        async with self._database.write() as connection:
            before = _step((await connection.execute(select(run_steps).where(where))).one())
            if before.state not in {StepState.SUCCEEDED, StepState.FAILED}:
                await connection.execute(
                    update(run_steps)
                    .where(where)
                    .values(
                        state=str(StepState.RUNNING),
                        attempts=before.attempts + 1,
                        started_at=datetime.now(UTC),
                    )
                )
                await self._bump(connection, run_id, set(RunState), {})
        return before

    async def set_step(
        self, run_id: str, position: int, step: StepProgress, actor: str, audited: bool = True
    ) -> None:
        """Save how a step stands now."""
        async with self._database.write() as connection:
            await connection.execute(
                update(run_steps)
                .where(run_steps.c.run_id == run_id, run_steps.c.position == position)
                .values(_step_columns(step))
            )
            await self._bump(connection, run_id, set(RunState), {})
            if audited:
                await self._audit.append(
                    connection,
                    actor,
                    f"step.{step.state}",
                    f"{run_id}/{step.step_id}",
                    {"summary": step.summary, "attempts": step.attempts},
                )

    async def shown(self, run_id: str, version: int, place: Place, message: str) -> None:
        """The run's message stands at `message` in `place` and says what was so at `version`."""
        async with self._database.write() as connection:
            await connection.execute(
                update(runs)
                .where(runs.c.id == run_id, runs.c.shown_version < version)
                .values(
                    shown_version=version,
                    message=message,
                    channel=place.channel,
                    thread=place.thread,
                )
            )

    async def not_showable(self, run_id: str) -> None:
        """The run as it is now cannot be shown; it is tried again after its next change."""
        async with self._database.write() as connection:
            await connection.execute(
                update(runs).where(runs.c.id == run_id).values(shown_version=runs.c.version)
            )

    async def _all(self, query: Select[tuple[object, ...]]) -> list[Run]:
        """The runs that a query finds, without those that cannot be read."""
        found = []
        async with self._database.read() as connection:
            for row in (await connection.execute(query)).all():
                try:
                    found.append(await _load(connection, row))
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


async def _load(connection: AsyncConnection, row: Row[tuple[object, ...]]) -> Run:
    signed = await connection.execute(
        select(signatures).where(signatures.c.run_id == row.id).order_by(signatures.c.at)
    )
    steps = await connection.execute(
        select(run_steps).where(run_steps.c.run_id == row.id).order_by(run_steps.c.position)
    )
    try:
        plan = Plan.model_validate(row.plan)
    except ValidationError as error:
        raise UnreadableRunError(
            f"The plan of run {row.id} cannot be read (it was altered, or another version of "
            "Countersign wrote it): ask for the run again."
        ) from error
    return Run(
        id=row.id,
        plan=plan,
        digest=row.digest,
        state=RunState(row.state),
        requester=row.requester,
        origin=row.origin,
        place=Place(channel=row.channel, thread=row.thread),
        message=row.message,
        created_at=row.created_at,
        updated_at=row.updated_at,
        version=row.version,
        reason=row.reason,
        signatures=tuple(
            Signature(user=s.user, digest=s.digest, decision=s.decision, comment=s.comment, at=s.at)
            for s in signed
        ),
        steps=tuple(_step(step) for step in steps),
    )


def _columns(run: Run) -> dict[str, object]:
    return {
        "id": run.id,
        "workflow": run.plan.workflow,
        "plan": run.plan.model_dump(mode="json", by_alias=True),
        "digest": run.digest,
        "state": str(run.state),
        "requester": run.requester,
        "origin": run.origin[:300],
        "channel": run.place.channel,
        "thread": run.place.thread,
        "message": run.message,
        "created_at": run.created_at,
        "updated_at": run.updated_at,
        "expires_at": run.expires_at,
        "version": run.version,
        "shown_version": run.version - 1,
        "reason": run.reason,
    }


def _step(row: Row[tuple[object, ...]]) -> StepProgress:
    return StepProgress(
        step_id=row.step_id,
        state=StepState(row.state),
        attempts=row.attempts,
        started_at=row.started_at,
        finished_at=row.finished_at,
        summary=row.summary,
        output=row.output,
        values=row.output_values,
        link=row.link,
    )


def _step_columns(step: StepProgress) -> dict[str, object]:
    columns = step.model_dump(exclude={"values", "due_at", "by"})
    return columns | {"state": str(step.state), "output_values": step.values}
