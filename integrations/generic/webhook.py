"""Deliveries whose parts are picked by expressions: verifying and normalising, without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from pydantic import Field, JsonValue, StringConstraints

from core.records import Event, Frozen
from integrations.flatten import attribute, attributes_of, kind_of
from integrations.generic.proof import Prover
from integrations.picking import Condition, Picker, Template
from integrations.text import clip, shorten
from integrations.webhooks import (
    ARRIVAL,
    Identity,
    MalformedDeliveryError,
    Webhook,
    digest,
    read_json,
    require,
)

AttributeName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,99}$")]
_HIDDEN = frozenset({"authorization", "proxy-authorization", "cookie"})


class Fields(Frozen):
    """What is picked from a delivery, each by a text with expressions over `body` and `headers`.

    Attributes:
        key: the sender's id of the delivery; left out: the id that the proof covers, else a
            digest of the body.
        subject: what it is about; deliveries of one subject are processed in their order.
        kind: of the event; other than small letters, `_` and `.` is made fit.
        title: one line.
        attributes: what triggers match on and hand on; an attribute without a value is empty.
            Left out: all plain values of the body.
        occurred_at: left out: when it arrived.
        when: a condition; deliveries for which it is false are taken and mean nothing.
    """

    key: Template | None = None
    subject: Template | None = None
    kind: Template = "message"
    title: Template | None = None
    attributes: dict[AttributeName, Template] | None = Field(default=None, max_length=64)
    occurred_at: Template | None = None
    when: Condition | None = None


class GenericWebhook(Webhook):
    """Authenticated as its settings say."""

    def __init__(
        self,
        webhook_id: str,
        prover: Prover,
        fields: Fields,
        content_types: frozenset[str],
        max_bytes: int,
    ) -> None:
        self.id = webhook_id
        self.content_types = content_types
        self.max_bytes = max_bytes
        self.secret_headers = prover.secret_headers
        self._prover = prover
        self._fields = fields

    def verify(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Identity:
        """See `Webhook.verify`."""
        self._prover.check(headers, body, at)
        picker = self._picker(headers, body)
        return Identity(self._key(picker, headers, body), self._subject(picker))

    def normalise(self, headers: Mapping[str, str], body: bytes) -> list[Event]:
        """One event, as the settings pick it; none where `when` is false."""
        fields, picker = self._fields, self._picker(headers, body)
        if fields.when is not None and not picker.holds(fields.when, "fields.when"):
            return []
        kind = kind_of(picker.text(fields.kind, "fields.kind"), {})
        subject = self._subject(picker) or self.id
        title = picker.text(fields.title, "fields.title") if fields.title else ""
        occurred = ARRIVAL
        if fields.occurred_at is not None:
            occurred = picker.time(fields.occurred_at, "fields.occurred_at")
        return [
            Event(
                id=shorten(f"{self.id}:{self._key(picker, headers, body)}", 200),
                kind=kind,
                source=self.id,
                subject=subject,
                title=clip(title or f"{kind}: {subject}", 500),
                attributes=self._attributes(picker, body),
                occurred_at=occurred,
            )
        ]

    def _picker(self, headers: Mapping[str, str], body: bytes) -> Picker:
        hidden = _HIDDEN | self.secret_headers
        seen = {name: value for name, value in headers.items() if name not in hidden}
        return Picker(seen, read_json(body))

    def _key(self, picker: Picker, headers: Mapping[str, str], body: bytes) -> str:
        if self._fields.key is None:
            name = self._prover.id_header
            return digest(body) if name is None else require(headers, name)
        key = picker.text(self._fields.key, "fields.key")
        if not key:
            raise MalformedDeliveryError("fields.key: it is empty")
        return shorten(key, 200)

    def _subject(self, picker: Picker) -> str:
        if self._fields.subject is None:
            return ""
        return shorten(picker.text(self._fields.subject, "fields.subject"), 300)

    def _attributes(self, picker: Picker, body: bytes) -> dict[str, JsonValue]:
        if self._fields.attributes is None:
            return attributes_of(read_json(body))
        found: dict[str, JsonValue] = {}
        for name, template in self._fields.attributes.items():
            try:
                value = picker.value(template, f"fields.attributes.{name}")
            except MalformedDeliveryError:
                value = ""
            found[name] = attribute(name, value)
        return found
