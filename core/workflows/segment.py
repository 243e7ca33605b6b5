"""A segment: what one process does of one run, from how it stands in the tables.

What has ended is not done again: the tables are the memory, and another segment goes on from them
after a crash. Every write is fenced by the epoch under which the segment has claimed the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from core.errors import CountersignError
from core.records import Idempotency
from core.store.runs import Move, RunStore
from core.workflows.actions import ActionRegistry
from core.workflows.attempt import CUT_OFF, attempt
from core.workflows.conditions import holds
from core.workflows.definition import StepKind, spoken
from core.workflows.flow import Outcome
from core.workflows.pictures import KeepPicture
from core.workflows.plan import PlannedStep
from core.workflows.run import Run, RunState, StepProgress, StepState
from core.workflows.scope import scope_at
from core.workflows.template import render

_POLL_S = 1.0  # for a person's answer, which may come to another replica
_LOOK_S = 60.0  # whether the run was cancelled in a long wait
_ENDED = {
    StepState.SUCCEEDED: Outcome.DONE,
    StepState.SKIPPED: Outcome.DONE,
    StepState.FAILED: Outcome.FAILED,
}


class SupersededError(CountersignError):
    """Another segment has claimed the run; this one must do nothing more."""


@dataclass(frozen=True)
class Tools:
    """What every segment works with.

    Attributes:
        changed: called after each change, for whoever shows runs.
        keep: stores the pictures that actions give.
    """

    store: RunStore
    registry: ActionRegistry
    changed: Callable[[], None]
    keep: KeepPicture


class Segment:
    """Does the steps of one run; `flow.Steps`.

    Attributes:
        steps: how each step stands, by position.
        remark: added to the reason for which the run has failed.
    """

    def __init__(self, tools: Tools, run: Run, epoch: int) -> None:
        self._tools = tools
        self._epoch = epoch
        self.run = run
        self.steps: list[StepProgress] = list(run.steps)
        self.remark = ""
        self._unwritten: dict[int, StepProgress] = {}
        self._busy = 0  # steps and pauses under way
        self._attending = 0  # those of them that wait for a person

    async def perform(self, position: int, more: bool) -> Outcome:
        """See `flow.Steps.perform`."""
        self._busy += 1
        try:
            return await self._perform(position, more)
        finally:
            self._busy -= 1

    async def pause(self, positions: Iterable[int], seconds: float) -> Outcome:
        """See `flow.Steps.pause`. When it began is in the tables: when the last step ended."""
        self._busy += 1
        try:
            finished = [at for p in positions if (at := self.steps[p].finished_at) is not None]
            if not finished:
                return Outcome.DONE
            return await self._sleep(max(finished) + timedelta(seconds=seconds), min(positions))
        finally:
            self._busy -= 1

    async def end(self, state: RunState, reason: str) -> bool:
        """End the run, or let it wait for people; False where one has answered meanwhile."""
        waiting = frozenset[int]()
        if state is RunState.ATTENTION:
            waiting = frozenset(self.waiting())
        after = await self._save(end=(state, reason), waiting=waiting)
        return after is not RunState.RUNNING

    async def flush(self) -> None:
        """Write what has ended and is not written yet."""
        if self._unwritten:
            await self._save()

    def waiting(self) -> list[int]:
        """Positions of the steps for which a person is waited for."""
        return [
            position
            for position, (step, now) in enumerate(
                zip(self.run.plan.steps, self.steps, strict=True)
            )
            if now.state is StepState.UNKNOWN
            or (now.state is StepState.WAITING and step.kind is StepKind.MANUAL)
        ]

    def failure(self) -> str:
        """Why the run has failed: what its first failed step says."""
        failed = (step.summary for step in self.steps if step.state is StepState.FAILED)
        why = next(failed, "")
        return f"{why.rstrip('.')}. {self.remark}" if why and self.remark else why or self.remark

    def question(self) -> str:
        """What people are asked for: of the first step that waits for one."""
        position = self.waiting()[0]
        now = self.steps[position]
        if now.state is StepState.UNKNOWN:
            return now.summary
        return f"To do and to confirm: {self.run.plan.steps[position].name}."

    async def _perform(self, position: int, more: bool) -> Outcome:
        step, now = self.run.plan.steps[position], self.steps[position]
        if now.state in _ENDED:
            return _ENDED[now.state]
        if now.state is StepState.UNKNOWN:
            return await self._attend(position, more)
        try:
            if now.state is StepState.PENDING and not self._applies(step, position):
                return await self._ended(position, _skipped(now, step), more)
            match step.kind:
                case StepKind.WAIT:
                    return await self._wait(position, step, now, more)
                case StepKind.MANUAL:
                    return await self._ask(position, step, now, more)
            return await self._act(position, step, more)
        except CountersignError as error:
            if isinstance(error, SupersededError):
                raise
            return await self._ended(position, _failed(self.steps[position], str(error)), more)

    def _applies(self, step: PlannedStep, position: int) -> bool:
        if step.when is None:
            return True
        return holds(step.when, scope_at(self.run.plan, self.steps, position))

    async def _act(self, position: int, step: PlannedStep, more: bool) -> Outcome:
        while True:
            now = self.steps[position]
            if now.state is StepState.RUNNING and step.idempotency is Idempotency.NONE:
                cut = now.model_copy(update={"state": StepState.UNKNOWN, "summary": CUT_OFF})
                return await self._ended(position, cut, more)
            if await self._sleep(now.due_at, position) is Outcome.STOPPED:
                return Outcome.STOPPED
            begun = StepProgress(
                step_id=step.id,
                state=StepState.RUNNING,
                attempts=now.attempts + 1,
                started_at=datetime.now(UTC),
            )
            if await self._save(begun={position: begun}) is not RunState.RUNNING:
                return Outcome.STOPPED
            self.steps[position] = begun
            after = await attempt(
                self._tools.registry,
                self.run,
                step,
                begun,
                lambda: scope_at(self.run.plan, self.steps, position),
                self._tools.keep,
            )
            if after.state is not StepState.WAITING:
                return await self._ended(position, after, more)
            if await self._write(position, after) is not RunState.RUNNING:
                return Outcome.STOPPED

    async def _wait(
        self, position: int, step: PlannedStep, now: StepProgress, more: bool
    ) -> Outcome:
        if now.due_at is None:
            started = datetime.now(UTC)
            due_at = started + timedelta(seconds=step.wait_s or 0)
            now = now.model_copy(
                update={"state": StepState.WAITING, "started_at": started, "due_at": due_at}
            )
            if await self._write(position, now) is not RunState.RUNNING:
                return Outcome.STOPPED
        if await self._sleep(now.due_at, position) is Outcome.STOPPED:
            return Outcome.STOPPED
        waited = spoken(timedelta(seconds=step.wait_s or 0))
        done = {
            "state": StepState.SUCCEEDED,
            "finished_at": datetime.now(UTC),
            "summary": f"Waited {waited}.",
        }
        return await self._ended(position, now.model_copy(update=done), more)

    async def _ask(
        self, position: int, step: PlannedStep, now: StepProgress, more: bool
    ) -> Outcome:
        if now.state is StepState.PENDING:
            scope = scope_at(self.run.plan, self.steps, position)
            started = datetime.now(UTC)
            asked = now.model_copy(
                update={
                    "state": StepState.WAITING,
                    "attempts": now.attempts + 1,
                    "started_at": started,
                    "due_at": started + timedelta(seconds=step.time_limit_s),
                    "summary": str(render(step.description, scope, frozenset()))[:2000],
                    "values": {k: render(v, scope, frozenset()) for k, v in step.arguments.items()},
                }
            )
            if await self._write(position, asked) is not RunState.RUNNING:
                return Outcome.STOPPED
        return await self._attend(position, more)

    async def _attend(self, position: int, more: bool) -> Outcome:
        """Wait for a person's answer as long as something else goes on beside."""
        self._attending += 1
        try:
            while self._attending < self._busy:
                await asyncio.sleep(_POLL_S)
                state, epoch, now = await self._tools.store.look(self.run.id, position)
                if epoch != self._epoch:
                    raise SupersededError(self.run.id)
                if state is not RunState.RUNNING:
                    return Outcome.STOPPED
                self.steps[position] = now
                if now.state in _ENDED:
                    return _ENDED[now.state]
                if now.state is StepState.PENDING:
                    break
            else:
                return Outcome.WAITING
        finally:
            self._attending -= 1
        return await self._perform(position, more)  # a person has said that it be repeated

    async def _sleep(self, until: datetime | None, position: int) -> Outcome:
        if until is None:
            return Outcome.DONE
        await self.flush()
        while (left_s := (until - datetime.now(UTC)).total_seconds()) > 0:
            await asyncio.sleep(min(left_s, _LOOK_S))
            if left_s > _LOOK_S:
                state, epoch, _ = await self._tools.store.look(self.run.id, position)
                if epoch != self._epoch:
                    raise SupersededError(self.run.id)
                if state is not RunState.RUNNING:
                    return Outcome.STOPPED
        return Outcome.DONE

    async def _ended(self, position: int, after: StepProgress, more: bool) -> Outcome:
        outcome = _ENDED.get(after.state)
        if more and outcome is Outcome.DONE:
            self.steps[position] = self._unwritten[position] = after
            return outcome
        state = await self._write(position, after)
        if state is not RunState.RUNNING:
            return Outcome.STOPPED
        return await self._attend(position, more) if outcome is None else outcome

    async def _write(self, position: int, after: StepProgress) -> RunState:
        self.steps[position] = self._unwritten[position] = after
        return await self._save()

    async def _save(
        self,
        begun: dict[int, StepProgress] | None = None,
        end: tuple[RunState, str] | None = None,
        waiting: frozenset[int] = frozenset(),
    ) -> RunState:
        ended, self._unwritten = self._unwritten, {}
        move = Move(self.run.id, self._epoch, ended, begun or {}, end, waiting)
        state = await self._tools.store.save(move)
        if state is None:
            raise SupersededError(f"run {self.run.id} is carried out elsewhere")
        self._tools.changed()
        return state


def _skipped(now: StepProgress, step: PlannedStep) -> StepProgress:
    return now.model_copy(
        update={
            "state": StepState.SKIPPED,
            "finished_at": datetime.now(UTC),
            "summary": f"Left out: {step.when} is false.",
        }
    )


def _failed(now: StepProgress, why: str) -> StepProgress:
    return now.model_copy(
        update={
            "state": StepState.FAILED,
            "finished_at": datetime.now(UTC),
            "summary": why[:2000],
        }
    )
