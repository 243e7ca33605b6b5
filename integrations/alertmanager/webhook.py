"""Alertmanager's notifications: verifying and normalising, without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pydantic import SecretStr

from core.records import Event
from integrations.alertmanager.groups import event_of, key_of
from integrations.alertmanager.payloads import AlertGroup
from integrations.webhooks import Identity, Webhook, digest, read_payload, require_bearer


class AlertmanagerWebhook(Webhook):
    """Authenticated by the bearer token of Alertmanager's `http_config.authorization`.

    Args:
        tokens: those that are valid; two while one is being replaced.
    """

    def __init__(self, webhook_id: str, tokens: tuple[SecretStr, ...], max_bytes: int) -> None:
        self.id = webhook_id
        self.max_bytes = max_bytes
        self._tokens = tokens

    def verify(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Identity:  # noqa: ARG002
        """See `Webhook.verify`. The order of one group's notifications is kept."""
        require_bearer(headers, self._tokens)
        group = read_payload(body, AlertGroup)
        return Identity(key_of(group), digest(group.group_key.encode()))

    def normalise(self, headers: Mapping[str, str], body: bytes) -> list[Event]:  # noqa: ARG002
        """One event for the group: `alert.firing` while any alert in it fires, and
        `alert.resolved` when none does.

        Attributes: `alertname`, `severity`, `service`, `instance` (what the group's alerts have
        in common, else those of its first alerts), `summary`, `description`, `runbook_url`,
        `generator_url`, `group_key`, `fingerprint` (the first), `fingerprints`, `count`,
        `receiver`, and every common label as `label_<name>`.
        """
        return [event_of(self.id, read_payload(body, AlertGroup))]
