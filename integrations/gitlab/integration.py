"""The kind `gitlab`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, StringConstraints

from core.records import Frozen
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action
from integrations.base import (
    Health,
    Integration,
    check_secret_names,
    read_secret,
    read_secrets,
    read_settings,
)
from integrations.calling import SystemClient
from integrations.gitlab.actions import Scope, all_actions
from integrations.gitlab.webhook import GitLabWebhook
from integrations.standardwebhooks.signature import message_key
from integrations.webhooks import DEFAULT_MAX_BYTES


class GitLabSettings(Frozen):
    """Settings of the kind `gitlab`.

    Attributes:
        url: of a self-managed server, without `/api/v4`.
        projects: patterns (`acme/*`, subgroups included) that actions may touch; none: all the
            token can see.
        timeout_s: seconds for one call of the API.
        max_bytes: largest accepted webhook body.
    """

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#]+$", max_length=300)] = (
        "https://gitlab.com"
    )
    projects: tuple[str, ...] = Field(default=(), max_length=200)
    timeout_s: float = Field(default=20.0, gt=0, le=300)
    max_bytes: int = Field(default=DEFAULT_MAX_BYTES, ge=1024, le=32 * 1024 * 1024)


class GitLabIntegration(Integration):
    """Receives GitLab's webhooks and calls its API.

    Secrets: `signing` (the webhook's signing token) or `webhook` (its secret token), both while
    one takes the place of the other, neither where no webhooks are taken; `token` (left out: the
    actions are there, and say what is missing when they are previewed or run).
    """

    kind: ClassVar[str] = "gitlab"

    def __init__(
        self,
        integration_id: str,
        client: SystemClient,
        scope: Scope,
        webhook: GitLabWebhook | None,
    ) -> None:
        self.id = integration_id
        self.webhook = webhook
        self._client = client
        self._scope = scope

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:
        """See `Integration.create`."""
        settings = read_settings(record, GitLabSettings)
        check_secret_names(record, frozenset({"signing", "webhook", "token"}))
        where = f"integrations/{record.id}.yaml: secrets.signing"
        keys = tuple(message_key(key, where) for key in read_secrets(record, secrets, "signing"))
        tokens = read_secrets(record, secrets, "webhook")
        token = read_secret(record, secrets, "token")
        client = SystemClient(
            record.id,
            "GitLab",
            settings.url.rstrip("/") + "/api/v4",
            {"PRIVATE-TOKEN": token.get_secret_value()} if token else None,
            settings.timeout_s,
        )
        return cls(
            record.id,
            client,
            Scope(record.id, settings.projects),
            GitLabWebhook(record.id, tokens, keys, settings.max_bytes) if keys or tokens else None,
        )

    def actions(self) -> Sequence[Action[Any]]:
        """See `Integration.actions`."""
        return all_actions(self._client, self._scope)

    async def health(self) -> Health:
        """See `Integration.health`."""
        return await self._client.health("/version", "the API answers")

    async def start(self) -> None:
        """See `Integration.start`."""
        await self._client.start()

    async def close(self) -> None:
        """See `Integration.close`."""
        await self._client.close()
