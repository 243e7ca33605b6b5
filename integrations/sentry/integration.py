"""The kind `sentry`."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field

from core.records import Frozen
from core.security.secrets import Secrets
from core.state import AIIntegration
from integrations.base import Integration, check_secret_names, read_settings, require_secrets
from integrations.sentry.webhook import SentryWebhook
from integrations.webhooks import DEFAULT_MAX_BYTES


class SentrySettings(Frozen):
    """Settings of the kind `sentry`.

    Attributes:
        max_bytes: largest accepted body; events with long stack traces are large.
    """

    max_bytes: int = Field(default=DEFAULT_MAX_BYTES, ge=1024, le=32 * 1024 * 1024)


class SentryIntegration(Integration):
    """Receives the webhooks of a Sentry integration. Secret: `webhook`, its client secret."""

    kind: ClassVar[str] = "sentry"

    def __init__(self, webhook: SentryWebhook) -> None:
        self.id = webhook.id
        self.webhook = webhook

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:
        """See `Integration.create`."""
        settings = read_settings(record, SentrySettings)
        check_secret_names(record, frozenset({"webhook"}))
        keys = require_secrets(record, secrets, "webhook", "the Sentry integration's client secret")
        return cls(SentryWebhook(record.id, keys, settings.max_bytes))
