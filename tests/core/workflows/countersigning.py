"""Workflows with everything real under them: tables, engine, actions with an effect."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from dbos._dbos import _get_or_create_dbos_registry
from sqlalchemy import select, update

from core.calendars.reader import Calendars
from core.gates import GateStore
from core.ports import PostedMessage
from core.security.audit import AuditEntry, AuditLog
from core.security.permissions import Permissions
from core.security.policy import Roles
from core.state import AIWorkflow
from core.store.database import Database
from core.store.other_runs import OtherRuns
from core.store.showing import Showing
from core.store.tables import runs
from core.workflows.actions import ActionRegistry
from core.workflows.display import Display
from core.workflows.engine import RunEngine
from core.workflows.execution import Execution
from core.workflows.guardrails import GuardrailState
from core.workflows.heart import assemble
from core.workflows.plan import PlannedArgument
from core.workflows.run import Run, RunState
from core.workflows.service import RunRequest, WorkflowService
from core.workflows.signatures import Decision
from core.workflows.steering import Steering
from core.workflows.verdict import Judge
from core.workflows.world import Worlds
from tests.core.workflows import kinds
from tests.core.workflows.meeting import MeetingStore
from tests.core.workflows.parts import (
    ALICE,
    DEPLOYS,
    AppendLine,
    People,
    actions,
    lines,
    policy,
    state,
    step,
    typed,
    workflow,
)
from tests.support.postgres import Postgres
from tests.support.until import until

_FAR = {"name": "far away", "from": "2100-01-01 00:00", "to": "2100-01-02 00:00"}
_ALWAYS = {"name": "all week", "from": "Mon 00:00", "to": "Mon 00:00"}
_LINE = {"line": {"description": "what to append"}}
IN_FREEZE = datetime(2100, 1, 1, 12, tzinfo=UTC)


def workflows() -> list[AIWorkflow]:
    """Each kind of workflow that these tests start; all take the line to append."""

    def one(workflow_id: str, *steps: dict[str, Any], **fields: Any) -> AIWorkflow:
        return workflow(*steps, **{"id": workflow_id, "parameters": _LINE, **fields})

    line = "${parameters.line}"
    quick = {"type": "approval", "roles": ["approver"], "expires_after": "10m"}
    freeze = {"type": "freeze", "windows": [_FAR]}
    return [
        one("note", step(line=line), guardrails=[quick, freeze]),
        one("twice", step(line=line), step(step_id="second", line="again ${steps.first.line}")),
        one("once", step("file.append_once", line=line)),
        one("erase", step("file.erase", line=line)),
        one("look", step("file.read", line=line)),
        one("frozen", step(line=line), guardrails=[{"type": "freeze", "windows": [_ALWAYS]}]),
        one(
            "look-frozen",
            step("file.read", line=line),
            guardrails=[{"type": "freeze", "windows": [_ALWAYS]}],
        ),
        one("elsewhere", step("file.read", line=line), start=["lead"]),
        one("fail", step("file.fail", line=line), step(step_id="second", line=line)),
        one("bug", step("file.bug", line=line), step(step_id="second", line=line)),
        one(
            "lose",
            step("file.lose", line=line),
            step(step_id="second", line=f"after {line}"),
            guardrails=[quick],
        ),
        one("hang", step("file.hang", line=line), step(step_id="second", line=f"after {line}")),
        one("slow", step("file.hang_naturally", line=line, time_limit="1s")),
        one("slow-once", step("file.hang", line=line, time_limit="1s")),
        one("surprise", step(line="drop"), step(step_id="second", line="${steps.first.line}")),
        *kinds.workflows(),
    ]


async def channel_name(channel: str) -> str:
    """These tests name channels by their names."""
    return channel


class Silent:
    """Presents nothing: what is shown is another test's matter."""

    async def present(self, run: Run) -> PostedMessage:
        return PostedMessage(channel=run.place.channel, message="1.0", thread="1.0")


