"""What the readers of several senders' deliveries share: an event of ours, from one delivery."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from pydantic import JsonValue

from core.records import Event
from integrations.text import clip, shorten
from integrations.webhooks import in_utc


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
            occurred_at=in_utc(at),
        )
