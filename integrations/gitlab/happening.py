"""What the readers of GitLab's events share: an event of ours, from one delivery."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from pydantic import JsonValue

from core.records import Event
from integrations.happening import event_of


class Origin(NamedTuple):
    """The delivery that is read: the integration's id, and the delivery's key.

    Attributes:
        sent: when GitLab sent it, where it signs that.
    """

    source: str
    delivery: str
    sent: datetime | None

    def event(
        self,
        kind: str,
        subject: str,
        title: str,
        attributes: dict[str, JsonValue],
        at: datetime,
    ) -> Event:
        """An event of this delivery."""
        return event_of(self.source, self.delivery, kind, subject, title, attributes, at)
