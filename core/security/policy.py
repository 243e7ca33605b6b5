"""Who may do what. Everything that is not allowed here is denied."""

from __future__ import annotations

from typing import Protocol

from pydantic import Field, field_validator

from core.errors import ConfigurationError, NotAllowedError
from core.records import Frozen, Identifier, Risk
from core.workflows.guardrails import Approval


class Directory(Protocol):
    """Who is in which group; Slack's user groups at the edge."""

    async def group_members(self, handle: str) -> frozenset[str]:
        """User ids of the group with this handle (without `@`); empty where there is none."""
        ...


class Role(Frozen):
    """People who hold a role: user groups by handle, users by id."""

    groups: tuple[str, ...] = Field(default=(), max_length=50)
    users: tuple[str, ...] = Field(default=(), max_length=500)


class Policy(Frozen):
    """The team's rules; a workflow can only tighten them.

    Attributes:
        start: roles that may start a workflow that does not name its own.
        administer: roles that may cancel other people's runs.
        approval: the least approval for each risk; `read` needs none.
    """

    roles: dict[Identifier, Role] = Field(min_length=1)
    start: tuple[Identifier, ...] = Field(min_length=1)
    administer: tuple[Identifier, ...] = Field(min_length=1)
    approval: dict[Risk, Approval]

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
        used = {*self.start, *self.administer}
        for rule in self.approval.values():
            used.update(rule.roles)
        return used - set(self.roles)


class Roles:
    """Answers which roles a person holds now.

    Args:
        policy: whose roles are meant.
        directory: looked up at each question, so that a change of a group counts at once.
    """

    def __init__(self, policy: Policy, directory: Directory) -> None:
        self._policy = policy
        self._directory = directory

    async def of(self, user: str) -> frozenset[str]:
        """Roles that `user` (a Slack user id) holds."""
        held = set()
        for name, role in self._policy.roles.items():
            if user in role.users or await self._in_groups(user, role.groups):
                held.add(name)
        return frozenset(held)

    async def require(self, user: str, roles: tuple[str, ...], what: str) -> None:
        """Let pass who holds one of `roles`.

        Raises:
            NotAllowedError: the person holds none of them.
        """
        if (await self.of(user)).isdisjoint(roles):
            needed = " or ".join(roles)
            raise NotAllowedError(f"To {what} you need the role {needed} (policy.yaml).")

    async def _in_groups(self, user: str, groups: tuple[str, ...]) -> bool:
        for group in groups:
            if user in await self._directory.group_members(group):
                return True
        return False


def effective_approval(policy: Policy, risk: Risk, own: Approval | None) -> Approval | None:
    """The policy's approval rule for `risk`, tightened by the workflow's own.

    Raises:
        ConfigurationError: no role satisfies both, so nobody could ever sign.
    """
    base = policy.approval.get(risk)
    if base is None or own is None:
        return base or own
    roles = [role for role in base.roles if role in own.roles]
    if not roles:
        raise ConfigurationError(
            f"The workflow's approval roles ({', '.join(own.roles)}) and the policy's for "
            f"'{risk}' ({', '.join(base.roles)}) have none in common: nobody could sign."
        )
    return base.tightened(own)
