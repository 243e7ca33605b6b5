"""Who may do what. Everything that is not allowed here is denied."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Protocol

from pydantic import Field, StringConstraints, field_validator

from core.errors import NotAllowedError
from core.records import Frozen, Identifier, Risk
from core.workflows.definition import Duration
from core.workflows.guardrails import Approval

RoleNames = Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=50)]
WorkflowGlob = Annotated[str, StringConstraints(pattern=r"^[a-z0-9*?\[\]!-]{1,80}$")]
ChannelGlob = Annotated[str, StringConstraints(pattern=r"^(\*|#\S{1,80})$")]


class Directory(Protocol):
    """Who is in which group; Slack's user groups at the edge."""

    async def group_members(self, handle: str) -> frozenset[str]:
        """User ids of the group with this handle (without `@`); empty where there is none."""
        ...


class StandIns(Protocol):
    """Who stands in for whom; `core.security.delegations.Delegations`."""

    async def away_for(self, delegate: str) -> tuple[str, ...]:
        """The people who are away now and have named `delegate`."""
        ...


class Role(Frozen):
    """People who hold a role: user groups by handle, users by id."""

    groups: tuple[str, ...] = Field(default=(), max_length=50)
    users: tuple[str, ...] = Field(default=(), max_length=500)


class Right(StrEnum):
    """What one may do with a workflow and its runs.

    SEE the card and the runs in lists; START it; APPROVE: countersign or deny; ADMINISTER: cancel
    other people's runs, settle cut-off steps, change schedules. Each of the last three includes
    SEE, and none of the others.
    """

    SEE = "see"
    START = "start"
    APPROVE = "approve"
    ADMINISTER = "administer"


class Grant(Frozen):
    """Holders of `roles` may do `allow` with `workflows` in `channels`.

    Attributes:
        workflows: ids, or patterns with `*` and `?`.
        channels: `#name` or patterns of it; `*` is everywhere, direct messages included.
    """

    allow: tuple[Right, ...] = Field(min_length=1)
    roles: RoleNames
    workflows: tuple[WorkflowGlob, ...] = Field(default=("*",), min_length=1, max_length=200)
    channels: tuple[ChannelGlob, ...] = Field(default=("*",), min_length=1, max_length=200)

    def includes(self, right: Right) -> bool:
        """Whether it allows `right`, with some workflow somewhere."""
        return right in self.allow or right is Right.SEE

    def applies(self, workflow: str, channel: str | None) -> bool:
        """Whether it is about this workflow there.

        Args:
            channel: `#name`; None for direct messages and everything outside channels.
        """
        return any(fnmatchcase(workflow, glob) for glob in self.workflows) and any(
            glob == "*" or (channel is not None and fnmatchcase(channel, glob))
            for glob in self.channels
        )


class BreakGlass(Frozen):
    """Who may let a run pass against the guardrails that give way, at the price of a review.

    Attributes:
        channel: where it is announced.
        review_within: how soon somebody else must have looked at it.
    """

    roles: RoleNames
    channel: Annotated[str, StringConstraints(pattern=r"^#[\w-]{1,80}$")]
    review_within: Duration = Field(
        default=timedelta(days=1), gt=timedelta(0), le=timedelta(days=90)
    )


class DelegationRule(Frozen):
    """For which roles a person who is away may name somebody else, and for how long at most."""

    roles: RoleNames
    longest: Duration = Field(default=timedelta(days=14), gt=timedelta(0), le=timedelta(days=90))


