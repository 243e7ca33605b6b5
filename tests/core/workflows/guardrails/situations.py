"""A situation and a world that tests fill with what they are about."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue, TypeAdapter

from core.calendars.reader import CalendarEvent
from core.errors import CountersignError
from core.records import Risk
from core.workflows.guardrails import AnyGuardrail, Guardrail, GuardrailResult, Situation
from core.workflows.guardrails.base import Begun, DryRun, Gate

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)

_ANY: TypeAdapter[Guardrail] = TypeAdapter(AnyGuardrail)


def guardrail(kind: str, **fields: Any) -> Guardrail:
    """A guardrail as a workflow file has it."""
    return _ANY.validate_python({"type": kind, **fields})


def stored(rail: Guardrail) -> Guardrail:
    """The same, after it has been written into a plan and read again."""
    return _ANY.validate_python(_ANY.dump_python(rail, mode="json", by_alias=True))


def situation(**changes: Any) -> Situation:
    """Noon on a Wednesday; `changes` says what the test is about."""
    here = Situation(
        now=NOW,
        run_id="abcdef012345",
        workflow="deploy",
        digest="sha256:0",
        risk=Risk.CHANGE,
        environment="production",
        requester="U0ALICE",
        created_at=NOW,
        targets=("web-1",),
        signatures=(),
        roles={},
    )
    return replace(here, **changes)


@dataclass
class ToldWorld:
    """A world that says what it was told to; what it was not told, nobody may ask."""

    reads: dict[str, dict[str, JsonValue] | CountersignError] = field(default_factory=dict)
    others: list[Begun] = field(default_factory=list)
    holders: dict[str, str] = field(default_factory=dict)
    dry_runs: list[DryRun] = field(default_factory=list)
    gates: dict[tuple[str, str], Gate] = field(default_factory=dict)
    events: tuple[CalendarEvent, ...] | CountersignError = ()
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    async def read(self, action: str, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        self.asked.append((action, arguments))
        answer = self.reads[action]
        if isinstance(answer, CountersignError):
            raise answer
        return answer

    async def begun(
        self, since: datetime, workflow: str | None = None, target: str | None = None
    ) -> list[Begun]:
        self.asked.append((since, workflow, target))
        return self.others

    async def lock_holder(self, name: str) -> str | None:
        self.asked.append((name,))
        return self.holders.get(name)

    async def dry_run(self) -> list[DryRun]:
        return self.dry_runs

    async def gate(self, kind: str, subject: str) -> Gate | None:
        return self.gates.get((kind, subject))

    async def calendar(self, file: str, timezone: str) -> tuple[CalendarEvent, ...]:
        self.asked.append((file, timezone))
        if isinstance(self.events, CountersignError):
            raise self.events
        return self.events


async def judged(rail: Guardrail, world: ToldWorld, here: Situation) -> GuardrailResult:
    """Look, then evaluate, as the judge does."""
    return rail.evaluate(replace(here, seen=await rail.look(world, here)))
