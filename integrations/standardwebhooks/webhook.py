"""Messages of Standard Webhooks: verifying and normalising, without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from core.records import Event
from integrations.flatten import attributes_of, kind_of
from integrations.picking import Picker, moment
from integrations.standardwebhooks.payloads import Message
from integrations.standardwebhooks.signature import verify_message
from integrations.text import clip, shorten
from integrations.webhooks import ARRIVAL, Identity, Webhook, read_json, read_payload, require


class StandardWebhook(Webhook):
    """Authenticated by the symmetric signature (`v1`).

    Args:
        keys: those that are valid; two while one is being replaced.
        prefix: of the three headers, `webhook-` or `svix-`.
        kinds: shell patterns of the sender's types to kinds of events.
        subject: a text with expressions over `body` and `headers`.
    """

    def __init__(
        self,
        webhook_id: str,
        keys: tuple[bytes, ...],
        prefix: str,
        kinds: Mapping[str, str],
        subject: str | None,
        max_bytes: int,
    ) -> None:
        self.id = webhook_id
        self.max_bytes = max_bytes
        self._keys = keys
        self._prefix = prefix
        self._kinds = kinds
        self._about = subject

    def verify(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Identity:
        """See `Webhook.verify`; the key is the message's id, which a further try keeps."""
        key = verify_message(headers, body, self._keys, at, self._prefix)
        return Identity(key, self._subject(headers, body))

    def normalise(self, headers: Mapping[str, str], body: bytes) -> list[Event]:
        """One event. Attributes: `type`, and the plain values of `data` (of the whole body, where
        there is no `data`)."""
        message = read_payload(body, Message)
        kind = kind_of(message.type, self._kinds)
        data = read_json(body) if message.data is None else message.data
        subject = self._subject(headers, body)
        what = clip(message.type, 200) or kind
        sent = ARRIVAL
        if message.timestamp is not None:
            sent = moment(message.timestamp, "timestamp")
        return [
            Event(
                id=shorten(f"{self.id}:{require(headers, f'{self._prefix}id')}", 200),
                kind=kind,
                source=self.id,
                subject=subject or what,
                title=clip(f"{what}: {subject}" if subject else f"{what} from {self.id}", 500),
                attributes={**attributes_of(data), "type": what},
                occurred_at=sent,
            )
        ]

    def _subject(self, headers: Mapping[str, str], body: bytes) -> str:
        if self._about is None:
            return ""
        return shorten(Picker(headers, read_json(body)).text(self._about, "subject"), 300)
