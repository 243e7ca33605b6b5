"""The kind `bitbucket`, for Cloud and Data Center."""

from __future__ import annotations

from typing import ClassVar, Self

from core.records import Frozen
from core.security.secrets import Secrets
from core.state import AIIntegration
from integrations.base import Integration, check_secret_names, read_settings, require_secrets
from integrations.bitbucket.webhook import BitbucketWebhook


class BitbucketSettings(Frozen):
    """The kind `bitbucket` has no settings."""


class BitbucketIntegration(Integration):
    """Receives Bitbucket's webhooks. Secret: `webhook`, with which they are signed."""

    kind: ClassVar[str] = "bitbucket"

    def __init__(self, webhook: BitbucketWebhook) -> None:
        self.id = webhook.id
        self.webhook = webhook

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:
        """See `Integration.create`."""
        read_settings(record, BitbucketSettings)
        check_secret_names(record, frozenset({"webhook"}))
        keys = require_secrets(record, secrets, "webhook", "the secret of the webhook in Bitbucket")
        return cls(BitbucketWebhook(record.id, keys))
