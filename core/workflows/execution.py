"""How a run is carried out: it begins, its flow is walked, what failed is taken back, it ends.

The engine calls `carry_out` for each generation of a run. It may be called again after a crash:
what was done is found in the tables.
"""

from __future__ import annotations

import logging

from sqlalchemy.exc import SQLAlchemyError

from core.store.database import unreachable
from core.store.progress import ENGINE
from core.store.runs import Start, UnreadableRunError
from core.workflows.admission import Admission
from core.workflows.flow import Outcome, positions, walk
from core.workflows.run import Run, RunState, StepState
from core.workflows.segment import Segment, SupersededError, Tools

__all__ = ["ENGINE", "Execution", "Tools"]

_log = logging.getLogger(__name__)


class Execution:
    """Carries out runs.

    Args:
        admission: whether one may begin.
    """

    def __init__(self, tools: Tools, admission: Admission) -> None:
        self._tools = tools
        self._store = tools.store
        self._admission = admission

    async def carry_out(self, run_id: str, generation: int, known: Run | None = None) -> None:
        """Do what can be done of a run without a person, or nothing where it is not its turn.

        Args:
            known: the run as it was just written, where it was here.
        """
        try:
            segment = await self._enter(run_id, generation, known)
            while segment is not None:
                if await self._finish(segment, await self._walk(segment)):
                    return
                segment = await self._claim(run_id, generation)  # a person has just answered
        except SupersededError as stop:
            _log.info("%s", stop)
        except SQLAlchemyError as error:
            if not unreachable(error):
                raise
            # The sweep takes it up again, as a new generation, once the database answers.
            _log.warning("run %s stands still, the database is away: %s", run_id, error)

    async def _enter(self, run_id: str, generation: int, known: Run | None) -> Segment | None:
        try:
            run = known or await self._store.get(run_id)
        except UnreadableRunError as error:
            begun, approved = {RunState.RUNNING, RunState.ATTENTION}, {RunState.APPROVED}
            await self._store.transition(run_id, begun, RunState.FAILED, ENGINE, str(error))
            await self._store.transition(run_id, approved, RunState.BLOCKED, ENGINE, str(error))
            self._tools.changed()
            return None
        if run.generation != generation:
            return None
        if run.state is RunState.RUNNING:
            return await self._claim(run_id, generation)
        return await self._begin(run) if run.state is RunState.APPROVED else None

    async def _claim(self, run_id: str, generation: int) -> Segment | None:
        claimed = await self._store.claim(run_id, generation)
        if claimed is None:
            return None
        run, epoch = claimed
        segment = Segment(self._tools, run, epoch)
        # It was read again: is it the same, and did it begin as runs begin?
        if obstacle := self._admission.altered(run) or self._admission.unsigned(run):
            await segment.end(RunState.BLOCKED, obstacle)
            return None
        return segment

    async def _begin(self, run: Run) -> Segment | None:
        ruling = await self._admission.rule(run)
        reason = ruling.reason
        if ruling.after is RunState.RUNNING:
            start = Start(run.id, run.digest, run.plan.targets, ruling.claims, ruling.results)
            started = await self._store.begin(start)
            if started.epoch is not None:
                begun = run.model_copy(update={"state": RunState.RUNNING})
                return Segment(self._tools, begun, started.epoch)
            reason = started.conflict
        if ruling.after.final:
            await self._store.transition(run.id, {RunState.APPROVED}, ruling.after, ENGINE, reason)
        elif reason:
            await self._store.postpone(run.id, run.generation, reason)
        self._tools.changed()
        return None

    async def _walk(self, segment: Segment) -> Outcome:
        outcome = await walk(segment.run.plan.flow, segment)
        if outcome is Outcome.FAILED:
            outcome = await self._take_back(segment)
        return outcome

    async def _take_back(self, segment: Segment) -> Outcome:
        """After a failure: undo what was done, the last first, and then what is to follow."""
        plan = segment.run.plan
        done = [p for p in positions(plan.flow) if segment.steps[p].state is StepState.SUCCEEDED]
        done.sort(key=lambda p: segment.steps[p].finished_at or segment.run.created_at)
        undo = [at for p in reversed(done) if (at := plan.steps[p].undo) is not None]
        if not undo and plan.on_failure is None:
            return Outcome.FAILED
        if obstacle := await self._admission.still_signed(await self._store.get(segment.run.id)):
            segment.remark = f"Nothing was undone: {obstacle}"
            return Outcome.FAILED
        for position in undo:
            outcome = await segment.perform(position, more=False)
            if outcome > Outcome.FAILED:
                return outcome  # one that fails does not keep the others from being undone
        if plan.on_failure is not None:
            outcome = await walk(plan.on_failure, segment)
            if outcome > Outcome.FAILED:
                return outcome
        return Outcome.FAILED

    @staticmethod
    async def _finish(segment: Segment, outcome: Outcome) -> bool:
        """Write how it ended; False where it can go on after all."""
        match outcome:
            case Outcome.DONE:
                return await segment.end(RunState.SUCCEEDED, "")
            case Outcome.FAILED:
                return await segment.end(RunState.FAILED, segment.failure())
            case Outcome.WAITING:
                return await segment.end(RunState.ATTENTION, segment.question())
        await segment.flush()
        return True
