"""What guardrails may ask: only looking, within a time, and anew when a run is to begin."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from core.calendars.reader import Calendars
from core.errors import CountersignError, InvalidRequestError, NotFoundError
from core.gates import GateStore
from core.records import Idempotency, Risk
from core.security.audit import AuditLog
from core.store.database import Database
from core.store.other_runs import OtherRuns
from core.workflows import world as module
from core.workflows.actions import ActionContext, ActionError, ActionRegistry, ActionResult
from core.workflows.planning import Planner
from core.workflows.run import Run, RunState
from core.workflows.world import Worlds
from tests.core.workflows.guardrails.inventory import (
    Host,
    ListMachines,
    Machines,
    MoveMachine,
    Region,
    inventory,
)
from tests.core.workflows.parts import ALICE, DEPLOYS, MADE, policy, workflow


class Slow(ListMachines):
    """Answers when the test is over."""

    name = "inventory.slow"

    async def execute(self, arguments: Region, context: ActionContext) -> ActionResult:
        await asyncio.Event().wait()
        raise AssertionError


class SlowDryRun(MoveMachine):
    name = "inventory.ponder"

    def __init__(self, machines: Machines) -> None:
        super().__init__(machines)
        self.previews = 0

    async def preview(self, arguments: Host) -> str | None:
        self.previews += 1
        if self.previews > 1:
            await asyncio.Event().wait()
        return "…"


class Sometimes(ListMachines):
    """A read, but where it is told to do more."""

    name = "inventory.sometimes"

    def risk_of(self, arguments: Region) -> Risk:
        return Risk.CHANGE if arguments.region == "all" else Risk.READ


class Note(ListMachines):
    """Changes nothing, and leaves something that it finds when it is repeated."""

    name = "inventory.note"
    idempotency = Idempotency.KEYED


@pytest.fixture
def machines() -> Machines:
    return Machines("web-1", "web-2")


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def worlds(database: Database, tmp_path: Path, machines: Machines, clock: list[float]) -> Worlds:
    audit = AuditLog(database)
    more = [Slow(machines), SlowDryRun(machines), Sometimes(machines), Note(machines)]
    return Worlds(
        ActionRegistry([*inventory(machines), *more]),
        OtherRuns(database),
        GateStore(database, audit),
        Calendars(tmp_path),
        lambda: clock[0],
    )


async def run_of(worlds: Worlds, *actions: str, state: RunState = RunState.AWAITING) -> Run:
    steps = [
        {"id": f"s{n}", "name": f"Step {n}", "action": action, "with": {"host": "web-2"}}
        for n, action in enumerate(actions)
    ]
    plan = await Planner(policy(), worlds.registry).plan("run1", workflow(*steps), {}, ALICE)
    return Run(
        id="run1",
        plan=plan,
        digest=plan.digest,
        state=state,
        requester=ALICE,
        origin="a test",
        place=DEPLOYS,
        message=None,
        created_at=MADE,
        updated_at=MADE,
        version=1,
        reason="",
    )


async def test_a_read_action_says_its_values_summary_and_output(worlds: Worlds) -> None:
    world = worlds.of(await run_of(worlds, "inventory.move"))
    assert await world.read("inventory.list", {"region": "eu"}) == {
        "values": {"hosts": ["web-1", "web-2"]},
        "summary": "2 machines",
        "output": "",
    }


@pytest.mark.parametrize(
    ("action", "arguments", "error", "says"),
    [
        ("inventory.move", {"host": "web-1"}, InvalidRequestError, "not a read action"),
        ("inventory.sometimes", {"region": "all"}, InvalidRequestError, "not a read action"),
        ("inventory.note", {"region": "eu"}, InvalidRequestError, "not a read action"),
        ("inventory.guess", {}, InvalidRequestError, "A model writes what inventory.guess says"),
        ("inventory.list", {"reigon": "eu"}, InvalidRequestError, "reigon"),
        ("inventory.lost", {}, NotFoundError, "There is no action"),
    ],
)
async def test_what_is_no_reading_is_not_done(
    worlds: Worlds,
    machines: Machines,
    action: str,
    arguments: dict[str, str],
    error: type[CountersignError],
    says: str,
) -> None:
    world = worlds.of(await run_of(worlds, "inventory.move"))
    with pytest.raises(error, match=says):
        await world.read(action, dict(arguments))
    assert (machines.reads, machines.moved) == (0, [])


async def test_a_system_that_does_not_answer_is_not_waited_for(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await run_of(worlds, "inventory.move", "inventory.ponder")
    monkeypatch.setattr(module, "_LONGEST_S", 0.05)
    world = worlds.of(run)
    with pytest.raises(ActionError, match=r"inventory\.slow did not answer within"):
        await world.read("inventory.slow", {})
    assert [(one.step, one.problem) for one in await world.dry_run()] == [
        ("Step 0", ""),
        ("Step 1", "It took longer than 0 s."),
    ]


async def test_while_a_run_waits_an_answer_is_kept_for_some_seconds(
    worlds: Worlds, machines: Machines, clock: list[float]
) -> None:
    run = await run_of(worlds, "inventory.move")
    for clock[0], reads in ((0, 1), (19.9, 1), (20.1, 2), (39, 2)):
        await worlds.of(run).read("inventory.list", {"region": "eu"})
        assert machines.reads == reads
    await worlds.of(run).read("inventory.list", {"region": "us"})
    assert machines.reads == 3, "another question"
    await worlds.of(run.model_copy(update={"id": "run2"})).read("inventory.list", {"region": "eu"})
    assert machines.reads == 4, "another run"


@pytest.mark.parametrize("state", [RunState.APPROVED, RunState.FAILED])
async def test_when_a_run_may_begin_it_is_asked_anew(
    worlds: Worlds, machines: Machines, state: RunState
) -> None:
    run = await run_of(worlds, "inventory.move")
    await worlds.of(run).read("inventory.list", {})
    assert (await worlds.of(run).dry_run())[0].problem == ""
    machines.hosts[:] = ["web-1"]
    soon = worlds.of(run.model_copy(update={"state": state}))
    assert (await soon.read("inventory.list", {}))["summary"] == "1 machines"
    assert (await soon.dry_run())[0].problem == "web-2 is not there"


async def test_a_dry_run_says_what_was_shown_and_what_it_says_now(
    worlds: Worlds, machines: Machines
) -> None:
    run = await run_of(worlds, "inventory.move", "inventory.move")
    machines.hosts.reverse()
    runs = await worlds.of(run).dry_run()
    assert [(one.step, one.shown, one.output) for one in runs] == [
        ("Step 0", "web-2 is number 1", "web-2 is number 0"),
        ("Step 1", "web-2 is number 1", "web-2 is number 0"),
    ]


async def test_gates_and_calendars_are_asked_too(worlds: Worlds, tmp_path: Path) -> None:
    world = worlds.of(await run_of(worlds, "inventory.move"))
    assert await world.gate("dataset", "tickets") is None
    await worlds.gates.record("dataset", "tickets", True, "", "ci")
    gate = await world.gate("dataset", "tickets")
    assert gate is not None
    assert gate.passed
    with pytest.raises(CountersignError, match=r"ops\.ics"):
        await world.calendar("ops.ics", "UTC")
