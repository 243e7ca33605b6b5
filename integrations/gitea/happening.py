"""What the readers share: when it happened, and who did it."""

from __future__ import annotations

from datetime import UTC, datetime

from integrations.gitea.payloads import Account
from integrations.text import clip
from integrations.webhooks import ARRIVAL, in_utc

_UNSET = datetime(1971, 1, 1, tzinfo=UTC)
"""Times before are how Go writes that there is none (year 1, or 1970)."""


def when(*candidates: datetime | None) -> datetime:
    """The first that is a time at all, in UTC; else that of the delivery's arrival."""
    given = (in_utc(at) for at in candidates if at is not None)
    return next((at for at in given if at > _UNSET), ARRIVAL)


def login(*candidates: Account | None) -> str:
    """The first account that is named."""
    return clip(next((a.login for a in candidates if a is not None and a.login), ""), 100)
