"""Workflows under each guardrail, with the real engine, tables, judge and worlds under them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from dbos._dbos import _get_or_create_dbos_registry
from sqlalchemy import update

from core.calendars.reader import Calendars
from core.gates import GateStore
from core.security.audit import AuditLog
from core.security.permissions import Permissions
from core.security.policy import Roles
from core.state import AIWorkflow
from core.store.database import Database
from core.store.other_runs import OtherRuns
from core.store.runs import RunStore
from core.store.showing import Showing
from core.store.tables import runs
from core.workflows.actions import ActionRegistry
from core.workflows.display import Display
from core.workflows.heart import assemble
from core.workflows.plan import PlannedArgument
from core.workflows.run import Run, RunState
from core.workflows.service import RunRequest, WorkflowService
from core.workflows.signatures import Decision
from core.workflows.verdict import Judge
from core.workflows.world import Worlds
from tests.core.workflows.countersigning import Silent, channel_name
from tests.core.workflows.guardrails.inventory import Machines, inventory
from tests.core.workflows.parts import ALICE, BOB, DEPLOYS, TYPED, People, policy, state
from tests.support.postgres import Postgres
from tests.support.until import until


def soon(minutes: int) -> str:
    """A time of today, as a freeze window has it."""
    return f"{datetime.now(UTC) + timedelta(minutes=minutes):%Y-%m-%d %H:%M}"


LISTED = {"action": "inventory.list", "with": {"region": "${parameters.region}"}}
GUARDS: dict[str, list[dict[str, Any]]] = {
    "freeze": [
        {
            "type": "freeze",
            "windows": [{"name": "sale", "from": soon(60), "to": soon(120)}],
        }
    ],
    "calendar": [{"type": "freeze", "calendar": "ops.ics", "only": "freeze"}],
    "environment": [{"type": "environment", "allowed": ["staging"]}],
    "few": [{"type": "blast_radius", "limit": 2}],
    "part": [
        {
            "type": "blast_radius",
            "percent": 50,
            "of": {**LISTED, "count": "size(values.hosts)"},
        }
    ],
    "known": [
        {
            "type": "precondition",
            **LISTED,
            "expect": "parameters.hosts.all(host, host in values.hosts)",
            "message": "The inventory knows them all",
        }
    ],
    "dry-run": [{"type": "preview"}],
    "same-dry-run": [{"type": "preview", "unchanged": True}],
    "hourly": [{"type": "rate", "of": "target", "limit": 1, "per": "1h"}],
    "one-by-one": [{"type": "lock"}],
    "alone": [{"type": "lock", "name": "region-${parameters.region}"}],
    "clean-data": [{"type": "dataset_gate", "subject": "data-${parameters.region}"}],
    "good-model": [{"type": "evaluation_gate", "subject": "router", "max_age": "7d"}],
}


def workflows() -> list[AIWorkflow]:
    """One for each guardrail; all move hosts, one after the other."""
    return [
        AIWorkflow.model_validate(
            {
                "id": name,
                "name": "Move hosts",
                "objective": "They are elsewhere.",
                "environment": "${parameters.environment}",
                "parameters": {
                    "hosts": {"type": "list", "description": "which"},
                    "region": {"description": "where", "default": "eu"},
                    "environment": {"description": "which", "default": "production"},
                },
                "targets": ["hosts"],
                "steps": [
                    {
                        "id": "each",
                        "name": "Each host",
                        "for_each": "${parameters.hosts}",
                        "steps": [
                            {
                                "id": "move",
                                "name": "Move it",
                                "action": "inventory.move",
                                "with": {"host": "${each}"},
                            }
                        ],
                    }
                ],
                "guardrails": guards,
            }
        )
        for name, guards in GUARDS.items()
    ]


@dataclass
class Moment:
    """When guardrails are judged: now, or at a time that a test says."""

    at: datetime | None = None

    def __call__(self) -> datetime:
        return self.at or datetime.now(UTC)


@dataclass
class Guarded:
    """What a test acts through and looks at."""

    database: Database
    folder: Path
    machines: Machines
    gates: GateStore
    store: RunStore
    service: WorkflowService
    moment: Moment
    _keys: count[int] = field(default_factory=count)

    async def request(self, workflow: str, *hosts: str, **values: str) -> Run:
        """Ask for a run that moves `hosts`."""
        given = {"hosts": hosts, **values}
        return await self.service.request(
            RunRequest(
                key=f"{workflow}:{next(self._keys)}",
                workflow=workflow,
                arguments={
                    name: PlannedArgument(value=value, provenance=TYPED)
                    for name, value in given.items()
                },
                requester=ALICE,
                origin="a test",
                place=DEPLOYS,
            )
        )

    async def sign(self, run: Run) -> Run:
        """The one signature that it needs."""
        return await self.service.sign(run.id, BOB, Decision.APPROVE)

    async def begin(self, workflow: str, *hosts: str, **values: str) -> Run:
        """Ask and sign."""
        return await self.sign(await self.request(workflow, *hosts, **values))

    async def ended(self, run: Run, state: RunState) -> Run:
        """The run once it is in `state`; the sweep comes by, as it does."""

        async def look() -> Any:
            await self.service.sweep()
            now = await self.service.get(run.id)
            return now if now.state is state else None

        reached: Run = await until(look, f"{run.id} is {state}")
        return reached

    async def held_back(self, run: Run, reason: str) -> Run:
        """The run once it could not begin for `reason`, and waits to be tried again."""

        async def look() -> Any:
            await self.service.sweep()
            now = await self.service.get(run.id)
            return now if now.state is RunState.APPROVED and reason in now.reason else None

        waiting: Run = await until(look, f"{run.id} waits because of {reason}")
        return waiting

    async def began_at(self, run: Run, moment: datetime) -> None:
        """Let a run have begun at another time."""
        async with self.database.write() as connection:
            await connection.execute(
                update(runs).where(runs.c.id == run.id).values(begun_at=moment)
            )


@asynccontextmanager
async def running(database: Database, folder: Path) -> AsyncIterator[Guarded]:
    """Start the engine on an open database; one at a time in a process."""
    machines = Machines()
    registry = ActionRegistry(inventory(machines))
    rules, made_of = policy(), state(folder, *workflows())
    roles, audit = Roles(rules, People()), AuditLog(database)
    store, gates = RunStore(database, audit), GateStore(database, audit)
    worlds = Worlds(registry, OtherRuns(database), gates, Calendars(folder))
    moment = Moment()
    judge = Judge(roles, worlds, moment)
    heart = assemble(
        made_of,
        database,
        store,
        audit,
        registry,
        roles,
        Permissions(rules, roles, channel_name, made_of.workflows),
        judge,
        Display(store, Showing(database), Silent()),
        "test",
    )
    heart.engine.launch()
    try:
        yield Guarded(database, folder, machines, gates, store, heart.service, moment)
    finally:
        heart.engine.close()
        # DBOS knows one instance for a process; whoever comes next makes their own.
        _get_or_create_dbos_registry().instance_info_map.clear()


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgresql"])
async def guarded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Guarded]:
    """Everything, running."""
    folder = tmp_path_factory.mktemp("guarded")
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
