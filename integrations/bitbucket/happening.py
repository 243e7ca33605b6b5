"""What the readers share: an event of ours, from one delivery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from core.records import Event
from integrations.happening import event_of
from integrations.webhooks import ARRIVAL


@dataclass(frozen=True)
class Origin:
    """The delivery that is read.

    Attributes:
        source: the integration's id.
        delivery: Bitbucket's id of the delivery.
        event_key: such as `pullrequest:created`.
    """

    source: str
    delivery: str
    event_key: str

    def event(
        self,
        kind: str,
        subject: str,
        title: str,
        attributes: Mapping[str, JsonValue],
        at: datetime | None,
        part: str = "",
    ) -> Event:
        """An event of this delivery.

        Args:
            at: None where Bitbucket does not say when it happened.
            part: tells it from the other events of the delivery.
        """
        key = self.delivery + (f":{part}" if part else "")
        return event_of(self.source, key, kind, subject, title, attributes, at or ARRIVAL)


def numbered(index: int) -> str:
    """The `part` of one of several events: none for the first."""
    return str(index) if index else ""


def pull_events(
    origin: Origin,
    word: str,
    where: str,
    attributes: Mapping[str, JsonValue],
    at: datetime | None,
) -> list[Event]:
    """`pull_request.<word>`; a merge closes, too, as with all senders."""
    title = f"{where} {word}: {attributes['pull_title']}"
    events = [origin.event(f"pull_request.{word}", where, title, attributes, at)]
    if word == "merged":
        closed = f"{where} closed: {attributes['pull_title']}"
        events.append(
            origin.event("pull_request.closed", where, closed, attributes, at, part="closed")
        )
    return events
