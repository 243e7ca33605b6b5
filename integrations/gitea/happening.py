"""What the readers share: an event of ours, from one delivery."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from pydantic import JsonValue

from core.records import Event
from integrations.gitea.payloads import Account
from integrations.text import clip, shorten
from integrations.webhooks import ARRIVAL, in_utc

_UNSET = datetime(1971, 1, 1, tzinfo=UTC)
"""Times before are how Go writes that there is none (year 1, or 1970)."""


class Origin(NamedTuple):
    """The delivery that is read: the integration's id, and the sender's id of the delivery."""

    source: str
    delivery: str

    def event(
        self,
        kind: str,
        subject: str,
        title: str,
        attributes: dict[str, JsonValue],
        at: datetime,
        *,
        also: bool = False,
    ) -> Event:
        """An event of this delivery.

        Args:
            also: it says the same as another event of the delivery, under the name that all
                senders share.
        """
        return Event(
            id=f"{self.source}:{self.delivery}" + (f":{kind}" if also else ""),
            kind=kind,
            source=self.source,
            subject=shorten(clip(subject, 1000), 300),
            title=clip(title, 500),
            attributes=attributes,
            occurred_at=at,
        )


def when(*candidates: datetime | None) -> datetime:
    """The first that is a time at all, in UTC; else that of the delivery's arrival."""
    given = (in_utc(at) for at in candidates if at is not None)
    return next((at for at in given if at > _UNSET), ARRIVAL)


def login(*candidates: Account | None) -> str:
    """The first account that is named."""
    return clip(next((a.login for a in candidates if a is not None and a.login), ""), 100)
