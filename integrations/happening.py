"""What the readers of several senders' deliveries share: an event of ours, from one delivery."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from pydantic import JsonValue

from core.records import Event
from integrations.text import clip, shorten
from integrations.webhooks import in_utc


def event_of(
    source: str,
    key: str,
    kind: str,
    subject: str,
    title: str,
    attributes: Mapping[str, JsonValue],
    at: datetime,
) -> Event:
    """An event whose texts are of any length.

    Args:
        source: the integration's id.
        key: tells the event from all others of the integration.
    """
    return Event(
        id=shorten(f"{source}:{key}", 200),
        kind=kind,
        source=source,
        subject=shorten(clip(subject, 1000), 300),
        title=clip(title, 500),
        attributes=dict(attributes),
        occurred_at=in_utc(at),
    )


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
        key = self.delivery + (f":{kind}" if also else "")
        return event_of(self.source, key, kind, subject, title, attributes, at)
