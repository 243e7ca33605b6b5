"""What a segment writes while it carries out a run: steps that ended, steps that begin, the end.

All of it is fenced: once another segment has claimed the run, nothing of an older one is written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import JsonValue
from sqlalchemy import ColumnElement, bindparam, delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from core.records import storable_text
from core.security.audit import Entry
from core.store.run_rows import step_columns
from core.store.tables import run_locks, run_steps, runs
from core.workflows.run import RunState, StepProgress, StepState

ENGINE = "countersign"
_PAUSED = [str(StepState.WAITING), str(StepState.UNKNOWN)]
_SET_RUN = (
    update(runs)
    .where(runs.c.id == bindparam("run"))
    .values(
        state=bindparam("state"),
        reason=bindparam("reason"),
        version=runs.c.version + 1,
        updated_at=bindparam("now"),
    )
)
_SET_STEP = (
    update(run_steps)
    .where(run_steps.c.run_id == bindparam("run"), run_steps.c.position == bindparam("at"))
    .values({name: bindparam(f"to_{name}") for name in step_columns(StepProgress(step_id=""))})
)


@dataclass(frozen=True)
class Move:
    """One transaction's worth of a run.

    Attributes:
        epoch: of the segment that writes.
        ended: steps by position; written in whatever state the run is.
        begun: steps by position; written only while the run is RUNNING.
        end: the state in which the run ends or stops, with the reason; only from RUNNING.
        waiting: positions of the steps for which a person is waited for. Where one of them has
            been answered already, the run does not stop.
    """

    run_id: str
    epoch: int
    ended: Mapping[int, StepProgress] = field(default_factory=dict)
    begun: Mapping[int, StepProgress] = field(default_factory=dict)
    end: tuple[RunState, str] | None = None
    waiting: frozenset[int] = frozenset()


class Progress:
    """Writes moves, those of many runs together."""

    async def write(
        self, connection: AsyncConnection, moves: Sequence[Move], entries: list[Entry]
    ) -> Sequence[RunState | None]:
        """Write them, and add their audit entries to `entries`; see `RunWriter.save`."""
        now = datetime.now(UTC)
        held = await self._lock(connection, {move.run_id for move in moves})
        states: dict[str, tuple[RunState, str]] = {}
        ended: set[str] = set()
        steps: list[dict[str, object]] = []
        outcomes: list[RunState | None] = []
        for move in moves:
            epoch, state, reason = held.get(move.run_id, (None, "", ""))
            if epoch != move.epoch:
                outcomes.append(None)
                continue
            before = states.setdefault(move.run_id, (RunState(state), reason))
            changes = dict(move.ended)
            entries += [_step_entry(move.run_id, step) for step in move.ended.values()]
            if before[0] is RunState.RUNNING:
                changes |= move.begun
                if move.end is not None and await self._still(connection, move):
                    states[move.run_id] = move.end
                    ended.add(move.run_id)
                    entries.append(_end_entry(move.run_id, *move.end))
            steps += [
                {"run": move.run_id, "at": position}
                | {f"to_{name}": value for name, value in step_columns(step).items()}
                for position, step in changes.items()
            ]
            outcomes.append(states[move.run_id][0])
        await self._apply(connection, states, steps, ended, now)
        return outcomes

    async def _lock(
        self, connection: AsyncConnection, ids: set[str]
    ) -> dict[str, tuple[int, str, str]]:
        """Epoch, state and reason of these runs, which nobody else changes until the end."""
        query = (
            select(runs.c.id, runs.c.epoch, runs.c.state, runs.c.reason)
            .where(runs.c.id.in_(ids))
            .order_by(runs.c.id)
            .with_for_update()
        )
        rows = await connection.execute(query)
        return {row.id: (row.epoch, row.state, row.reason) for row in rows}

    @staticmethod
    async def _still(connection: AsyncConnection, move: Move) -> bool:
        if not move.waiting:
            return True
        query = select(run_steps.c.position).where(
            run_steps.c.run_id == move.run_id, run_steps.c.state.in_(_PAUSED)
        )
        return move.waiting <= set((await connection.execute(query)).scalars())

    @staticmethod
    async def _apply(
        connection: AsyncConnection,
        states: Mapping[str, tuple[RunState, str]],
        steps: list[dict[str, object]],
        ended: Collection[str],
        now: datetime,
    ) -> None:
        if steps:
            await connection.execute(_SET_STEP, steps)
        rows = [
            {"run": run, "state": str(state), "reason": storable_text(reason)[:2000], "now": now}
            for run, (state, reason) in states.items()
        ]
        if rows:
            await connection.execute(_SET_RUN, rows)
        over = [run for run, (state, _) in states.items() if state.final]
        if over:
            # One that was cancelled keeps its locks while another of its steps runs.
            kept = at_work_now() & run_locks.c.run_id.not_in(ended)
            await connection.execute(delete(run_locks).where(run_locks.c.run_id.in_(over), ~kept))


def at_work_now() -> ColumnElement[bool]:
    """Whether a step of the run that holds a lock is under way."""
    return exists().where(
        run_steps.c.run_id == run_locks.c.run_id, run_steps.c.state == str(StepState.RUNNING)
    )


def _step_entry(run_id: str, step: StepProgress) -> Entry:
    details: dict[str, JsonValue] = {"summary": step.summary, "attempts": step.attempts}
    return Entry(ENGINE, f"step.{step.state}", f"{run_id}/{step.step_id}", details)


def _end_entry(run_id: str, state: RunState, reason: str) -> Entry:
    return Entry(ENGINE, f"run.{state}", run_id, {"reason": reason})
