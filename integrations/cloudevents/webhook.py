"""CloudEvents over HTTP: verifying and normalising, without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from core.records import Event
from integrations.cloudevents.payloads import (
    BATCHED,
    STRUCTURED,
    CloudEvent,
    is_binary,
    read_events,
)
from integrations.flatten import attribute, attributes_of, kind_of
from integrations.generic.proof import Prover
from integrations.text import clip, shorten
from integrations.webhooks import ARRIVAL, Identity, SignatureError, Webhook, digest, in_utc


class CloudEventsWebhook(Webhook):
    """Authenticated as its settings say; CloudEvents itself has no signature.

    Args:
        kinds: shell patterns of the events' types to kinds of ours.
    """

    content_types = frozenset({STRUCTURED, BATCHED, "application/json"})

    def __init__(
        self, webhook_id: str, prover: Prover, kinds: Mapping[str, str], max_bytes: int
    ) -> None:
        self.id = webhook_id
        self.max_bytes = max_bytes
        self.secret_headers = prover.secret_headers
        self._prover = prover
        self._kinds = kinds

    def verify(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Identity:
        """See `Webhook.verify`; source and id together are unique. The order of the events of one
        source and subject is kept, but not that of a batch."""
        self._prover.check(headers, body, at)
        if is_binary(headers) and not self._prover.covers_headers:
            raise SignatureError(
                "what is signed is the body, and in binary mode the attributes stand in headers, "
                "which anybody could change: let the sender use the structured mode"
            )
        events = read_events(headers, body)
        if len(events) != 1:
            return Identity(digest(body))
        (event,) = events
        about = clip(f"{event.source} {event.subject or ''}", 5000)
        return Identity(_key(event), shorten(about, 300) if event.subject else "")

    def normalise(self, headers: Mapping[str, str], body: bytes) -> list[Event]:
        """One event for each of theirs. Attributes: `type`, `event_source`, extension attributes,
        and the plain values of `data`."""
        return [self._event(event) for event in read_events(headers, body)]

    def _event(self, event: CloudEvent) -> Event:
        subject = clip(event.subject, 2000) or clip(event.source, 2000) or self.id
        what = clip(event.type, 300)
        extensions = {
            name: attribute(name, value)
            for name, value in sorted(event.__pydantic_extra__.items())[:32]
            if name.isascii() and name.isalnum() and len(name) <= 60
        }
        return Event(
            id=shorten(f"{self.id}:{_key(event)}", 200),
            kind=kind_of(event.type, self._kinds),
            source=self.id,
            subject=shorten(subject, 300),
            title=clip(f"{what}: {subject}", 500),
            attributes={
                **extensions,
                **attributes_of(event.data),
                "type": what,
                "event_source": clip(event.source, 500),
            },
            occurred_at=ARRIVAL if event.time is None else in_utc(event.time),
        )


def _key(event: CloudEvent) -> str:
    key = f"{event.source} {event.id}"
    return key if len(key) <= 150 and key.isprintable() else digest(key.encode())