class Policy(Frozen):
    """The team's rules; a workflow can only tighten them.

    Attributes:
        grants: what is allowed; nothing else is.
        approval: the least approval for each risk; `read` needs none.
        break_glass: nobody may, where it is not given.
        delegation: nobody may, where it is not given.
    """

    roles: dict[Identifier, Role] = Field(min_length=1)
    grants: tuple[Grant, ...] = Field(min_length=1, max_length=500)
    approval: dict[Risk, Approval]
    break_glass: BreakGlass | None = None
    delegation: DelegationRule | None = None

    @field_validator("approval")
    @classmethod
    def _risky_is_guarded(cls, approval: dict[Risk, Approval]) -> dict[Risk, Approval]:
        missing = {Risk.CHANGE, Risk.DESTRUCTIVE} - set(approval)
        if missing:
            names = " and ".join(sorted(missing))
            raise ValueError(f"there must be an approval rule for {names}")
        if Risk.READ in approval:
            raise ValueError("'read' needs no approval; remove it")
        return approval

    def unknown_roles(self) -> set[str]:
        """Roles that are used here and defined nowhere."""
        used = {role for grant in self.grants for role in grant.roles}
        for approval in self.approval.values():
            used |= {*approval.roles, *(approval.delegable or ())}
        for rule in (self.break_glass, self.delegation):
            used |= set(rule.roles) if rule else set()
        return used - set(self.roles)

    def granting(
        self, right: Right, workflow: str, channel: str | None
    ) -> Iterator[tuple[int, Grant]]:
        """The grants that allow it there, each with its position."""
        for at, grant in enumerate(self.grants):
            if grant.includes(right) and grant.applies(workflow, channel):
                yield at, grant

    def roles_with(self, right: Right, workflow: str) -> tuple[str, ...]:
        """Roles that have the right with this workflow in at least one channel."""
        return tuple(
            dict.fromkeys(
                role
                for grant in self.grants
                if grant.includes(right)
                and any(fnmatchcase(workflow, glob) for glob in grant.workflows)
                for role in grant.roles
            )
        )


class Roles:
    """Answers which roles a person holds now.

    Args:
        policy: whose roles are meant.
        directory: looked up at each question, so that a change of a group counts at once.
        stand_ins: who is away; nobody is, where it is not given.
    """

    def __init__(
        self, policy: Policy, directory: Directory, stand_ins: StandIns | None = None
    ) -> None:
        self.policy = policy
        self._directory = directory
        self._stand_ins = stand_ins

    async def of(self, user: str) -> frozenset[str]:
        """Roles that `user` (a Slack user id) holds; those of others they stand in for are not
        among them."""
        return frozenset(await self.reasons(user))

    async def reasons(self, user: str) -> dict[str, str]:
        """For each role that `user` holds, by what: `as a member of @oncall`."""
        held = {}
        for name, role in self.policy.roles.items():
            if user in role.users:
                held[name] = "as listed under `users`"
            elif group := await self._group_of(user, role.groups):
                held[name] = f"as a member of @{group}"
        return held

    async def on_behalf(self, user: str) -> dict[str, frozenset[str]]:
        """Who is away now and has named `user`, with the roles that `user` has by that.

        Only roles that the policy lets people lend, and only those that the person who is away
        holds: what they have from others is not passed on.
        """
        rule = self.policy.delegation
        if rule is None or self._stand_ins is None:
            return {}
        lent = {}
        for away in await self._stand_ins.away_for(user):
            if roles := await self.of(away) & frozenset(rule.roles):
                lent[away] = roles
        return lent

    async def require(self, user: str, roles: tuple[str, ...], what: str) -> None:
        """Let pass who holds one of `roles`.

        Raises:
            NotAllowedError: the person holds none of them.
        """
        if (await self.of(user)).isdisjoint(roles):
            needed = " or ".join(roles)
            raise NotAllowedError(f"To {what} you need the role {needed} (policy.yaml).")

    async def _group_of(self, user: str, groups: tuple[str, ...]) -> str | None:
        for group in groups:
            if user in await self._directory.group_members(group):
                return group
        return None


def effective_approval(policy: Policy, risk: Risk, own: Approval | None) -> Approval | None:
    """The policy's approval rule for `risk`, tightened by the workflow's own, with the roles for
    which the policy lets people stand in.

    Raises:
        ConfigurationError: together they ask for more people than a rule can.
    """
    base = policy.approval.get(risk)
    rule = base.tightened(own) if base and own else base or own
    lent = policy.delegation.roles if policy.delegation else ()
    return rule.standing_in(lent) if rule else None
