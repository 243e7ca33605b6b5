"""Who stands in for whom while they are away. A delegation ends by itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import InvalidRequestError, NotAllowedError
from core.records import Frozen, Instant
from core.security.audit import AuditLog
from core.security.policy import DelegationRule
from core.store.database import Database
from core.store.tables import delegations
from core.workflows.definition import spoken

_SLACK_USER = re.compile(r"^[UW][A-Z0-9]{1,40}$")


class Delegation(Frozen):
    """`delegate` stands in for `user` from `starts_at` until just before `ends_at`."""

    user: str
    delegate: str
    starts_at: Instant
    ends_at: Instant


class Delegations:
    """Makes, ends and finds delegations; implements `core.security.policy.StandIns`.

    What is lent is decided when it is used: the roles that the policy lets people lend, and that
    the person who is away holds at that moment.

    Args:
        rule: the policy's; nobody may delegate where it is None.
        clock: the moment at which a delegation holds or not.
    """

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        rule: DelegationRule | None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._audit = audit
        self._rule = rule
        self._clock = clock

    async def away_for(self, delegate: str) -> tuple[str, ...]:
        """The people who are away now and have named `delegate`."""
        query = (
            select(delegations.c.user)
            .where(delegations.c.delegate == delegate, *_holding(self._clock()))
            .order_by(delegations.c.user)
        )
        async with self._database.read() as connection:
            return tuple((await connection.execute(query)).scalars())

    async def of(self, user: str) -> Delegation | None:
        """The delegation of a person that holds now or will."""
        return next((made for made in await self.all() if made.user == user), None)

    async def all(self) -> list[Delegation]:
        """Those that hold now or will; the one that ends first is the first."""
        query = (
            select(delegations)
            .where(delegations.c.ends_at > self._clock())
            .order_by(delegations.c.ends_at, delegations.c.user)
        )
        async with self._database.read() as connection:
            rows = await connection.execute(query)
            return [Delegation.model_validate(dict(row._mapping)) for row in rows]

    async def away(
        self,
        user: str,
        held: frozenset[str],
        delegate: str,
        ends_at: datetime,
        starts_at: datetime | None = None,
    ) -> Delegation:
        """Let `delegate` stand in for `user`, in place of an earlier delegation.

        Args:
            held: the roles that `user` holds now.
            starts_at: now, where it is not given.

        Raises:
            NotAllowedError: the policy has no delegation, or not for any role that they hold.
            InvalidRequestError: it is too long, over already, or to themselves.
        """
        try:
            rule = self._allowing(held)
        except NotAllowedError as refusal:
            await self._audit.record(user, "delegation.refused", user, {"why": str(refusal)})
            raise
        if delegate == user or not _SLACK_USER.match(delegate):
            raise InvalidRequestError("Name another person of this workspace, such as @name.")
        now = self._clock()
        begins = max(now, starts_at or now)
        if ends_at <= begins:
            raise InvalidRequestError("That is over already: give an end that is after the start.")
        if ends_at - begins > rule.longest or begins - now > rule.longest:
            raise InvalidRequestError(
                f"Too long: at most {spoken(rule.longest)}, beginning within as much (policy.yaml)."
            )
        made = Delegation(user=user, delegate=delegate, starts_at=begins, ends_at=ends_at)
        try:
            async with self._database.write() as connection:
                await self._save(connection, made)
        except IntegrityError as error:
            raise InvalidRequestError("You did this twice at once; look what holds.") from error
        return made

    async def back(self, user: str) -> bool:
        """End the person's own delegation now; False where there is none."""
        mine = (delegations.c.user == user, delegations.c.ends_at > self._clock())
        async with self._database.write() as connection:
            gone = await connection.execute(delete(delegations).where(*mine))
            if gone.rowcount:
                await self._audit.append(connection, user, "delegation.ended", user, {})
        return bool(gone.rowcount)

    def _allowing(self, held: frozenset[str]) -> DelegationRule:
        if self._rule is None:
            raise NotAllowedError("Nobody can stand in for you: policy.yaml has no delegation.")
        if held.isdisjoint(self._rule.roles):
            raise NotAllowedError(
                f"You can lend the role {' or '.join(self._rule.roles)} (policy.yaml) "
                "and hold none."
            )
        return self._rule

    async def _save(self, connection: AsyncConnection, made: Delegation) -> None:
        await connection.execute(delete(delegations).where(delegations.c.user == made.user))
        await connection.execute(insert(delegations).values(made.model_dump()))
        await self._audit.append(
            connection,
            made.user,
            "delegation.made",
            made.user,
            {
                "delegate": made.delegate,
                "from": made.starts_at.isoformat(),
                "until": made.ends_at.isoformat(),
            },
        )


def _holding(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (delegations.c.starts_at <= now, delegations.c.ends_at > now)
