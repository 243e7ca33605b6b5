"""The kind `alertmanager`."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field

from core.records import Frozen
from core.security.secrets import Secrets
from core.state import AIIntegration
from integrations.alertmanager.webhook import AlertmanagerWebhook
from integrations.base import Integration, check_secret_names, read_settings, require_secrets
from integrations.webhooks import DEFAULT_MAX_BYTES


class AlertmanagerSettings(Frozen):
    """Settings of the kind `alertmanager`.

    Attributes:
        max_bytes: largest accepted body; raise it together with large groups of alerts.
    """

    max_bytes: int = Field(default=DEFAULT_MAX_BYTES, ge=1024, le=32 * 1024 * 1024)


class AlertmanagerIntegration(Integration):
    """Receives Alertmanager's notifications. Secret: `token`, its bearer token."""

    kind: ClassVar[str] = "alertmanager"

    def __init__(self, webhook: AlertmanagerWebhook) -> None:
        self.id = webhook.id
        self.webhook = webhook

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:
        """See `Integration.create`."""
        settings = read_settings(record, AlertmanagerSettings)
        check_secret_names(record, frozenset({"token"}))
        tokens = require_secrets(
            record, secrets, "token", "the bearer token that Alertmanager sends"
        )
        return cls(AlertmanagerWebhook(record.id, tokens, settings.max_bytes))