@dataclass
class World:
    """What a test acts through and looks at."""

    database: Database
    file: Path
    people: People
    actions: dict[str, AppendLine]
    audit: AuditLog
    store: MeetingStore
    execution: Execution
    engine: RunEngine
    service: WorkflowService
    steering: Steering
    _keys: count[int] = field(default_factory=count)

    async def request(
        self,
        workflow_id: str,
        line: str,
        key: str | None = None,
        user: str = ALICE,
        automatic: bool = False,
        arguments: dict[str, PlannedArgument] | None = None,
    ) -> Run:
        """Ask for a run that appends `line`."""
        return await self.service.request(
            RunRequest(
                key=key or f"{line}:{next(self._keys)}",
                workflow=workflow_id,
                arguments=arguments or typed(line=line),
                requester=user,
                origin="a test",
                place=DEPLOYS,
                automatic=automatic,
            )
        )

    async def approve(self, run: Run, user: str, phrase: str = "") -> Run:
        """Countersign."""
        return await self.service.sign(run.id, user, Decision.APPROVE, phrase)

    async def ended(self, run: Run, *states: RunState) -> Run:
        """The run once it is in one of `states`."""

        async def look() -> Any:
            now = await self.service.get(run.id)
            return now if now.state in states else None

        reached: Run = await until(look, f"{run.id} is {' or '.join(states)}")
        return reached

    def times(self, line: str) -> int:
        """How often `line` has been appended."""
        return lines(self.file).count(line)

    async def entries(self, subject: str) -> list[AuditEntry]:
        """The audit log's entries about something."""
        return [e async for e in self.audit.entries() if e.subject == subject]

    async def alter(self, run: Run, change: Any) -> None:
        """Let `change` alter the stored plan, as somebody with access to the tables could."""
        async with self.database.write() as connection:
            plan = (
                await connection.execute(select(runs.c.plan).where(runs.c.id == run.id))
            ).scalar_one()
            change(plan)
            await connection.execute(update(runs).where(runs.c.id == run.id).values(plan=plan))


@asynccontextmanager
async def running(database: Database, folder: Path) -> AsyncIterator[World]:
    """Start the engine on an open database; one at a time in a process."""
    file = folder / "lines"
    made = actions(file)
    registry = ActionRegistry(made.values())
    people, rules = People(), policy()
    roles = Roles(rules, people)
    audit = AuditLog(database)
    store = MeetingStore(database, audit)
    display = Display(store, Showing(database), Silent())
    made_of = state(folder, *workflows())
    others, gates = OtherRuns(database), GateStore(database, audit)
    judge = Judge(roles, Worlds(registry, others, gates, Calendars(folder)))
    permissions = Permissions(rules, roles, channel_name, made_of.workflows)
    service, engine, execution, steering = assemble(
        made_of, database, store, audit, registry, roles, permissions, judge, display, "test"
    )
    engine.launch()
    try:
        yield World(
            database, file, people, made, audit, store, execution, engine, service, steering
        )
    finally:
        engine.close()
        # DBOS knows one instance for a process; whoever comes next makes their own.
        _get_or_create_dbos_registry().instance_info_map.clear()


def at(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    """Let guardrails be judged as at `moment`."""

    class Then:
        @staticmethod
        def now(tz: tzinfo) -> datetime:
            return moment.astimezone(tz)

    monkeypatch.setattr("core.workflows.verdict.datetime", Then)


def later(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    """Let guardrails be judged as if it were later."""
    at(monkeypatch, datetime.now(UTC) + by)


def guardrail_states(run: Run) -> list[GuardrailState]:
    """What each guardrail said."""
    return [result.state for result in run.guardrails]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgresql"])
async def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """Everything, running."""
    folder = tmp_path_factory.mktemp("world")
    url = f"sqlite+aiosqlite:///{folder / 'countersign.db'}"
    server: Postgres | None = None
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
        url = server.new_database()
    database = Database(url)
    await database.open()
    async with running(database, folder) as started:
        yield started
    await database.close()
    if server is not None:
        server.drop(url)
