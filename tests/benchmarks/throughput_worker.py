"""One process that carries out small workflows: Countersign's, or bare ones of DBOS.

    python -m tests.benchmarks.throughput_worker KIND URL NAME COUNT STEPS AT_ONCE

It says `ready`, waits for a line, does its workflows, and says how many seconds that
took, and for how many of them it used a processor.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer
from pydantic import BaseModel

from core.calendars.reader import Calendars
from core.gates import GateStore
from core.ports import PostedMessage
from core.records import Idempotency, Place, Risk
from core.security.audit import AuditLog
from core.security.permissions import Permissions
from core.security.policy import Roles
from core.store.database import Database
from core.store.other_runs import OtherRuns
from core.store.runs import RunStore
from core.store.showing import Showing
from core.workflows.actions import Action, ActionContext, ActionRegistry, ActionResult
from core.workflows.display import Display
from core.workflows.heart import assemble
from core.workflows.run import Run
from core.workflows.service import RunRequest
from core.workflows.verdict import Judge
from core.workflows.world import Worlds
from tests.core.workflows.parts import ALICE, People, policy, state, step, typed, workflow

One = Callable[[int], Awaitable[None]]


class Number(BaseModel):
    """Which step it is."""

    number: int


class Nothing(Action[Number]):
    """Does nothing; what is measured is all around it."""

    name: ClassVar[str] = "bench.nothing"
    summary: ClassVar[str] = "Do nothing"
    risk: ClassVar[Risk] = Risk.READ
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = Number

    def describe(self, arguments: Number) -> str:
        return f"Do nothing, {arguments.number}"

    async def execute(self, arguments: Number, context: ActionContext) -> ActionResult:
        return ActionResult(summary=f"did {arguments.number}")


async def main(kind: str, url: str, name: str, count: int, steps: int, at_once: int) -> None:
    """Be ready, wait, work, report."""
    with tempfile.TemporaryDirectory() as folder:
        start = {"countersign": _countersign, "dbos": _bare}[kind]
        one, close = await start(url, name, steps, Path(folder))
        await one(-1)  # whatever happens only once has happened
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        gate = asyncio.Semaphore(at_once)

        async def within(number: int) -> None:
            async with gate:
                await one(number)

        began, busy = time.perf_counter(), time.process_time()
        await asyncio.gather(*(within(number) for number in range(count)))
        print(time.perf_counter() - began, time.process_time() - busy, flush=True)
        await close()


async def _bare(
    url: str, name: str, steps: int, folder: Path
) -> tuple[One, Callable[[], Awaitable[None]]]:
    """A workflow of so many steps, each recorded by DBOS."""

    async def nothing(number: int) -> dict[str, str]:
        return {"summary": f"did {number}"}

    @DBOS.workflow()
    async def bare(run: str) -> None:
        for number in range(steps):
            await DBOS.run_step_async({"name": f"step-{number}"}, nothing, number)

    database = Database(url)
    system = database.sync_url
    if database.is_sqlite:
        system = system.removesuffix(".db") + "-engine.db"
    config = DBOSConfig(
        name="countersign",
        system_database_url=system,
        executor_id=name,
        application_version="bare",
        enable_otlp=False,
        serializer=DBOSPortableJSONSerializer(),
        log_level="WARNING",
    )
    DBOS(config=config)
    DBOS.launch()

    async def one(number: int) -> None:
        handle = await DBOS.start_workflow_async(bare, f"{name}-{number}")
        await handle.get_result()

    async def close() -> None:
        DBOS.destroy()
        await database.close()

    return one, close


async def _countersign(
    url: str, name: str, steps: int, folder: Path
) -> tuple[One, Callable[[], Awaitable[None]]]:
    """A run of so many steps that only read, with its plan, its audit entries and its guardrails
    judged, but nobody who must sign it."""
    database = Database(url)
    await database.open()
    made = workflow(
        *(step("bench.nothing", f"step-{n}", number="${parameters.number}") for n in range(steps)),
        id="bench",
        parameters={"number": {"type": "integer", "description": "which"}},
    )
    configuration = state(folder, made)
    audit = AuditLog(database)
    store = RunStore(database, audit)
    actions = ActionRegistry([Nothing()])
    roles = Roles(configuration.policy, People())
    worlds = Worlds(actions, OtherRuns(database), GateStore(database, audit), Calendars(folder))
    permissions = Permissions(policy(), roles, _channel_name, configuration.workflows)
    heart = assemble(
        configuration,
        database,
        store,
        audit,
        actions,
        roles,
        permissions,
        Judge(roles, worlds),
        Display(store, Showing(database), _Silent()),
        name,
    )
    ended: dict[str, asyncio.Event] = {}
    carry_out = heart.execution.carry_out

    async def watched(run_id: str, generation: int, known: Run | None = None) -> None:
        await carry_out(run_id, generation, known)
        ended.setdefault(run_id, asyncio.Event()).set()

    heart.execution.carry_out = watched  # type: ignore[method-assign]
    heart.engine.launch()

    async def one(number: int) -> None:
        run = await heart.service.request(
            RunRequest(
                key=f"{name}-{number}",
                workflow="bench",
                arguments=typed(number=number),
                requester=ALICE,
                origin="a benchmark",
                place=Place(channel="#deploys"),
            )
        )
        await ended.setdefault(run.id, asyncio.Event()).wait()
        del ended[run.id]

    async def close() -> None:
        heart.engine.close()
        await database.close()

    return one, close


async def _channel_name(channel: str) -> str:
    return channel


class _Silent:
    async def present(self, run: Run) -> PostedMessage:
        return PostedMessage(channel=run.place.channel, message="1.0", thread="1.0")


if __name__ == "__main__":
    _kind, _url, _name, *_numbers = sys.argv[1:]
    _parsed: Any = [int(number) for number in _numbers]
    asyncio.run(main(_kind, _url, _name, *_parsed))
