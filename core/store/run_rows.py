"""Runs as rows: what is written of them, and how they are read."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import CountersignError
from core.records import Place, storable, storable_text
from core.store.tables import run_steps, signatures
from core.workflows.guardrails import GuardrailResult
from core.workflows.plan import Plan
from core.workflows.run import Run, RunState, StepProgress, StepState
from core.workflows.signatures import Signature

AnyRow = Row[tuple[object, ...]]


class UnreadableRunError(CountersignError):
    """What is stored of a run is none: it was altered, or another version wrote it."""


async def load(connection: AsyncConnection, row: AnyRow) -> Run:
    """The run of a row of `runs`, with its signatures and steps.

    Raises:
        UnreadableRunError: its plan, a step or a signature cannot be read, or a step is missing.
    """
    signed = await connection.execute(
        select(signatures).where(signatures.c.run_id == row.id).order_by(signatures.c.at)
    )
    steps = await connection.execute(
        select(run_steps).where(run_steps.c.run_id == row.id).order_by(run_steps.c.position)
    )
    try:
        run = _run(row, signed, steps)
    except ValueError as error:  # pydantic's, or of an unknown state
        raise _unreadable(row.id) from error
    if [step.id for step in run.plan.steps] != [step.step_id for step in run.steps]:
        raise _unreadable(row.id)
    return run


def _run(row: AnyRow, signed: Iterable[AnyRow], steps: Iterable[AnyRow]) -> Run:
    return Run(
        id=row.id,
        plan=Plan.model_validate(row.plan),
        digest=row.digest,
        state=RunState(row.state),
        requester=row.requester,
        origin=row.origin,
        place=Place(channel=row.channel, thread=row.thread),
        message=row.message,
        created_at=row.created_at,
        updated_at=row.updated_at,
        begun_at=row.begun_at,
        version=row.version,
        generation=row.generation,
        reason=row.reason,
        guardrails=tuple(GuardrailResult.model_validate(one) for one in row.guardrails or ()),
        signatures=tuple(Signature.model_validate(_without_run(one)) for one in signed),
        steps=tuple(progress(step) for step in steps),
    )


def _unreadable(run_id: str) -> UnreadableRunError:
    return UnreadableRunError(
        f"Run {run_id} cannot be read (it was altered, or another version of Countersign wrote "
        "it): ask for the run again."
    )


def run_columns(run: Run) -> dict[str, object]:
    """What a new row of `runs` holds."""
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


def progress(row: AnyRow) -> StepProgress:
    """How a step stands, from its row."""
    return StepProgress(
        step_id=row.step_id,
        state=StepState(row.state),
        attempts=row.attempts,
        started_at=row.started_at,
        finished_at=row.finished_at,
        due_at=row.due_at,
        by=row.by,
        summary=row.summary,
        output=row.output,
        values=row.output_values,
        link=row.link,
        picture=row.picture,
    )


def step_columns(step: StepProgress) -> dict[str, object]:
    """What a step's row holds, but for its key."""
    columns = step.model_dump(exclude={"values"})
    # What an action says of its failure may hold anything, such as a program's output.
    texts = {name: storable_text(columns[name]) for name in ("summary", "output")}
    values = {"output_values": storable(step.values)}
    return columns | texts | values | {"state": str(step.state)}


def signature_columns(run_id: str, signature: Signature) -> dict[str, object]:
    """What a countersignature's row holds."""
    return {"run_id": run_id, **signature.model_dump()}


def _without_run(row: AnyRow) -> dict[str, object]:
    return {key: value for key, value in row._mapping.items() if key != "run_id"}
