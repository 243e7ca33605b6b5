"""PagerDuty's deliveries: verifying and normalising, without I/O.

https://developer.pagerduty.com/docs/verifying-webhook-signatures

PyPI's `pagerduty` (56 kB, 50 ms to import) calls the REST API, blocking the event loop,
and verifies no webhooks; our tests call their stand-in with it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from datetime import datetime

from pydantic import JsonValue, SecretStr

from core.records import Event
from integrations.pagerduty.payloads import Delivery, EventData, OutboundEvent, Reference
from integrations.text import clip, shorten, tidy, web_address
from integrations.webhooks import (
    Identity,
    SignatureError,
    Webhook,
    hmac_sha256,
    in_utc,
    matches_any,
    read_payload,
)

_HEADER = "x-pagerduty-signature"
_MOST_SIGNATURES = 20
_KIND = re.compile(r"incident(\.[a-z_]+){1,3}")
_MOST_NAMES = 10

_log = logging.getLogger(__name__)


class PagerDutyWebhook(Webhook):
    """Authenticated by `X-PagerDuty-Signature`, which holds one signature for each secret that the
    subscription has while one is replaced.

    Args:
        keys: the subscription's secrets that are valid; two while one is being replaced.
    """

    def __init__(self, webhook_id: str, keys: tuple[SecretStr, ...], max_bytes: int) -> None:
        self.id = webhook_id
        self.max_bytes = max_bytes
        self._keys = keys

    def verify(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Identity:  # noqa: ARG002
        """See `Webhook.verify`; the key is the event's id, which is signed and the same in every
        attempt. PagerDuty signs no time of sending. The order of an incident's events is kept."""
        given = headers.get(_HEADER)
        if not given:
            raise SignatureError(f"the header {_HEADER} is missing")
        expected = ["v1=" + hmac_sha256(key, body) for key in self._keys]
        parts = [part.strip() for part in given.split(",")[:_MOST_SIGNATURES]]
        if not any([matches_any(part, expected) for part in parts]):  # noqa: C419 - constant time
            raise SignatureError("the signature is wrong; compare the subscription's secret")
        event = read_payload(body, Delivery).event
        return Identity(event.id, _subject(event.data))

    def normalise(self, headers: Mapping[str, str], body: bytes) -> list[Event]:  # noqa: ARG002
        """`incident.triggered`, `incident.acknowledged`, `incident.resolved` and every other event
        of an incident under PagerDuty's own name; nothing for services and test deliveries."""
        event = read_payload(body, Delivery).event
        if not _KIND.fullmatch(event.event_type):
            _log.info(
                "webhook %s: the event %.60r is taken and means nothing here",
                self.id,
                event.event_type,
            )
            return []
        data = event.data
        incident = _title(data)
        number = f" #{data.number}" if data.number is not None else ""
        happened = event.event_type.removeprefix("incident.").replace("_", " ").replace(".", " ")
        return [
            Event(
                id=f"{self.id}:{event.id}",
                kind=event.event_type,
                source=self.id,
                subject=_subject(data) or "incident",
                title=clip(f"Incident{number} {happened}: {incident}", 500),
                attributes=_attributes(event, incident),
                occurred_at=in_utc(event.occurred_at),
            )
        ]


def _subject(data: EventData) -> str:
    """The incident's id; empty where it is about none."""
    reference = data.incident.id if data.incident else data.id
    about = data.incident is not None or data.type == "incident"
    return shorten(clip(reference, 400), 300) if about else ""


def _title(data: EventData) -> str:
    return clip(data.title or _name(data.incident), 300)


def _attributes(event: OutboundEvent, incident: str) -> dict[str, JsonValue]:
    data = event.data
    url = data.incident.html_url if data.incident else data.html_url
    priority = _name(data.priority)
    return {
        "incident_id": _subject(data),
        "number": "" if data.number is None else data.number,
        "summary": incident,
        "status": clip(data.status, 40),
        "urgency": clip(data.urgency, 40),
        "priority": priority,
        "severity": priority or clip(data.urgency, 40),
        "service": _name(data.service),
        "service_id": clip(data.service.id if data.service else "", 40),
        "team": _names(data.teams),
        "assignees": _names(data.assignees),
        "escalation_policy": _name(data.escalation_policy),
        "incident_key": clip(data.incident_key, 300),
        "actor": _name(event.agent) or _name(data.user),
        "note": tidy(data.content or data.message, 2000),
        "url": web_address(url),
    }


def _name(reference: Reference | None) -> str:
    return clip(reference.summary, 200) if reference else ""


def _names(references: tuple[Reference, ...]) -> str:
    return clip(", ".join(_name(one) for one in references[:_MOST_NAMES]), 300)
