"""Between the signing and the begin, the files change or the time passes: nothing runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.security.policy import Policy
from core.state import AIWorkflow
from core.store.database import Database
from core.workflows.run import Run, RunState
from core.workflows.signatures import Decision
from tests.core.workflows.office import ANN, BEN, START, Clock, Groups, rules
from tests.core.workflows.parts import lines
from tests.core.workflows.replicas import Replica, replica
from tests.core.workflows.signing_cases import workflows

RUN = "abcdef012345"


class World:
    """One database, on which processes start with the files as they are then."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.clock = Clock()

    def started(self, workflows: list[AIWorkflow], policy: Policy | None = None) -> Replica:
        return replica(
            self.database, self.folder, policy or rules(), workflows, self.clock, Groups()
        )

    async def signed(self) -> Run:
        """A run that was signed, and has not begun."""
        first = self.started(workflows())
        await first.ask("one", RUN, ANN, START)
        await first.service.sign(RUN, BEN, Decision.APPROVE)
        return await first.store.get(RUN)

    def effects(self) -> list[str]:
        return lines(self.folder / "lines")


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    return World(database, tmp_path)


def edited(**changes: Any) -> list[AIWorkflow]:
    """The files with a changed workflow `one`."""
    one, *rest = workflows()
    return [one.model_copy(update=changes), *rest]


async def test_a_changed_file_stops_it_and_the_reason_is_the_difference(world: World) -> None:
    run = await world.signed()
    second = workflows()[0].steps[2]
    other = second.model_copy(update={"arguments": {"line": "something else"}})
    now = world.started(edited(steps=(*workflows()[0].steps[:2], other)))
    await now.carry_out(run)
    ended = await now.store.get(RUN)
    assert ended.state is RunState.BLOCKED
    assert ended.reason == (
        "The workflow's file has changed: steps.second.with.line: "
        'was "${parameters.run} second", is now "something else".'
    )
    assert world.effects() == []


async def test_a_file_that_is_gone_stops_it(world: World) -> None:
    run = await world.signed()
    now = world.started(workflows()[1:])
    await now.carry_out(run)
    ended = await now.store.get(RUN)
    assert (ended.state, ended.reason) == (
        RunState.BLOCKED,
        "There is no workflow 'one' any more.",
    )
    assert world.effects() == []


async def test_a_policy_that_asks_for_more_stops_it(world: World) -> None:
    run = await world.signed()
    before = rules()
    stricter = {
        risk: rule.model_copy(update={"needs": (rule.needs[0].model_copy(update={"count": 2}),)})
        for risk, rule in before.approval.items()
    }
    now = world.started(workflows(), before.model_copy(update={"approval": stricter}))
    await now.carry_out(run)
    ended = await now.store.get(RUN)
    assert ended.state is RunState.BLOCKED
    assert ended.reason.startswith("The policy has changed: guardrails")
    assert "was 1, is now 2" in ended.reason
    assert world.effects() == []


async def test_signatures_that_were_not_used_in_time_are_good_for_nothing(world: World) -> None:
    run = await world.signed()
    expires_at = run.expires_at
    assert expires_at is not None
    world.clock.now = expires_at
    now = world.started(workflows())
    await now.carry_out(run)
    ended = await now.store.get(RUN)
    assert (ended.state, ended.reason) == (
        RunState.EXPIRED,
        "Its countersignatures were not used in time.",
    )
    assert world.effects() == []


async def test_a_run_that_has_begun_ends_under_the_file_as_it_was(world: World) -> None:
    run = await world.signed()
    await world.started(workflows()).carry_out(run)
    now = world.started(edited(steps=workflows()[0].steps[:1]))
    await now.service.confirm(RUN, "look", BEN, True)
    await now.carry_out(await now.store.get(RUN))
    assert (await now.store.get(RUN)).state is RunState.SUCCEEDED
    assert world.effects() == [f"{RUN} first", f"{RUN} second"]
