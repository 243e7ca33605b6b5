"""Grafana's notifications: verifying and normalising, without I/O.

https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/#hmac-signature
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pydantic import JsonValue, SecretStr

from core.records import Event
from integrations.alertmanager.groups import event_of, key_of
from integrations.grafana.payloads import GrafanaGroup
from integrations.text import clip, web_address
from integrations.webhooks import (
    Identity,
    SignatureError,
    Webhook,
    digest,
    hmac_sha256,
    matches_any,
    read_payload,
    require_bearer,
    require_fresh,
)

_LATEST = 253_402_300_799  # the year 9999
_MAX_VALUES = 10


@dataclass(frozen=True)
class Proof:
    """How the contact point proves that it is Grafana.

    Attributes:
        kind: an HMAC of the body, a bearer token, or a user and password.
        secrets: those that are valid; two while one is being replaced.
        username: that goes with a password.
        signature_header: of an HMAC, in lower case.
        timestamp_header: the header of a signed time, in lower case; None where none is signed.
    """

    kind: Literal["hmac", "token", "password"]
    secrets: tuple[SecretStr, ...]
    username: str = ""
    signature_header: str = "x-grafana-alerting-signature"
    timestamp_header: str | None = None


class GrafanaWebhook(Webhook):
    """Authenticated as its contact point is set up."""

    def __init__(self, webhook_id: str, proof: Proof, max_bytes: int) -> None:
        self.id = webhook_id
        self.max_bytes = max_bytes
        self._proof = proof

    def verify(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Identity:
        """See `Webhook.verify`. The order of one group's notifications is kept."""
        match self._proof.kind:
            case "token":
                require_bearer(headers, self._proof.secrets)
            case "password":
                self._require_password(headers)
            case "hmac":
                self._require_signature(headers, body, at)
        group = read_payload(body, GrafanaGroup)
        return Identity(key_of(group), digest(group.group_key.encode()))

    def normalise(self, headers: Mapping[str, str], body: bytes) -> list[Event]:  # noqa: ARG002
        """One event for the group: `alert.firing` while any alert in it fires, and
        `alert.resolved` when none does, with the attributes of Alertmanager's events and
        `folder`, `url` (of the panel, the dashboard or the rule), `dashboard_url`, `panel_url`,
        `silence_url`, `image_url` and `values` (of the first alert), `org_id`."""
        group = read_payload(body, GrafanaGroup)
        event = event_of(self.id, group)
        first = next(a for a in group.alerts if a in group.current)
        panel, dashboard = web_address(first.panel_url), web_address(first.dashboard_url)
        measured = list((first.values or {}).items())[:_MAX_VALUES]
        more: dict[str, JsonValue] = {
            "folder": clip(group.common_labels.get("grafana_folder"), 200),
            "org_id": group.org_id,
            "url": panel or dashboard or event.attributes["generator_url"],
            "dashboard_url": dashboard,
            "panel_url": panel,
            "silence_url": web_address(first.silence_url, 1000),
            "image_url": web_address(first.image_url, 1000),
            "values": clip(", ".join(f"{name}={value}" for name, value in measured), 300),
        }
        return [event.model_copy(update={"attributes": {**event.attributes, **more}})]

    def _require_password(self, headers: Mapping[str, str]) -> None:
        scheme, _, encoded = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            raise SignatureError("there is no user and password")
        try:
            given = base64.b64decode(encoded.strip(), validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError) as error:
            raise SignatureError("the user and password are not base64") from error
        expected = (f"{self._proof.username}:{s.get_secret_value()}" for s in self._proof.secrets)
        if not matches_any(given, expected):
            raise SignatureError("the user or the password is wrong")

    def _require_signature(self, headers: Mapping[str, str], body: bytes, at: datetime) -> None:
        proof = self._proof
        signature = headers.get(proof.signature_header)
        if not signature:
            raise SignatureError(f"the header {proof.signature_header} is missing")
        sent, signed = None, body
        if proof.timestamp_header is not None:
            timestamp = headers.get(proof.timestamp_header, "")
            sent = _moment(timestamp, proof.timestamp_header)
            signed = f"{timestamp}:".encode() + body
        if not matches_any(signature, (hmac_sha256(key, signed) for key in proof.secrets)):
            raise SignatureError(
                "the signature is wrong; compare the contact point's secret and timestamp header"
            )
        if sent is not None:
            require_fresh(sent, at)


def _moment(timestamp: str, header: str) -> datetime:
    digits = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12
    if not (digits and int(timestamp) <= _LATEST):
        raise SignatureError(f"the header {header} is missing, or is no number of seconds")
    return datetime.fromtimestamp(int(timestamp), UTC)
