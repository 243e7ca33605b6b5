"""Two replicas of the real service on one real database, whose engine starts when a test says so.

Everything is what the application runs, but for two things: the clock is set by the test, and an
approved run is carried out when the test lets it, by the replica that the test names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from core.calendars.reader import Calendars
from core.gates import GateStore
from core.records import Place
from core.security.audit import AuditLog
from core.security.delegations import Delegations
from core.security.permissions import Permissions
from core.security.policy import Policy, Roles
from core.state import AIWorkflow, ApplicationState
from core.store.database import Database
from core.store.other_runs import OtherRuns
from core.store.pictures import PictureStore
from core.store.showing import Showing
from core.workflows.actions import ActionRegistry
from core.workflows.admission import Admission
from core.workflows.catalogue import Catalogue
from core.workflows.display import Display
from core.workflows.engine import RunEngine
from core.workflows.execution import Execution, Tools
from core.workflows.planning import Planner
from core.workflows.run import Run, RunState, StepProgress
from core.workflows.service import WorkflowService
from core.workflows.signing import Signing
from core.workflows.steering import Steering
from core.workflows.verdict import Judge
from core.workflows.world import Worlds
from tests.core.workflows.countersigning import Silent
from tests.core.workflows.meeting import MeetingStore, together
from tests.core.workflows.office import Clock, Groups, name_of
from tests.core.workflows.parts import actions, state, typed


class HandEngine:
    """Starts nothing by itself."""

    async def start(self, run_id: str, generation: int) -> None:
        return

    async def missing(self, asked: Sequence[tuple[str, int]]) -> list[tuple[str, int, str]]:
        return []


@dataclass
class Replica:
    """One process's worth of the application."""

    database: Database
    store: MeetingStore
    audit: AuditLog
    planner: Planner
    delegations: Delegations
    roles: Roles
    service: WorkflowService
    execution: Execution

    async def ask(self, workflow: str, run_id: str, requester: str, at: datetime) -> Run:
        """A run that waits, asked for at that moment; its one parameter is its id."""
        plan = await self.planner.plan(
            run_id, self.service.workflows[workflow], typed(run=run_id), requester
        )
        run = Run(
            id=run_id,
            plan=plan,
            digest=plan.digest,
            state=RunState.AWAITING,
            requester=requester,
            origin="a test",
            place=Place(channel="#deploys", thread="1.0"),
            message=None,
            created_at=at,
            updated_at=at,
            version=1,
            reason="",
            steps=tuple(StepProgress(step_id=each.id) for each in plan.steps),
        )
        assert await self.store.create(run)
        return run

    async def carry_out(self, run: Run) -> None:
        """What the engine does with a run that was given to it."""
        await self.execution.carry_out(run.id, run.generation)


async def carry_out_together(replicas: Sequence[Replica], run: Run) -> None:
    """By all of them at once."""
    await together((each.store for each in replicas), (each.carry_out(run) for each in replicas))


def replica(
    database: Database,
    folder: Path,
    rules: Policy,
    workflows: Sequence[AIWorkflow],
    clock: Clock,
    groups: Groups,
    **extra: Any,
) -> Replica:
    """Everything that one process has, on this database; effects go to `folder / "lines"`."""
    audit = AuditLog(database)
    store = MeetingStore(database, audit)
    registry = ActionRegistry(actions(folder / "lines").values())
    made: ApplicationState = state(folder, *workflows, policy=rules)
    delegations = Delegations(database, audit, rules.delegation, clock)
    roles = Roles(rules, groups, delegations)
    permissions = Permissions(rules, roles, name_of, made.workflows)
    others, gates = OtherRuns(database), GateStore(database, audit)
    judge = Judge(roles, Worlds(registry, others, gates, Calendars(folder)), clock)
    display = Display(store, Showing(database), Silent())
    planner = Planner(rules, registry)
    catalogue = Catalogue(made.workflows, registry)
    admission = Admission(catalogue, planner, registry, judge)
    execution = Execution(
        Tools(store, registry, display.touch, PictureStore(database).keep), admission
    )
    engine = cast("RunEngine", HandEngine())
    service = WorkflowService(
        catalogue=catalogue,
        planner=planner,
        store=store,
        permissions=permissions,
        judge=judge,
        signing=Signing(store, judge, roles, permissions, audit, clock),
        steering=Steering(store, engine, permissions, roles),
        admission=admission,
        engine=engine,
        audit=audit,
        display=display,
    )
    return Replica(database, store, audit, planner, delegations, roles, service, execution)
