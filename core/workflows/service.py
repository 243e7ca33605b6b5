"""What people and triggers ask of workflows: start, countersign, deny, cancel, resolve.

Whoever calls this has verified who the person is; whether they may is decided here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

from core.errors import InvalidRequestError, NotAllowedError, NotFoundError
from core.records import Frozen, Place
from core.security.audit import AuditLog
from core.security.policy import Right, Roles
from core.state import AIWorkflow, ApplicationState
from core.store.runs import RunStore, UnreadableRunError
from core.workflows.display import Display
from core.workflows.engine import RunEngine
from core.workflows.execution import ENGINE, Resolution
from core.workflows.guardrails import Approval, GuardrailState
from core.workflows.plan import PlannedArgument
from core.workflows.planning import Planner
from core.workflows.run import Run, RunState, StepProgress, StepState
from core.workflows.signatures import Decision, Signature
from core.workflows.verdict import Verdict, judge


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
    """The one way to start and to countersign runs."""

    def __init__(
        self,
        state: ApplicationState,
        planner: Planner,
        store: RunStore,
        roles: Roles,
        engine: RunEngine,
        audit: AuditLog,
        display: Display,
    ) -> None:
        self._state = state
        self._planner = planner
        self._store = store
        self._roles = roles
        self._engine = engine
        self._audit = audit
        self._display = display

    @property
    def workflows(self) -> Mapping[str, AIWorkflow]:
        """The workflows that can be started, by id."""
        return self._state.workflows

    async def request(self, request: RunRequest) -> Run:
        """Plan and save a run; it begins by itself once its guardrails are met.

        Raises:
            NotFoundError: there is no such workflow.
            NotAllowedError: the person may not start it.
            InvalidRequestError: an argument is wrong, or a dry run failed.
        """
        workflow = self._workflow(request.workflow)
        await self._may_start(workflow, request)
        run_id = run_id_of(request.key)
        if await self._store.exists(run_id):
            return await self._settle(run_id)
        plan = await self._planner.plan(run_id, workflow, request.arguments, request.requester)
        now = datetime.now(UTC)
        run = Run(
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
        await self._store.create(run)
        return await self._settle(run_id)

    async def get(self, run_id: str) -> Run:
        """The run with this id, or the only one whose id begins so, with its guardrails judged.

        Raises:
            NotFoundError: there is none, or more than one.
        """
        run = await self._store.find(run_id)
        return await self.judged(run)

    async def judged(self, run: Run) -> Run:
        """The run with its guardrails' states as they are now."""
        verdict = await judge(run, self._roles)
        return run.model_copy(update={"guardrails": verdict.results})

    async def latest(self, limit: int = 10) -> list[Run]:
        """The newest runs first."""
        return await self._store.latest(limit)

    async def sign(
        self, run_id: str, user: str, decision: Decision, phrase: str = "", comment: str = ""
    ) -> Run:
        """Countersign or deny.

        Args:
            phrase: what the person typed, where the approval guardrail asks for the name.

        Raises:
            NotAllowedError: the person may not; the refusal is in the audit log.
            InvalidRequestError: the run no longer waits, or the phrase is wrong.
        """
        run = await self._store.find(run_id)
        approval = _waiting(run)
        try:
            await self._may_sign(run, approval, user, decision)
        except NotAllowedError as refusal:
            await self._audit.record(
                user, "run.refused", run.id, {"decision": str(decision), "why": str(refusal)}
            )
            raise
        verdict = await judge(run, self._roles)
        if verdict.expired:
            await self._settle(run.id)
            raise InvalidRequestError("This run has expired; ask for it again.")
        if decision is Decision.APPROVE:
            _check_approvable(run, approval, verdict, phrase)
        now = datetime.now(UTC)
        await self._store.sign(
            run,
            Signature(user=user, digest=run.digest, decision=decision, comment=comment, at=now),
        )
        return await self._settle(run.id)

    async def cancel(self, run_id: str, user: str) -> Run:
        """Stop a run before its next step; what was done stays done.

        Raises:
            NotAllowedError: neither the requester nor an administrator asks.
            InvalidRequestError: it has ended already.
        """
        run = await self._store.find(run_id)
        if user != run.requester:
            administer = self._state.policy.roles_with(Right.ADMINISTER, run.plan.workflow)
            await self._roles.require(user, administer, "cancel another person's run")
        stoppable = {RunState.AWAITING, RunState.APPROVED, RunState.RUNNING}
        reason = f"Cancelled by {user}."
        if not await self._store.transition(run.id, stoppable, RunState.CANCELLED, user, reason):
            raise InvalidRequestError(f"The run is {run.state} and cannot be cancelled.")
        self._display.touch()
        return await self.get(run.id)

    async def resolve(self, run_id: str, user: str, resolution: Resolution) -> Run:
        """Say what is so with a step that was cut off in the middle.

        Raises:
            NotAllowedError: the person holds none of the roles that may countersign the run.
            InvalidRequestError: no step waits for this.
        """
        run = await self._store.find(run_id)
        step = next((s for s in run.steps if s.state is StepState.UNKNOWN), None)
        if run.state is not RunState.ATTENTION or step is None:
            raise InvalidRequestError("No step of this run waits for a person's word.")
        administer = self._state.policy.roles_with(Right.ADMINISTER, run.plan.workflow)
        roles = run.approval.roles if run.approval else administer
        await self._roles.require(user, roles, "decide about a step that was cut off")
        await self._engine.resolve(run.id, step, resolution, user)
        return await self.get(run.id)

    async def sweep(self) -> None:
        """Move on what waits for nobody: expired, approved but not begun, given up."""
        waiting = {RunState.AWAITING, RunState.APPROVED}
        for run_id in await self._store.unfinished(waiting):
            try:
                await self._settle(run_id)
            except UnreadableRunError as error:
                await self._store.transition(run_id, waiting, RunState.BLOCKED, ENGINE, str(error))
        for run_id in await self._store.unfinished({RunState.RUNNING, RunState.APPROVED}):
            if reason := await self._engine.failure(run_id):
                open_states = {RunState.RUNNING, RunState.APPROVED}
                await self._store.transition(
                    run_id, open_states, RunState.FAILED, ENGINE, f"The engine stopped: {reason}"
                )
        self._display.touch()

    async def _settle(self, run_id: str) -> Run:
        """Draw the consequence of the guardrails as they are now."""
        run = await self._store.get(run_id)
        if run.state is RunState.AWAITING:
            verdict = await judge(run, self._roles)
            if after := _consequence(run, verdict):
                await self._store.transition(
                    run_id, {RunState.AWAITING}, after, ENGINE, _reason(after, verdict)
                )
                run = await self._store.get(run_id)
        if run.state is RunState.APPROVED:
            await self._engine.start(run_id)
        self._display.touch()
        return await self.judged(run)

    def _workflow(self, name: str) -> AIWorkflow:
        if name not in self._state.workflows:
            known = ", ".join(self._state.workflows) or "none"
            raise NotFoundError(f"There is no workflow '{name}'. There are: {known}.")
        return self._state.workflows[name]

    async def _may_start(self, workflow: AIWorkflow, request: RunRequest) -> None:
        if request.automatic:
            return
        roles = workflow.start or self._state.policy.roles_with(Right.START, workflow.id)
        try:
            await self._roles.require(request.requester, roles, f"start {workflow.id}")
        except NotAllowedError as refusal:
            await self._audit.record(
                request.requester, "run.refused", workflow.id, {"why": str(refusal)}
            )
            raise

    async def _may_sign(self, run: Run, approval: Approval, user: str, decision: Decision) -> None:
        if decision is Decision.APPROVE and approval.four_eyes and user == run.requester:
            raise NotAllowedError(
                "You asked for this run, so somebody else must countersign it (four eyes)."
            )
        what = "countersign this run" if decision is Decision.APPROVE else "deny this run"
        await self._roles.require(user, approval.roles, what)


