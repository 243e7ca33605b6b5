"""Everything that decides about signatures, on a real database and under a clock that is set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from core.ports import PostedMessage, PresentationError
from core.records import Place
from core.security.audit import AuditLog
from core.security.delegations import Delegations
from core.security.permissions import Permissions
from core.security.policy import Policy, Roles
from core.security.reviews import Reviews
from core.store.database import Database
from core.store.runs import RunStore
from core.workflows.guardrails.base import World
from core.workflows.plan import PlannedEscalation
from core.workflows.planning import Planner
from core.workflows.reminders import Reminders
from core.workflows.run import Run, RunState, StepProgress
from core.workflows.signing import Signing
from core.workflows.verdict import Judge
from tests.core.workflows.parts import policy, registry, step, workflow

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
ANN, BEN, CARL, DORA, EVE = "U1ANN", "U2BEN", "U3CARL", "U4DORA", "U5EVE"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def later(self, **by: float) -> None:
        """Let time pass."""
        self.now += timedelta(**by)


class Groups:
    """User groups that a test changes."""

    def __init__(self) -> None:
        self.members: dict[str, set[str]] = {
            "engineers": {ANN, BEN, CARL, DORA},
            "oncall": {ANN, BEN, CARL},
            "leads": {DORA},
            "security": {CARL},
        }

    async def group_members(self, handle: str) -> frozenset[str]:
        return frozenset(self.members.get(handle, ()))


class Worlds:
    """Surroundings in which a test says what a guardrail sees."""

    def __init__(self, world: Any = None) -> None:
        self.world = world

    def of(self, run: Run) -> World:
        world: World = self.world
        return world


@dataclass
class Recorder:
    """Says nothing to anybody, once a key, and remembers it."""

    down: bool = False
    named: dict[str, list[str]] = field(default_factory=dict)
    calls: dict[str, tuple[Place, list[str], list[str], str]] = field(default_factory=dict)

    async def call(
        self,
        place: Place,
        groups: Sequence[str],
        users: Sequence[str],
        text: str,
        key: str,
        named: Sequence[str] = (),
    ) -> PostedMessage:
        if self.down:
            raise PresentationError("Slack cannot be reached.")
        self.named.setdefault(key, list(named))
        self.calls.setdefault(key, (place, list(groups), list(users), text))
        return PostedMessage(channel=place.channel, message="1.0", thread="1.0")


def rules(**changes: Any) -> Policy:
    """As `parts.policy`, with a security role, delegation and glass to break."""
    return Policy.model_validate(
        policy().model_dump()
        | {
            "roles": {
                "engineer": {"groups": ["engineers"]},
                "approver": {"groups": ["oncall"]},
                "lead": {"groups": ["leads"]},
                "security": {"groups": ["security"], "users": [EVE]},
            },
            "grants": [
                {"allow": ["start"], "roles": ["engineer"]},
                {"allow": ["approve"], "roles": ["approver", "lead", "security"]},
                {"allow": ["administer"], "roles": ["lead"]},
            ],
            "break_glass": {"roles": ["lead"], "channel": "#deploys", "review_within": "24h"},
            "delegation": {"roles": ["approver", "security"], "longest": "14d"},
        }
        | changes
    )


async def name_of(channel: str) -> str:
    """All of these tests' channels are given by name."""
    return channel


@dataclass
class Office:
    """What a test acts through. Two on one database are two replicas."""

    folder: Path
    database: Database
    policy: Policy
    clock: Clock
    groups: Groups
    worlds: Worlds
    caller: Recorder
    audit: AuditLog
    store: RunStore
    delegations: Delegations
    roles: Roles
    judge: Judge
    signing: Signing
    reviews: Reviews
    reminders: Reminders

    async def new(self, *guardrails: dict[str, Any], **changes: Any) -> Run:
        """Save a run that waits, with these guardrails beside the policy's."""
        run_id = changes.pop("id", "abcdef012345")
        made = workflow(step(line="x"), guardrails=list(guardrails))
        requester = changes.pop("requester", ANN)
        plan = await Planner(self.policy, registry(self.folder)).plan(run_id, made, {}, requester)
        if escalation := changes.pop("escalation", None):
            plan = plan.model_copy(update={"escalation": PlannedEscalation(**escalation)})
        run = Run(
            id=run_id,
            plan=plan,
            digest=plan.digest,
            state=RunState.AWAITING,
            requester=requester,
            origin="a test",
            place=Place(channel="#deploys", thread="1.0"),
            message="1.0",
            created_at=self.clock.now,
            updated_at=self.clock.now,
            version=1,
            reason="",
            steps=tuple(StepProgress(step_id=one.id) for one in plan.steps),
        ).model_copy(update=changes)
        await self.store.create(run)
        return run

    async def entries(self) -> list[tuple[str, str]]:
        """Who did what, by the audit log."""
        return [(entry.actor, entry.action) async for entry in self.audit.entries()]


def office(
    database: Database,
    folder: Path,
    made: Policy | None = None,
    clock: Clock | None = None,
    groups: Groups | None = None,
) -> Office:
    """All of it, real, on this database."""
    made, clock, groups = made or rules(), clock or Clock(), groups or Groups()
    audit = AuditLog(database)
    store = RunStore(database, audit)
    delegations = Delegations(database, audit, made.delegation, clock)
    roles = Roles(made, groups, delegations)
    permissions = Permissions(made, roles, name_of)
    worlds, caller = Worlds(), Recorder()
    judge = Judge(roles, worlds, clock)
    reviews = Reviews(database, audit, made, permissions, clock)
    return Office(
        folder=folder,
        database=database,
        policy=made,
        clock=clock,
        groups=groups,
        worlds=worlds,
        caller=caller,
        audit=audit,
        store=store,
        delegations=delegations,
        roles=roles,
        judge=judge,
        signing=Signing(store, judge, roles, permissions, audit, clock),
        reviews=reviews,
        reminders=Reminders(store, judge, reviews, made, caller, clock),
    )
