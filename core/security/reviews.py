"""Reviews of broken glass. One stands open from the signature on, until somebody else closes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import Row, Select, insert, select
from sqlalchemy.exc import IntegrityError

from core.errors import InvalidRequestError, NotAllowedError, NotFoundError
from core.records import Frozen, Instant, Place, storable_text
from core.security.audit import AuditLog
from core.security.permissions import Permissions
from core.security.policy import Policy, Right
from core.store.database import Database
from core.store.tables import reviews, runs, signatures

_USUAL = timedelta(days=1)  # for glass that was broken under an earlier policy
_SHORTEST = 10
_LONGEST = 2000


class Review(Frozen):
    """What is to be looked at, or was.

    Attributes:
        user: who broke the glass, with their `reason`.
        finding: what the reviewer wrote; empty while it is open.
    """

    run_id: str
    workflow: str
    place: Place
    requester: str
    user: str
    reason: str
    broken_at: Instant
    due_at: Instant
    reviewer: str | None = None
    finding: str = ""
    reviewed_at: Instant | None = None


class Reviews:
    """Finds reviews and closes them."""

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        policy: Policy,
        permissions: Permissions,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._audit = audit
        self._within = policy.break_glass.review_within if policy.break_glass else _USUAL
        self._permissions = permissions
        self._clock = clock

    async def open(self) -> list[Review]:
        """Those that nobody has closed, the oldest first."""
        return await self._find(_broken().where(reviews.c.run_id.is_(None)))

    async def get(self, run_id: str) -> Review:
        """The review of a run.

        Raises:
            NotFoundError: nobody broke the glass for it.
        """
        found = await self._find(_broken().where(signatures.c.run_id == run_id))
        if not found:
            raise NotFoundError(f"Nobody broke the glass for the run '{run_id}'.")
        return found[0]

    async def close(self, run_id: str, user: str, finding: str) -> Review:
        """Say what the review found.

        Raises:
            NotFoundError: nobody broke the glass for the run.
            NotAllowedError: the person broke it, asked for the run, or may neither countersign
                nor administer the workflow.
            InvalidRequestError: it is closed already, or there is no finding.
        """
        review = await self.get(run_id)
        try:
            await self._may_close(review, user)
        except NotAllowedError as refusal:
            await self._audit.record(user, "review.refused", run_id, {"why": str(refusal)})
            raise
        finding = storable_text(finding.strip())[:_LONGEST]
        if len(finding) < _SHORTEST:
            raise InvalidRequestError(
                f"Say what you found, in at least {_SHORTEST} characters: it is kept."
            )
        row = {"run_id": run_id, "reviewer": user, "finding": finding, "at": self._clock()}
        try:
            async with self._database.write() as connection:
                await connection.execute(insert(reviews).values(row))
                await self._audit.append(
                    connection, user, "review.closed", run_id, {"finding": finding}
                )
        except IntegrityError as error:
            raise InvalidRequestError("This review is closed already.") from error
        return await self.get(run_id)

    async def _may_close(self, review: Review, user: str) -> None:
        if user in {review.user, review.requester}:
            raise NotAllowedError(
                "Somebody else must review it: you broke the glass or asked for the run."
            )
        where = (review.workflow, review.place.channel)
        if not await self._permissions.may(user, Right.ADMINISTER, *where):
            await self._permissions.require(user, Right.APPROVE, *where, "review this")

    async def _find(self, query: Select[tuple[object, ...]]) -> list[Review]:
        """One for each run: of several who broke its glass, the first."""
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        first: dict[str, Review] = {}
        for row in rows:
            first.setdefault(row.run_id, self._review(row))
        return list(first.values())

    def _review(self, row: Row[tuple[object, ...]]) -> Review:
        return Review(
            run_id=row.run_id,
            workflow=row.workflow,
            place=Place(channel=row.channel, thread=row.thread),
            requester=row.requester,
            user=row.user,
            reason=row.comment,
            broken_at=row.broken_at,
            due_at=row.broken_at + self._within,
            reviewer=row.reviewer,
            finding=row.finding or "",
            reviewed_at=row.reviewed_at,
        )


def _broken() -> Select[tuple[object, ...]]:
    return (
        select(
            signatures.c.run_id,
            signatures.c.user,
            signatures.c.comment,
            signatures.c.at.label("broken_at"),
            runs.c.workflow,
            runs.c.channel,
            runs.c.thread,
            runs.c.requester,
            reviews.c.reviewer,
            reviews.c.finding,
            reviews.c.at.label("reviewed_at"),
        )
        .join(runs, runs.c.id == signatures.c.run_id)
        .outerjoin(reviews, reviews.c.run_id == signatures.c.run_id)
        .where(signatures.c.decision == "break_glass")
        .order_by(signatures.c.at)
    )
