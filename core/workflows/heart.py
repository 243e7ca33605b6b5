"""What carries out workflows, put together; the edges hand in what they know."""

from __future__ import annotations

from typing import NamedTuple

from core.security.audit import AuditLog
from core.security.permissions import Permissions
from core.security.policy import Roles
from core.state import ApplicationState
from core.store.database import Database
from core.store.pictures import PictureStore
from core.store.runs import RunStore
from core.workflows.actions import ActionRegistry
from core.workflows.admission import Admission
from core.workflows.catalogue import Catalogue
from core.workflows.display import Display
from core.workflows.engine import RunEngine
from core.workflows.execution import Execution, Tools
from core.workflows.planning import Planner
from core.workflows.service import WorkflowService
from core.workflows.signing import Signing
from core.workflows.steering import Steering
from core.workflows.verdict import Judge


class Heart(NamedTuple):
    """The parts that others talk to."""

    service: WorkflowService
    engine: RunEngine
    execution: Execution
    steering: Steering


def assemble(
    state: ApplicationState,
    database: Database,
    store: RunStore,
    audit: AuditLog,
    actions: ActionRegistry,
    roles: Roles,
    permissions: Permissions,
    judge: Judge,
    display: Display,
    replica: str,
) -> Heart:
    """Make the engine, which is then to be launched, and the service in front of it."""
    planner = Planner(state.policy, actions)
    catalogue = Catalogue(state.workflows, actions)
    admission = Admission(catalogue, planner, actions, judge)
    execution = Execution(
        Tools(store, actions, display.touch, PictureStore(database).keep), admission
    )
    engine = RunEngine(execution, database, replica)
    steering = Steering(store, engine, permissions, roles)
    service = WorkflowService(
        catalogue=catalogue,
        planner=planner,
        store=store,
        permissions=permissions,
        judge=judge,
        signing=Signing(store, judge, roles, permissions, audit),
        steering=steering,
        admission=admission,
        engine=engine,
        audit=audit,
        display=display,
    )
    return Heart(service, engine, execution, steering)
