"""Access tokens: with one, a program such as an editor acts for the person it was made for.

A token is 256 random bits, so its SHA-256 is enough to recognise it by and tells nobody the token.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import UTC, datetime, timedelta

from sqlalchemy import Row, insert, select, update

from core.errors import InvalidRequestError, NotFoundError
from core.records import Frozen, Instant
from core.security.audit import AuditLog
from core.store.database import Database
from core.store.tables import access_tokens

PREFIX = "cst_"
LONGEST = timedelta(days=366)
_USER = re.compile(r"[UW][A-Z0-9]{1,118}")
_MOST_CHARACTERS = 200


class AccessToken(Frozen):
    """What is known of a token; the token itself is shown once, when it is made.

    Attributes:
        user: Slack user id of the person.
        label: what it is for, such as `laptop`.
    """

    id: str
    user: str
    label: str
    created_at: Instant
    expires_at: Instant
    revoked_at: Instant | None = None

    def valid(self, at: datetime) -> bool:
        """Whether it can be used."""
        return self.revoked_at is None and at < self.expires_at


class AccessTokens:
    """Makes tokens, recognises and revokes them.

    Args:
        audit: has an entry for each that is made or revoked.
    """

    def __init__(self, database: Database, audit: AuditLog) -> None:
        self._database = database
        self._audit = audit

    async def issue(self, user: str, label: str, valid_for: timedelta, by: str) -> str:
        """Make a token for `user` and return it; nobody can look at it again.

        Raises:
            InvalidRequestError: it is no member's id, no label, or too long a time.
        """
        if not _USER.fullmatch(user):
            raise InvalidRequestError(
                f"'{user[:40]}' is no member id: give one such as U0123ABCD (in Slack: Profile, "
                "Copy member ID)."
            )
        if not 0 < len(label) <= 120 or not label.isprintable():
            raise InvalidRequestError("Say in 1 to 120 characters what the token is for.")
        if not timedelta(0) < valid_for <= LONGEST:
            raise InvalidRequestError(f"A token is valid for at most {LONGEST.days} days.")
        token, now = PREFIX + secrets.token_urlsafe(32), datetime.now(UTC)
        made = AccessToken(
            id=secrets.token_hex(4),
            user=user,
            label=label,
            created_at=now,
            expires_at=now + valid_for,
        )
        async with self._database.write() as connection:
            await connection.execute(
                insert(access_tokens).values(digest=_digest(token), **made.model_dump())
            )
            await self._audit.append(
                connection,
                by,
                "token.issued",
                made.id,
                made.model_dump(mode="json", include={"user", "label", "expires_at"}),
            )
        return token

    async def recognise(self, token: str) -> AccessToken | None:
        """The valid token that this is, or None."""
        if not token.startswith(PREFIX) or len(token) > _MOST_CHARACTERS:
            return None
        query = select(access_tokens).where(access_tokens.c.digest == _digest(token))
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            return None
        found = _token(row)
        return found if found.valid(datetime.now(UTC)) else None

    async def all(self) -> list[AccessToken]:
        """Every token that was made, the newest first."""
        query = select(access_tokens).order_by(access_tokens.c.created_at.desc())
        async with self._database.read() as connection:
            return [_token(row) for row in await connection.execute(query)]

    async def revoke(self, token_id: str, by: str) -> None:
        """Make it invalid at once; one that is already stays so.

        Raises:
            NotFoundError: there is no token of that id.
        """
        known = access_tokens.c.id == token_id
        async with self._database.write() as connection:
            row = (await connection.execute(select(access_tokens).where(known))).first()
            if row is None:
                raise NotFoundError(
                    f"There is no token '{token_id[:40]}'; `countersign mcp tokens` lists them."
                )
            if row.revoked_at is None:
                await connection.execute(
                    update(access_tokens).where(known).values(revoked_at=datetime.now(UTC))
                )
                await self._audit.append(
                    connection, by, "token.revoked", token_id, {"user": row.user}
                )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _token(row: Row[tuple[object, ...]]) -> AccessToken:
    values = {name: value for name, value in row._mapping.items() if name != "digest"}
    return AccessToken.model_validate(values)
