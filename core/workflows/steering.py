"""What people decide about a run that has begun: cancel, confirm, settle a cut-off, try again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from core.errors import InvalidRequestError, NotAllowedError
from core.security.permissions import Permissions
from core.security.policy import Right, Roles
from core.store.progress import ENGINE
from core.store.runs import RunStore
from core.workflows.definition import StepKind
from core.workflows.engine import RunEngine
from core.workflows.flow import positions
from core.workflows.plan import PlannedStep
from core.workflows.run import Run, RunState, StepProgress, StepState

_OPEN = frozenset(state for state in RunState if not state.final)


class Resolution(StrEnum):
    """What a person says about a step that was cut off."""

    DONE = "done"
    REPEAT = "repeat"
    STOP = "stop"


class CutOff(NamedTuple):
    """A step that was cut off in the middle, in its so many-th attempt."""

    step_id: str
    attempts: int


class Steering:
    """Changes runs on the word of a person, and gives them back to the engine."""

    def __init__(
        self, store: RunStore, engine: RunEngine, permissions: Permissions, roles: Roles
    ) -> None:
        self._store = store
        self._engine = engine
        self._permissions = permissions
        self._roles = roles

    async def cancel(self, run: Run, user: str) -> None:
        """Stop a run before its next step; what was done stays done.

        Raises:
            NotAllowedError: neither the requester nor an administrator asks.
            InvalidRequestError: it has ended already.
        """
        if user != run.requester:
            await self._require(run, user, Right.ADMINISTER, "cancel another person's run")
        reason = f"Cancelled by {user}."
        if not await self._store.transition(run.id, _OPEN, RunState.CANCELLED, user, reason):
            raise InvalidRequestError(f"The run {run.state.told} and cannot be cancelled.")

    async def resolve(
        self, run: Run, user: str, resolution: Resolution, about: CutOff | None = None
    ) -> None:
        """Say what is so with a step that was cut off in the middle.

        Args:
            about: which; the first where it is None. A word about an earlier attempt, which comes
                late or a second time, is none about this one.

        Raises:
            NotAllowedError: the person is none of those who may countersign the run, or administer
                its workflow.
            InvalidRequestError: no step waits for this.
        """
        position = _cut_off(run, about)
        await self._require_signer(run, user, (), "decide about a step that was cut off")
        if resolution is Resolution.STOP:
            waiting = {RunState.ATTENTION, RunState.RUNNING}
            reason = "Stopped after a cut-off."
            if not await self._store.transition(run.id, waiting, RunState.CANCELLED, user, reason):
                raise InvalidRequestError("No step of this run waits for a person's word.")
            return
        now = run.steps[position]
        if resolution is Resolution.DONE:
            after = _closed(
                now, StepState.SUCCEEDED, user, f"Done before the cut-off, says {user}."
            )
        else:
            after = now.model_copy(update={"state": StepState.PENDING, "by": user, "due_at": None})
        await self._answer(run, position, after, user, f"step.{resolution}", "")

    async def confirm(
        self, run: Run, step_id: str, user: str, done: bool, comment: str = ""
    ) -> None:
        """Say that a manual step was done, or that it was not and the run has failed with it.

        Raises:
            NotAllowedError: the person holds none of the step's roles.
            InvalidRequestError: the step does not wait for this.
        """
        position, step = _manual(run, step_id)
        await self._require_signer(run, user, step.roles, f"confirm '{step.name}'")
        said = f" “{comment}”" if comment else ""
        after = _closed(
            run.steps[position],
            StepState.SUCCEEDED if done else StepState.FAILED,
            user,
            f"{'Done' if done else 'Not done'}, says {user}.{said}",
        )
        action = "step.confirmed" if done else "step.not_done"
        await self._answer(run, position, after, user, action, comment)

    async def time_out(self, run: Run, position: int) -> None:
        """Let a manual step fail that nobody has confirmed in time; nothing where somebody has."""
        step = run.plan.steps[position]
        if step.kind is not StepKind.MANUAL:
            return
        why = f"Nobody confirmed '{step.name}' in time."
        after = _closed(run.steps[position], StepState.FAILED, None, why)
        try:
            await self._answer(run, position, after, ENGINE, "step.failed", why)
        except InvalidRequestError:
            return

    async def retry(self, run: Run, user: str, generation: int | None = None) -> None:
        """Let a failed run begin again from what failed: the same plan, the same signatures.

        The caller has checked that the guardrails are met.

        Args:
            generation: the one whose failure the word is about; None: the last one's. A word that
                comes late or a second time is none about the next failure.

        Raises:
            NotAllowedError: the person may neither start the workflow anew as its requester, nor
                countersign or administer it.
            InvalidRequestError: it has not failed, or something was undone already.
        """
        await self._require_retry(run, user)
        if run.state is not RunState.FAILED:
            raise InvalidRequestError(f"The run {run.state.told}; only a failed one can go on.")
        if generation is not None and generation != run.generation:
            raise InvalidRequestError("The run has gone on since, and failed again: see its card.")
        again = _again(run)
        if not again:
            raise InvalidRequestError("No step of this run has failed; ask for it anew.")
        await self._give(run, again, user, "step.retried", "", RunState.APPROVED)

    async def _answer(
        self, run: Run, position: int, after: StepProgress, user: str, action: str, reason: str
    ) -> None:
        answered = {position: (run.steps[position].state, after)}
        await self._give(run, answered, user, action, reason)

    async def _give(
        self,
        run: Run,
        steps: Mapping[int, tuple[StepState, StepProgress]],
        user: str,
        action: str,
        reason: str,
        after: RunState = RunState.RUNNING,
    ) -> None:
        generation = await self._store.answer(run.id, run.state, steps, user, action, reason, after)
        if generation is None:
            raise InvalidRequestError("Somebody has been faster; look at the run again.")
        await self._engine.start(run.id, generation)

    async def _require_signer(self, run: Run, user: str, roles: tuple[str, ...], what: str) -> None:
        """Those who hold the roles; without any, those who may countersign, or administer."""
        if roles:
            await self._roles.require(user, roles, what)
            return
        own = run.approval.roles if run.approval else ()
        workflow, channel = run.plan.workflow, run.place.channel
        if await self._permissions.may(user, Right.ADMINISTER, workflow, channel):
            return
        if own:
            await self._roles.require(user, own, what)
        await self._require(run, user, Right.APPROVE if own else Right.ADMINISTER, what)

    async def _require_retry(self, run: Run, user: str) -> None:
        channel = run.place.channel
        rights = [Right.APPROVE, Right.ADMINISTER]
        if user == run.requester:
            rights.append(Right.START)
        for right in rights:
            if await self._permissions.may(user, right, run.plan.workflow, channel):
                return
        raise NotAllowedError(
            "To let this run go on you must have asked for it, or be one of those who may "
            "countersign or administer it (policy.yaml)."
        )

    async def _require(self, run: Run, user: str, right: Right, what: str) -> None:
        await self._permissions.require(user, right, run.plan.workflow, run.place.channel, what)


def _cut_off(run: Run, about: CutOff | None) -> int:
    """The position of the step that a word is about."""
    if not run.state.final:
        for position, step in enumerate(run.steps):
            named = about is None or about == (step.step_id, step.attempts)
            if step.state is StepState.UNKNOWN and named:
                return position
    raise InvalidRequestError("No step of this run waits for a person's word.")


def _manual(run: Run, step_id: str) -> tuple[int, PlannedStep]:
    for position, (step, now) in enumerate(zip(run.plan.steps, run.steps, strict=True)):
        if step.id == step_id and step.kind is StepKind.MANUAL:
            if run.state.final or now.state is not StepState.WAITING:
                raise InvalidRequestError(f"'{step.name}' does not wait for anybody.")
            return position, step
    raise InvalidRequestError(f"This run has no step '{step_id}' that a person does.")


def _again(run: Run) -> dict[int, tuple[StepState, StepProgress]]:
    """What has failed, and what has followed the failure, as if it had not begun."""
    undo = [step.undo for step in run.plan.steps if step.undo is not None]
    if any(run.steps[position].attempts for position in undo):
        raise InvalidRequestError(
            "Steps of this run were undone after the failure; ask for it anew."
        )
    failed = [p for p in positions(run.plan.flow) if run.steps[p].state is StepState.FAILED]
    after = list(positions(run.plan.on_failure)) if run.plan.on_failure else []
    begun = [p for p in after if run.steps[p].state is not StepState.PENDING]
    return (
        {p: (run.steps[p].state, _fresh(run.steps[p])) for p in (*failed, *begun)} if failed else {}
    )


def _fresh(step: StepProgress) -> StepProgress:
    return StepProgress(step_id=step.step_id, attempts=step.attempts)


def _closed(step: StepProgress, state: StepState, by: str | None, summary: str) -> StepProgress:
    return step.model_copy(
        update={
            "state": state,
            "finished_at": datetime.now(UTC),
            "due_at": None,
            "by": by,
            "summary": summary[:2000],
        }
    )
