"""What people and triggers ask of workflows: start, countersign, deny, and steer what has begun.

Whoever calls this has verified who the person is; whether they may is decided here.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from pydantic import JsonValue

from core.errors import InvalidRequestError, NotAllowedError, NotFoundError
from core.records import Frozen, Place, storable_text
from core.security.audit import AuditLog
from core.security.permissions import Permissions
from core.security.policy import Right
from core.state import AIWorkflow
from core.store.progress import ENGINE
from core.store.runs import RunStore, UnreadableRunError
from core.workflows.admission import Admission
from core.workflows.catalogue import Catalogue
from core.workflows.display import Display
from core.workflows.engine import LET_GO, RunEngine
from core.workflows.guardrails import GuardrailState
from core.workflows.plan import PlannedArgument
from core.workflows.planning import Planner
from core.workflows.run import Run, RunState, StepProgress
from core.workflows.signatures import Decision
from core.workflows.signing import RunExpiredError, Signing
from core.workflows.steering import CutOff, Resolution, Steering
from core.workflows.verdict import Judge, Verdict

_PASSED = {GuardrailState.MET, GuardrailState.OVERRIDDEN}


class RunRequest(Frozen):
    """A request for a run.

    Attributes:
        key: the same request has the same key, and becomes one run however often it comes.
        requester: a Slack user id, or `trigger:ID` or `schedule:ID`.
        automatic: asked for by a trigger or schedule that the configuration has, not a person.
    """

    key: str
    workflow: str
    arguments: dict[str, PlannedArgument]
    requester: str
    origin: str
    place: Place
    automatic: bool = False


class WorkflowService:
    """The one way to start, countersign and steer runs.

    Args:
        catalogue: what can be asked for.
        signing: takes signatures.
        steering: what people decide about runs that have begun.
        admission: whether one may begin.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        planner: Planner,
        store: RunStore,
        permissions: Permissions,
        judge: Judge,
        signing: Signing,
        steering: Steering,
        admission: Admission,
        engine: RunEngine,
        audit: AuditLog,
        display: Display,
    ) -> None:
        self._catalogue = catalogue
        self._planner = planner
        self._store = store
        self._permissions = permissions
        self._judge = judge
        self._signing = signing
        self._steering = steering
        self._admission = admission
        self._engine = engine
        self._audit = audit
        self._display = display

    @property
    def workflows(self) -> Mapping[str, AIWorkflow]:
        """The workflows of the configuration's files, by id."""
        return self._catalogue.written

    @property
    def catalogue(self) -> Catalogue:
        """All that can be asked for."""
        return self._catalogue

    async def request(self, request: RunRequest) -> Run:
        """Plan and save a run; it begins by itself once its guardrails are met.

        Raises:
            NotFoundError: there is no such workflow.
            NotAllowedError: the person may not start it.
            InvalidRequestError: an argument is wrong, or a dry run failed.
        """
        workflow = self._workflow(request)
        await self._may_start(workflow, request)
        run_id = run_id_of(request.key)
        if await self._store.exists(run_id):
            return await self._settle(run_id)
        run = await self._planned(run_id, workflow, request)
        verdict = await self._judge(run)
        if _consequence(run, verdict) is not RunState.APPROVED:
            await self._store.create(run)
            return await self._settle(run_id)
        run = run.model_copy(update={"state": RunState.APPROVED, "guardrails": verdict.results})
        if not await self._store.create(run):
            return await self._settle(run_id)
        await self._engine.start(run_id, run.generation, known=run)
        self._display.touch()
        return run

    async def draft(self, request: RunRequest) -> Run:
        """The run that `request` would make, judged; nothing is saved and nothing runs.

        Raises:
            NotFoundError: there is no such workflow.
            NotAllowedError: the person may not start it.
            InvalidRequestError: an argument is wrong, or a dry run failed.
        """
        workflow = self._workflow(request)
        await self._may_start(workflow, request)
        return await self.judged(await self._planned(run_id_of(request.key), workflow, request))

    async def get(self, run_id: str) -> Run:
        """The run with this id, or the only one whose id begins so, with its guardrails judged.

        Raises:
            NotFoundError: there is none, or more than one.
        """
        return await self.judged(await self._store.find(run_id))

    async def judged(self, run: Run) -> Run:
        """The run with its guardrails' states: as they are now, or were when it began."""
        if run.begun_at is not None and run.guardrails:
            return run
        verdict = await self._judge(run)
        return run.model_copy(update={"guardrails": verdict.results})

    async def latest(
        self,
        limit: int = 10,
        states: Collection[RunState] = (),
        workflow: str | None = None,
        *,
        requester: str | None = None,
        target: str | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
    ) -> list[Run]:
        """The newest runs first; see `RunStore.latest`."""
        return await self._store.latest(
            limit,
            states,
            workflow,
            requester=requester,
            target=target,
            since=since,
            before=before,
        )

    async def sign(
        self, run_id: str, user: str, decision: Decision, phrase: str = "", comment: str = ""
    ) -> Run:
        """Countersign or deny; see `Signing.sign`."""
        run = await self._store.find(run_id)
        try:
            await self._signing.sign(run.id, user, decision, phrase, comment)
        except RunExpiredError:
            await self._settle(run.id)
            raise
        return await self._settle(run.id)

    async def break_glass(self, run_id: str, user: str, reason: str) -> Run:
        """Let a run pass against the guardrails that give way; see `Signing.break_glass`."""
        run = await self._store.find(run_id)
        try:
            await self._signing.break_glass(run.id, user, reason)
        except RunExpiredError:
            await self._settle(run.id)
            raise
        return await self._settle(run.id)

    async def cancel(self, run_id: str, user: str) -> Run:
        """Stop a run before its next step; see `Steering.cancel`."""
        run = await self._store.find(run_id)
        async with self._refusals_kept(run, user, "cancel"):
            await self._steering.cancel(run, user)
        return await self._steered(run)

    async def resolve(
        self, run_id: str, user: str, resolution: Resolution, about: CutOff | None = None
    ) -> Run:
        """Say what is so with a step that was cut off; see `Steering.resolve`."""
        run = await self._store.find(run_id)
        async with self._refusals_kept(run, user, "resolve"):
            await self._steering.resolve(run, user, resolution, about)
        return await self._steered(run)

    async def confirm(
        self, run_id: str, step_id: str, user: str, done: bool, comment: str = ""
    ) -> Run:
        """Say that a manual step was done, or not; see `Steering.confirm`."""
        run = await self._store.find(run_id)
        async with self._refusals_kept(run, user, "confirm"):
            await self._steering.confirm(run, step_id, user, done, comment)
        return await self._steered(run)

    async def retry(self, run_id: str, user: str, generation: int | None = None) -> Run:
        """Let a failed run begin again from what failed; see `Steering.retry`.

        Raises:
            InvalidRequestError: it may not begin now; the message says why.
        """
        run = await self._store.find(run_id)
        if run.state is RunState.FAILED:
            ruling = await self._admission.rule(run)
            if ruling.after.final:
                raise InvalidRequestError(f"It cannot go on; ask for it anew. {ruling.reason}")
        async with self._refusals_kept(run, user, "retry"):
            await self._steering.retry(run, user, generation)
        return await self._steered(run)

    async def sweep(self) -> None:
        """Move on what waits for nobody: expired, approved but not begun, given up, too late."""
        await self._look_at_waiting()
        missing = await self._engine.missing(await self._store.under_way())
        new = [(run_id, generation) for run_id, generation, gave_up in missing if not gave_up]
        # At once: each may have to wait for another system.
        waits = await asyncio.gather(*(self._waits_on(run_id) for run_id, _ in new))
        for (run_id, generation), still in zip(new, waits, strict=True):
            if not still:
                await self._engine.start(run_id, generation)
        for run_id, generation, gave_up in missing:
            if gave_up == LET_GO:  # the answer to a commit was lost; the next sweep starts it
                await self._store.renew(run_id, generation)
                continue
            if gave_up:
                await self._store.transition(
                    run_id,
                    {RunState.RUNNING, RunState.APPROVED},
                    RunState.FAILED,
                    ENGINE,
                    f"The engine stopped: {gave_up}",
                )
        # What was cancelled while a step ran keeps its locks until that step has come to its end.
        for run_id, _, _ in await self._engine.missing(await self._store.ended_with_locks()):
            await self._store.release(run_id)
        self._display.touch()

    async def _waits_on(self, run_id: str) -> bool:
        """Whether an approved run still waits for what it waited for; the engine, which keeps
        each try for good, is not asked again before that changes."""
        try:
            run = await self._store.get(run_id)
        except UnreadableRunError:
            return False  # the engine ends it
        if run.state is not RunState.APPROVED or not run.reason:
            return False
        ruling = await self._admission.rule(run)
        return ruling.after is RunState.APPROVED and storable_text(ruling.reason) == run.reason

    async def _look_at_waiting(self) -> None:
        """Settle what waits for signatures; end what nobody has confirmed in time, and what can
        no longer be read, which nobody could do anything with."""
        for run_id in await self._store.unfinished({RunState.AWAITING}):
            try:
                await self._settle(run_id)
            except UnreadableRunError as error:
                await self._store.transition(
                    run_id, {RunState.AWAITING}, RunState.BLOCKED, ENGINE, str(error)
                )
        overdue = await self._store.overdue(datetime.now(UTC))
        asking = await self._store.unfinished({RunState.ATTENTION})
        for run_id in dict.fromkeys((*asking, *(whose for whose, _ in overdue))):
            try:
                run = await self._store.get(run_id)
            except UnreadableRunError as error:
                await self._store.transition(
                    run_id, {RunState.ATTENTION}, RunState.FAILED, ENGINE, str(error)
                )
                continue
            for position in (at for whose, at in overdue if whose == run_id):
                await self._steering.time_out(run, position)

    @asynccontextmanager
    async def _refusals_kept(self, run: Run, user: str, what: str) -> AsyncIterator[None]:
        """Note in the audit log that a person was refused."""
        try:
            yield
        except NotAllowedError as refusal:
            details: dict[str, JsonValue] = {"asked": what, "why": str(refusal)}
            await self._audit.record(user, "run.refused", run.id, details)
            raise

    async def _steered(self, run: Run) -> Run:
        self._display.touch()
        return await self.get(run.id)

    async def _settle(self, run_id: str) -> Run:
        """Draw the consequence of the guardrails as they are now."""
        run = await self._store.get(run_id)
        if run.state is RunState.AWAITING:
            verdict = await self._judge(run)
            if after := _consequence(run, verdict):
                reason = "" if after is RunState.APPROVED else verdict.obstacle
                await self._store.transition(run_id, {RunState.AWAITING}, after, ENGINE, reason)
                run = await self._store.get(run_id)
            run = run.model_copy(update={"guardrails": verdict.results})
        if run.state is RunState.APPROVED:
            await self._engine.start(run_id, run.generation)
        self._display.touch()
        return await self.judged(run)

    async def _planned(self, run_id: str, workflow: AIWorkflow, request: RunRequest) -> Run:
        plan = await self._planner.plan(run_id, workflow, request.arguments, request.requester)
        now = datetime.now(UTC)
        return Run(
            id=run_id,
            plan=plan,
            digest=plan.digest,
            state=RunState.AWAITING,
            requester=request.requester,
            origin=request.origin,
            place=request.place,
            message=None,
            created_at=now,
            updated_at=now,
            version=1,
            reason="",
            steps=tuple(StepProgress(step_id=step.id) for step in plan.steps),
        )

    def _workflow(self, request: RunRequest) -> AIWorkflow:
        workflow = self._catalogue.get(request.workflow, request.arguments)
        if workflow is None:
            known = ", ".join(self._catalogue.written) or "none"
            raise NotFoundError(f"There is no workflow '{request.workflow}'. There are: {known}.")
        return workflow

    async def _may_start(self, workflow: AIWorkflow, request: RunRequest) -> None:
        if request.automatic:
            return
        what, where = f"start {workflow.id}", request.place.channel
        try:
            await self._permissions.require(
                request.requester, Right.START, workflow.id, where, what
            )
        except NotAllowedError as refusal:
            await self._audit.record(
                request.requester, "run.refused", workflow.id, {"why": str(refusal)}
            )
            raise


def run_id_of(key: str) -> str:
    """The id of the run that a request with this key becomes: 12 hexadecimal digits."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def _consequence(run: Run, verdict: Verdict) -> RunState | None:
    """What becomes of a run that waits, or None where it goes on waiting."""
    if verdict.denied:
        return RunState.DENIED
    if verdict.expired:
        return RunState.EXPIRED
    if verdict.approval in _PASSED and verdict.others is not GuardrailState.BLOCKED:
        return RunState.APPROVED  # a lock or a rate may still let it wait
    if run.approval is None:
        return RunState.BLOCKED  # nothing will ever move it
    return None
