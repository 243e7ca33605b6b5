"""How a run comes into being, and how it begins: with all that it takes, or not at all."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import bindparam, func, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from core.security.audit import Entry
from core.store.database import Database
from core.store.progress import ENGINE
from core.store.run_rows import run_columns, step_columns
from core.store.tables import run_locks, run_steps, run_targets, runs
from core.workflows.guardrails.base import Claims, GuardrailResult, Rate
from core.workflows.run import Run, RunState

_CLAIMS = 0x72617465  # advisory lock of beginnings that take something, on PostgreSQL
_BEGIN = (
    update(runs)
    .where(runs.c.id == bindparam("run"))
    .values(
        state=str(RunState.RUNNING),
        reason="",
        begun_at=bindparam("now"),
        guardrails=bindparam("results"),
        epoch=runs.c.epoch + 1,
        version=runs.c.version + 1,
        updated_at=bindparam("now"),
    )
)


@dataclass(frozen=True)
class Start:
    """A run that is to begin, with what it takes.

    Attributes:
        guardrails: how they stand; from now on the run shows them so.
    """

    run_id: str
    digest: str
    targets: tuple[str, ...]
    claims: Claims
    guardrails: tuple[GuardrailResult, ...] = ()


@dataclass(frozen=True)
class Started:
    """How it went.

    Attributes:
        epoch: under which the run may be carried out; None where it did not begin.
        conflict: what was taken already; it may be tried again later.
    """

    epoch: int | None = None
    conflict: str = ""


class Starts:
    """Writes new runs and beginnings, many together."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = sqlite.insert if database.is_sqlite else postgresql.insert
        # A run that is tried again has noted its targets before.
        self._note_targets = dialect(run_targets).on_conflict_do_nothing()
        self._insert = dialect(runs).on_conflict_do_nothing().returning(runs.c.id)

    async def create(
        self, connection: AsyncConnection, asked: Sequence[Run], entries: list[Entry]
    ) -> Sequence[bool]:
        """Save new runs, and add their audit entries; see `RunWriter.create`."""
        unique = {run.id: run for run in reversed(asked)}
        rows = [run_columns(run) for run in unique.values()]
        made = set((await connection.execute(self._insert, rows)).scalars())
        new = [unique[run_id] for run_id in unique if run_id in made]
        steps = [
            {"run_id": run.id, "position": position, **step_columns(step)}
            for run in new
            for position, step in enumerate(run.steps)
        ]
        if steps:
            await connection.execute(insert(run_steps), steps)
        entries += [entry for run in new for entry in _requested(run)]
        return [self._first(run.id, made) for run in asked]

    @staticmethod
    def _first(run_id: str, made: set[str]) -> bool:
        """Of several who make the same run, the first has made it."""
        first = run_id in made
        made.discard(run_id)
        return first

    async def begin(
        self, connection: AsyncConnection, starts: Sequence[Start], entries: list[Entry]
    ) -> Sequence[Started]:
        """Let runs begin, and add their audit entries; see `RunWriter.begin`."""
        waiting = await self._waiting(connection, {start.run_id for start in starts})
        outcomes: list[Started] = []
        begun: list[dict[str, object]] = []
        for start in starts:
            epoch = waiting.pop(start.run_id, None)
            if epoch is None:
                outcomes.append(Started())
                continue
            now = datetime.now(UTC)
            if start.claims.rates and begun:  # they count those that begin beside it
                await connection.execute(_BEGIN, begun)
                begun.clear()
            if conflict := await self._take(connection, start, now):
                outcomes.append(Started(conflict=conflict))
                continue
            results = [result.model_dump(mode="json") for result in start.guardrails]
            begun.append({"run": start.run_id, "now": now, "results": results})
            entries.append(Entry(ENGINE, "run.running", start.run_id, {"digest": start.digest}))
            outcomes.append(Started(epoch=epoch + 1))
        if begun:
            await connection.execute(_BEGIN, begun)
        return outcomes

    @staticmethod
    async def _waiting(connection: AsyncConnection, ids: Collection[str]) -> dict[str, int]:
        query = (
            select(runs.c.id, runs.c.epoch)
            .where(runs.c.id.in_(ids), runs.c.state == str(RunState.APPROVED))
            .order_by(runs.c.id)
            .with_for_update()
        )
        return {row.id: row.epoch for row in await connection.execute(query)}

    async def _take(self, connection: AsyncConnection, start: Start, now: datetime) -> str:
        """Take a run's locks, targets and places in its rates; what is in the way, if it is."""
        if start.claims != Claims() and not self._database.is_sqlite:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CLAIMS})
        for rate in start.claims.rates:
            if await _count(connection, rate, start.run_id, now) >= rate.limit:
                what = rate.target or rate.workflow or "anything"
                return f"{rate.limit} runs of {what} have begun in the last {rate.per_s:.0f} s."
        names = sorted(set(start.claims.locks))
        if names:
            held = select(run_locks.c.name, run_locks.c.run_id).where(run_locks.c.name.in_(names))
            if (first := (await connection.execute(held)).first()) is not None:
                return f"The lock {first.name} is held by run {first.run_id}."
            await connection.execute(
                insert(run_locks), [{"name": name, "run_id": start.run_id} for name in names]
            )
        targets = [{"run_id": start.run_id, "target": t} for t in dict.fromkeys(start.targets)]
        if targets:
            await connection.execute(self._note_targets, targets)
        return ""


async def _count(connection: AsyncConnection, rate: Rate, but: str, now: datetime) -> int:
    """How many other runs a rate counts: one that is tried again is not in its own way."""
    since = now - timedelta(seconds=rate.per_s)
    counted = select(func.count()).select_from(runs)
    query = counted.where(runs.c.begun_at > since, runs.c.id != but)
    if rate.workflow is not None:
        query = query.where(runs.c.workflow == rate.workflow)
    if rate.target is not None:
        touching = select(run_targets.c.run_id).where(run_targets.c.target == rate.target)
        query = query.where(runs.c.id.in_(touching))
    return (await connection.execute(query)).scalar_one()


def _requested(run: Run) -> list[Entry]:
    details: Mapping[str, str] = {
        "workflow": run.plan.workflow,
        "digest": run.digest,
        "origin": run.origin,
    }
    entries = [Entry(run.requester, "run.requested", run.id, dict(details))]
    if run.state is RunState.APPROVED:
        entries.append(Entry(ENGINE, "run.approved", run.id, {"reason": ""}))
    return entries
