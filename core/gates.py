"""Gates: results that were recorded about datasets and models, each with who recorded it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import uuid4

from sqlalchemy import insert, select

from core.errors import InvalidRequestError
from core.records import Frozen, Instant
from core.security.audit import AuditLog
from core.store.database import Database
from core.store.tables import gates
from core.workflows.guardrails.base import Gate

GateKind = Literal["dataset", "evaluation"]
_LONGEST_SUBJECT = 300
_LONGEST_EVIDENCE = 1000


class RecordedResult(Frozen):
    """One result of a gate.

    Attributes:
        by: who says so: a person, or the program that looked.
        expires_at: from when it says nothing any more.
    """

    kind: GateKind
    subject: str
    passed: bool
    evidence: str
    by: str
    at: Instant
    expires_at: Instant | None = None


class GateStore:
    """Records results and finds the newest. A new result replaces the one before it; both stay.

    Args:
        audit: has an entry for each result.
    """

    def __init__(self, database: Database, audit: AuditLog) -> None:
        self._database = database
        self._audit = audit

    async def record(
        self,
        kind: GateKind,
        subject: str,
        passed: bool,
        evidence: str,
        by: str,
        expires_after: timedelta | None = None,
    ) -> RecordedResult:
        """Note what a gate has said now.

        Raises:
            InvalidRequestError: the subject is empty or too long, or it would have expired.
        """
        if not 0 < len(subject) <= _LONGEST_SUBJECT or not subject.isprintable():
            raise InvalidRequestError(
                f"A gate's subject must be a line of 1 to {_LONGEST_SUBJECT} characters."
            )
        if expires_after is not None and expires_after <= timedelta(0):
            raise InvalidRequestError("A gate's result must hold for some time, such as 7d.")
        now = datetime.now(UTC)
        result = RecordedResult(
            kind=kind,
            subject=subject,
            passed=passed,
            evidence=_one_line(evidence)[:_LONGEST_EVIDENCE],
            by=_one_line(by)[:120],
            at=now,
            expires_at=None if expires_after is None else now + expires_after,
        )
        async with self._database.write() as connection:
            await connection.execute(insert(gates).values(id=uuid4().hex, **result.model_dump()))
            await self._audit.append(
                connection,
                result.by,
                "gate.passed" if passed else "gate.failed",
                f"{kind}:{subject}",
                result.model_dump(mode="json", include={"evidence", "expires_at"}),
            )
        return result

    async def newest(self, kind: str, subject: str) -> Gate | None:
        """What was recorded last about `subject`."""
        found = await self.results(kind, subject, limit=1)
        if not found:
            return None
        last = found[0]
        return Gate(
            subject=last.subject,
            passed=last.passed,
            evidence=last.evidence,
            at=last.at,
            expires_at=last.expires_at,
        )

    async def results(
        self, kind: str | None = None, subject: str | None = None, limit: int = 50
    ) -> list[RecordedResult]:
        """The newest results first, at most `limit`."""
        query = select(gates).order_by(gates.c.at.desc()).limit(limit)
        if kind is not None:
            query = query.where(gates.c.kind == kind)
        if subject is not None:
            query = query.where(gates.c.subject == subject)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [
            RecordedResult.model_validate({k: v for k, v in row.items() if k != "id"})
            for row in rows
        ]


def _one_line(text: str) -> str:
    """What a terminal and a card can show in one line, whoever wrote it."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
