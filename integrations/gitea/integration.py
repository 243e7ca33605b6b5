"""The kind `gitea`, for Forgejo, too."""

from __future__ import annotations

from typing import ClassVar, Self

from core.records import Frozen
from core.security.secrets import Secrets
from core.state import AIIntegration
from integrations.base import Integration, check_secret_names, read_settings, require_secrets
from integrations.gitea.webhook import GiteaWebhook


class GiteaSettings(Frozen):
    """The kind `gitea` has no settings."""


class GiteaIntegration(Integration):
    """Receives the webhooks of Gitea or Forgejo. Secret: `webhook`, with which they are signed."""

    kind: ClassVar[str] = "gitea"

    def __init__(self, webhook: GiteaWebhook) -> None:
        self.id = webhook.id
        self.webhook = webhook

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:
        """See `Integration.create`."""
        read_settings(record, GiteaSettings)
        check_secret_names(record, frozenset({"webhook"}))
        keys = require_secrets(record, secrets, "webhook", "the secret of the webhook in Gitea")
        return cls(GiteaWebhook(record.id, keys))