def run_id_of(key: str) -> str:
    """The id of the run that a request with this key becomes: 12 hexadecimal digits."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def _waiting(run: Run) -> Approval:
    if run.state is not RunState.AWAITING or run.approval is None:
        raise InvalidRequestError(f"This run is {run.state}; it waits for no countersignature.")
    return run.approval


def _check_approvable(run: Run, approval: Approval, verdict: Verdict, phrase: str) -> None:
    if run.plan.digest != run.digest:
        raise InvalidRequestError("The plan was altered after it was shown; ask for it again.")
    if verdict.others is GuardrailState.BLOCKED:
        raise InvalidRequestError(f"Nothing can be signed now. {verdict.obstacle}")
    if approval.phrase and phrase.strip() != run.plan.workflow:
        raise InvalidRequestError(f"Type {run.plan.workflow} to confirm that you mean this run.")


def _consequence(run: Run, verdict: Verdict) -> RunState | None:
    if verdict.denied:
        return RunState.DENIED
    if verdict.met:
        return RunState.APPROVED
    if verdict.expired:
        return RunState.EXPIRED
    if run.approval is None:
        return RunState.BLOCKED  # nothing will ever move it
    return None


def _reason(after: RunState, verdict: Verdict) -> str:
    return "" if after is RunState.APPROVED else verdict.obstacle
