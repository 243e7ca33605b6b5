"""The kind `standardwebhooks`."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field

from core.records import Frozen
from core.security.secrets import Secrets
from core.state import AIIntegration
from integrations.base import Integration, check_secret_names, read_settings, require_secrets
from integrations.flatten import Kinds
from integrations.picking import Template
from integrations.standardwebhooks.signature import message_key
from integrations.standardwebhooks.webhook import StandardWebhook
from integrations.webhooks import DEFAULT_MAX_BYTES


class StandardWebhooksSettings(Frozen):
    """Settings of the kind `standardwebhooks`.

    Attributes:
        headers: `svix` for senders that use Svix's older names of the headers.
        kinds: shell patterns of the sender's types to kinds of events.
        subject: what a message is about; messages of one subject are processed in their order.
        max_bytes: largest accepted body.
    """

    headers: Literal["webhook", "svix"] = "webhook"
    kinds: Kinds = Field(default_factory=dict)
    subject: Template | None = None
    max_bytes: int = Field(default=DEFAULT_MAX_BYTES, ge=1024, le=32 * 1024 * 1024)


class StandardWebhooksIntegration(Integration):
    """Receives signed messages. Secret: `webhook`, the signing secret (`whsec_…`)."""

    kind: ClassVar[str] = "standardwebhooks"

    def __init__(self, webhook: StandardWebhook) -> None:
        self.id = webhook.id
        self.webhook = webhook

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:
        """See `Integration.create`."""
        settings = read_settings(record, StandardWebhooksSettings)
        check_secret_names(record, frozenset({"webhook"}))
        values = require_secrets(record, secrets, "webhook", "the signing secret (whsec_…)")
        where = f"integrations/{record.id}.yaml: secrets.webhook"
        return cls(
            StandardWebhook(
                record.id,
                tuple(message_key(value, where) for value in values),
                f"{settings.headers}-",
                settings.kinds,
                settings.subject,
                settings.max_bytes,
            )
        )
