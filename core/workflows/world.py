"""The surroundings of a run: what its guardrails ask of systems, other runs, gates, calendars."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar, cast

from pydantic import JsonValue

from core.calendars.reader import CalendarEvent, Calendars
from core.canonical import canonical_digest
from core.errors import CountersignError, InvalidRequestError
from core.gates import GateStore
from core.records import storable_text
from core.store.other_runs import OtherRuns
from core.workflows.actions import ActionContext, ActionError, ActionRegistry
from core.workflows.guardrails.base import Begun, DryRun, Gate, World
from core.workflows.plan import PlannedStep
from core.workflows.planning import shown_preview
from core.workflows.run import Run, RunState

T = TypeVar("T")

_LONGEST_S = 20.0  # below the judge's limit, so that the guardrail can say what was too slow
_GOOD_FOR_S = 20.0
_AT_ONCE = 8
_OUTPUT_CHARACTERS = 4000


@dataclass(frozen=True)
class _Kept:
    answer: object
    until: float


class Worlds:
    """Makes the surroundings of runs.

    What other systems say is kept for some seconds while a run waits for countersignatures, as
    its card is judged again and again; when it is about to begin, they are asked anew.

    Args:
        clock: seconds that never go back.
    """

    def __init__(
        self,
        registry: ActionRegistry,
        others: OtherRuns,
        gates: GateStore,
        calendars: Calendars,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = registry
        self.others = others
        self.gates = gates
        self.calendars = calendars
        self._clock = clock
        self._kept: dict[tuple[str, str], _Kept] = {}

    def of(self, run: Run) -> World:
        """What guardrails may ask about this run."""
        return _RunWorld(self, run)

    async def remembered(self, run: Run, question: str, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer to a question, a kept one where it is young enough and nothing begins."""
        now = self._clock()
        kept = self._kept.get((run.id, question))
        if kept is not None and now < kept.until and run.state is RunState.AWAITING:
            return cast("T", kept.answer)
        answer = await ask()
        self._kept = {key: one for key, one in self._kept.items() if now < one.until}
        self._kept[run.id, question] = _Kept(answer, now + _GOOD_FOR_S)
        return answer


class _RunWorld(World):
    """One run's surroundings."""

    def __init__(self, worlds: Worlds, run: Run) -> None:
        self._worlds = worlds
        self._run = run

    async def read(self, action: str, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """See `World.read`."""
        question = f"{action} {canonical_digest(arguments)}"
        return await self._worlds.remembered(
            self._run, question, lambda: self._read(question, action, arguments)
        )

    async def begun(
        self, since: datetime, workflow: str | None = None, target: str | None = None
    ) -> list[Begun]:
        """See `World.begun`."""
        return await self._worlds.others.begun(self._run.id, since, workflow, target)

    async def lock_holder(self, name: str) -> str | None:
        """See `World.lock_holder`."""
        return await self._worlds.others.lock_holder(self._run.id, name)

    async def dry_run(self) -> list[DryRun]:
        """See `World.dry_run`."""
        return await self._worlds.remembered(self._run, "dry run", self._dry_run)

    async def gate(self, kind: str, subject: str) -> Gate | None:
        """See `World.gate`."""
        return await self._worlds.gates.newest(kind, subject)

    async def calendar(self, file: str, timezone: str) -> tuple[CalendarEvent, ...]:
        """See `World.calendar`."""
        return await self._worlds.calendars.around_now(file, timezone)

    async def _read(
        self, question: str, name: str, arguments: dict[str, JsonValue]
    ) -> dict[str, JsonValue]:
        action = self._worlds.registry.get(name)
        typed = action.read(arguments)
        if not action.only_looks(typed):
            raise InvalidRequestError(
                f"{name} with these arguments is not a read action; a guardrail may only look."
            )
        if action.output_kind == "model":
            raise InvalidRequestError(
                f"A model writes what {name} says; a guardrail compares what a system says."
            )
        context = ActionContext(
            run_id=self._run.id,
            step_id="guardrail",
            key=f"{self._run.id}/guardrail/{question}",
            repeated=False,
            requester=self._run.requester,
            place=self._run.place,
        )
        try:
            async with asyncio.timeout(_LONGEST_S):
                result = await action.execute(typed, context)
        except TimeoutError as error:
            raise ActionError(f"{name} did not answer within {_LONGEST_S:.0f} s.") from error
        output = result.output[:_OUTPUT_CHARACTERS]
        return {"values": result.values, "summary": result.summary, "output": output}

    async def _dry_run(self) -> list[DryRun]:
        gate = asyncio.Semaphore(_AT_ONCE)
        shown = [step for step in self._run.plan.steps if step.preview is not None]
        return list(await asyncio.gather(*(self._preview(step, gate) for step in shown)))

    async def _preview(self, step: PlannedStep, gate: asyncio.Semaphore) -> DryRun:
        output, problem = "", ""
        try:
            action = self._worlds.registry.get(step.action)
            async with gate, asyncio.timeout(_LONGEST_S):
                output = await action.preview(action.read(step.arguments)) or ""
        except TimeoutError:
            problem = f"It took longer than {_LONGEST_S:.0f} s."
        except CountersignError as error:
            problem = str(error)
        return DryRun(
            step=step.name,
            shown=step.preview or "",
            output=shown_preview(output),
            problem=storable_text(problem),
        )
