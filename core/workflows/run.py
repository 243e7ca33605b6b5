"""Runs: one execution of a plan, and the states it goes through."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, JsonValue

from core.records import Frozen, Instant, Place
from core.workflows.guardrails import Approval, GuardrailResult, Situation
from core.workflows.pictures import KeptPicture
from core.workflows.plan import Plan
from core.workflows.signatures import Signature


class RunState(StrEnum):
    """Where a run is.

    AWAITING (countersignatures) -> APPROVED (about to begin, or waiting for a lock or a rate) ->
    RUNNING -> SUCCEEDED or FAILED. ATTENTION: nothing goes on until a person says whether a step
    that was cut off was done, or confirms a manual step. DENIED, EXPIRED, CANCELLED and
    BLOCKED (a guardrail or the digest no longer held) end it without another effect.
    """

    AWAITING = "awaiting"
    APPROVED = "approved"
    RUNNING = "running"
    ATTENTION = "attention"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    BLOCKED = "blocked"

    @property
    def told(self) -> str:
        """The predicate of a sentence about the run: it `waits for a person`."""
        return _TOLD[self]

    @property
    def final(self) -> bool:
        """Whether nothing can happen any more."""
        return self not in _OPEN


_TOLD = {
    RunState.AWAITING: "waits for countersignatures",
    RunState.APPROVED: "is approved",
    RunState.RUNNING: "is running",
    RunState.ATTENTION: "waits for a person",
    RunState.SUCCEEDED: "is done",
    RunState.FAILED: "has failed",
    RunState.DENIED: "was denied",
    RunState.EXPIRED: "has expired",
    RunState.CANCELLED: "was cancelled",
    RunState.BLOCKED: "was stopped by a guardrail",
}
_OPEN = {RunState.AWAITING, RunState.APPROVED, RunState.RUNNING, RunState.ATTENTION}


class StepState(StrEnum):
    """Where one step is.

    WAITING: for a person who does it (manual), or for its time (`due_at`: a wait, or the next
    attempt). UNKNOWN: it was cut off and may have had its effect. SKIPPED: its condition was
    false. A step that stays PENDING when its run has ended was never begun.
    """

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


class StepProgress(Frozen):
    """How far one step is.

    Attributes:
        attempts: that were begun, the one under way included.
        due_at: until when it waits by itself; of a manual step, until when a person has time.
        by: who confirmed a manual step, or said how a cut-off one stands.
    """

    step_id: str
    state: StepState = StepState.PENDING
    attempts: int = 0
    started_at: Instant | None = None
    finished_at: Instant | None = None
    due_at: Instant | None = None
    by: str | None = None
    summary: str = ""
    output: str = ""
    values: dict[str, JsonValue] = Field(default_factory=dict)
    link: str | None = None
    picture: KeptPicture | None = None


class Run(Frozen):
    """A run as it is now, with everything that its card shows.

    Attributes:
        origin: what asked for it, in words (`/ops run`, `GitHub: CI failed on main`).
        message: where its message stands, once it has been posted.
        version: counts its changes.
        generation: counts how often it was given to the engine; see `execution`.
        reason: why it ended as it did, or what it waits for.
        guardrails: how each stood when the run began; before that, empty until it is judged.
    """

    id: str
    plan: Plan
    digest: str
    state: RunState
    requester: str
    origin: str
    place: Place
    message: str | None
    created_at: Instant
    updated_at: Instant
    begun_at: Instant | None = None
    version: int
    generation: int = 0
    reason: str
    signatures: tuple[Signature, ...] = ()
    steps: tuple[StepProgress, ...] = ()
    guardrails: tuple[GuardrailResult, ...] = ()

    @property
    def approval(self) -> Approval | None:
        """The approval guardrail, where the plan has one."""
        return next((g for g in self.plan.guardrails if isinstance(g, Approval)), None)

    @property
    def intact(self) -> bool:
        """Whether the stored plan is the one that was asked for, and all who signed meant it."""
        return (
            self.plan.digest == self.digest
            and self.plan.run_id == self.id
            and self.plan.requester == self.requester
            and all(signature.digest == self.digest for signature in self.signatures)
        )

    @property
    def expires_at(self) -> Instant | None:
        """When it can no longer be countersigned."""
        return self.approval.expires_at(self.created_at) if self.approval else None


def situation(run: Run, now: Instant, roles: dict[str, frozenset[str]]) -> Situation:
    """What the guardrails look at, for this run. The digest is computed anew from the plan."""
    return Situation(
        now=now,
        run_id=run.id,
        workflow=run.plan.workflow,
        digest=run.plan.digest,
        risk=run.plan.risk,
        environment=run.plan.environment,
        requester=run.requester,
        created_at=run.created_at,
        targets=run.plan.targets,
        signatures=run.signatures,
        roles=roles,
    )
