"""What happens in each durable step of a run: authorise, perform, finish.

Every function here may be called again after a crash; what was done is found in the tables.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum

from pydantic import BaseModel, JsonValue

from core.errors import CountersignError
from core.records import Idempotency
from core.security.policy import Roles
from core.store.runs import RunStore, UnreadableRunError
from core.workflows.actions import (
    Action,
    ActionContext,
    ActionError,
    ActionRegistry,
    OutcomeUnknownError,
)
from core.workflows.plan import PlannedStep
from core.workflows.run import Run, RunState, StepProgress, StepState
from core.workflows.template import references, render
from core.workflows.verdict import judge

ENGINE = "countersign"
_OUTPUT_CHARACTERS = 20_000


class Resolution(StrEnum):
    """What a person says about a step that was cut off."""

    DONE = "done"
    REPEAT = "repeat"
    STOP = "stop"


class Execution:
    """Carries out approved plans, one step at a time.

    Args:
        store: where progress is kept.
        registry: the actions.
        roles: asked again at execution, so that a signer who lost the role counts no more.
        changed: called after each change, for whoever shows runs.
    """

    def __init__(
        self,
        store: RunStore,
        registry: ActionRegistry,
        roles: Roles,
        changed: Callable[[], None],
    ) -> None:
        self._store = store
        self._registry = registry
        self._roles = roles
        self._changed = changed

    async def authorise(self, run_id: str) -> list[str]:
        """Check digest and guardrails once more, and let the run begin.

        Returns:
            The ids of the steps to do; none where the run may not begin.
        """
        try:
            run = await self._store.get(run_id)
        except UnreadableRunError as error:
            await self._block(run_id, str(error))
            return []
        steps = [step.id for step in run.plan.steps]
        if run.state is RunState.RUNNING:
            return steps  # let in before a crash
        obstacle = await self._obstacle(run)
        if obstacle:
            await self._block(run_id, obstacle)
            return []
        begun = await self._store.transition(
            run_id, {RunState.APPROVED}, RunState.RUNNING, ENGINE, details={"digest": run.digest}
        )
        return steps if begun else []

    async def perform(self, run_id: str, position: int, excused: int = 0) -> StepState:
        """Do one step, unless it is known to be done already.

        Args:
            excused: how many earlier attempts had no effect, as a person has said.
        """
        run = await self._store.get(run_id)
        if run.state is RunState.ATTENTION and run.steps[position].state is StepState.UNKNOWN:
            return StepState.UNKNOWN  # asked for a person's word before a crash
        if run.state is not RunState.RUNNING:
            return StepState.SKIPPED  # cancelled in between
        step = run.plan.steps[position]
        before = await self._store.begin_step(run_id, position)
        self._changed()
        if before.state in {StepState.SUCCEEDED, StepState.FAILED}:
            return before.state
        cut_off = before.attempts > excused
        if cut_off and step.idempotency is Idempotency.NONE:
            after = StepProgress(
                step_id=step.id,
                state=StepState.UNKNOWN,
                attempts=before.attempts,
                started_at=before.started_at,
                summary="It was cut off in the middle; nobody knows whether it took effect.",
            )
        else:
            after = await self._attempt(run, step, before, repeated=cut_off)
        await self._store.set_step(run_id, position, after, ENGINE)
        asked = after.state is StepState.UNKNOWN and await self._store.transition(
            run_id, {RunState.RUNNING}, RunState.ATTENTION, ENGINE, after.summary
        )
        self._changed()
        if after.state is StepState.UNKNOWN and not asked:
            return StepState.SKIPPED  # cancelled in the middle
        return after.state

    async def resolve(self, run_id: str, position: int, resolution: Resolution, user: str) -> int:
        """Record a person's word on a step that was cut off, and let the run go on or end.

        Returns:
            How many attempts the word is about.
        """
        run = await self._store.get(run_id)
        attempts = run.steps[position].attempts
        if resolution is Resolution.STOP:
            await self._store.transition(
                run_id, {RunState.ATTENTION}, RunState.CANCELLED, user, "Stopped after a cut-off."
            )
            self._changed()
            return attempts
        if resolution is Resolution.DONE:
            done = run.steps[position].model_copy(
                update={
                    "state": StepState.SUCCEEDED,
                    "finished_at": datetime.now(UTC),
                    "summary": f"Done before the cut-off, says {user}.",
                }
            )
            await self._store.set_step(run_id, position, done, user)
        await self._store.transition(run_id, {RunState.ATTENTION}, RunState.RUNNING, user)
        self._changed()
        return attempts

    async def finish(self, run_id: str, state: StepState) -> None:
        """End the run by how its last step went."""
        after = RunState.SUCCEEDED if state is StepState.SUCCEEDED else RunState.FAILED
        run = await self._store.get(run_id)
        failed = next((s.summary for s in run.steps if s.state is StepState.FAILED), "")
        await self._store.transition(run_id, {RunState.RUNNING}, after, ENGINE, failed)
        self._changed()

    async def _block(self, run_id: str, reason: str) -> None:
        await self._store.transition(run_id, {RunState.APPROVED}, RunState.BLOCKED, ENGINE, reason)
        self._changed()

    async def _obstacle(self, run: Run) -> str:
        if run.plan.digest != run.digest:
            return f"The plan is not the one that was signed ({run.plan.digest[:19]}…)."
        verdict = await judge(run, self._roles)
        if not verdict.met:
            return verdict.obstacle
        return next(filter(None, (self._changed_meaning(step) for step in run.plan.steps)), "")

    def _changed_meaning(self, step: PlannedStep) -> str:
        """How a step would now do something else than what was signed, or nothing."""
        if next(references(step.arguments), None) is not None:
            return ""  # its arguments are known only when it is its turn
        try:
            action = self._registry.get(step.action)
            typed = action.read(step.arguments)
            risk, description = action.risk_of(typed), action.describe(typed)
        except CountersignError as error:
            return f"'{step.name}' cannot be done any more: {error}"
        if risk.rank > step.risk.rank:
            return f"'{step.name}' is {risk} now, and {step.risk} was signed."
        if description != step.description:
            return f"'{step.name}' would now be “{description}”; signed was “{step.description}”."
        return ""

    async def _attempt(
        self, run: Run, step: PlannedStep, before: StepProgress, repeated: bool
    ) -> StepProgress:
        started = datetime.now(UTC)
        state, summary, output = StepState.FAILED, "", ""
        values: dict[str, JsonValue] = {}
        link = None
        try:
            action, typed = self._prepare(run, step)
            context = ActionContext(
                run_id=run.id,
                step_id=step.id,
                key=f"{run.id}/{step.id}",
                repeated=repeated,
                requester=run.requester,
                place=run.place,
            )
            async with asyncio.timeout(step.time_limit_s):
                result = await action.execute(typed, context)
            state, summary, output = StepState.SUCCEEDED, result.summary, result.output
            values, link = result.values, result.link
        except OutcomeUnknownError as error:
            state, summary = StepState.UNKNOWN, str(error)
        except TimeoutError:
            summary = f"It did not finish within {step.time_limit_s:.0f} s and was stopped."
            if step.idempotency is Idempotency.NONE:
                state = StepState.UNKNOWN
        except ActionError as error:
            summary = str(error)
        except CountersignError as error:
            summary = f"It could not be started: {error}"
        return StepProgress(
            step_id=step.id,
            state=state,
            attempts=before.attempts + 1,
            started_at=started,
            finished_at=datetime.now(UTC),
            summary=summary[:2000],
            output=output[:_OUTPUT_CHARACTERS],
            values=values,
            link=link,
        )

    def _prepare(self, run: Run, step: PlannedStep) -> tuple[Action[BaseModel], BaseModel]:
        """The action with its arguments, the earlier steps' outputs filled in."""
        outputs: dict[str, JsonValue] = {
            progress.step_id: {**progress.values, "summary": progress.summary}
            for progress in run.steps
            if progress.state is StepState.SUCCEEDED
        }
        scope: dict[str, JsonValue] = {"steps": outputs}
        arguments = {key: render(v, scope, frozenset()) for key, v in step.arguments.items()}
        action = self._registry.get(step.action)
        typed = action.read(arguments)
        if action.risk_of(typed).rank > step.risk.rank:
            raise ActionError(
                f"{step.action} would be {action.risk_of(typed)} with these arguments, "
                f"and {step.risk} was signed."
            )
        return action, typed
