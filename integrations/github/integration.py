"""The kind `github`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, StringConstraints

from core.records import Frozen
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action, ActionError
from integrations.base import (
    Health,
    Integration,
    check_secret_names,
    read_secret,
    read_secrets,
    read_settings,
)
from integrations.github.actions import Scope, all_actions
from integrations.github.client import GitHubClient
from integrations.github.webhook import GitHubWebhook
from integrations.webhooks import DEFAULT_MAX_BYTES


class GitHubSettings(Frozen):
    """Settings of the kind `github`.

    Attributes:
        api_url: `https://HOST/api/v3` for an Enterprise Server.
        repositories: patterns (`acme/*`) that actions may touch; none: all the token can see.
        timeout_s: seconds for one call of the API.
        max_bytes: largest accepted webhook body (GitHub's own limit is 25 MB).
    """

    api_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#]+$", max_length=300)] = (
        "https://api.github.com"
    )
    repositories: tuple[str, ...] = Field(default=(), max_length=200)
    timeout_s: float = Field(default=20.0, gt=0, le=300)
    max_bytes: int = Field(default=DEFAULT_MAX_BYTES, ge=1024, le=32 * 1024 * 1024)


class GitHubIntegration(Integration):
    """Receives GitHub's webhooks and calls its API.

    Secrets: `webhook` (left out: no webhooks are taken) and `token` (left out: the actions are
    there, and say what is missing when they are previewed or run).
    """

    kind: ClassVar[str] = "github"

    def __init__(
        self,
        integration_id: str,
        client: GitHubClient,
        scope: Scope,
        webhook: GitHubWebhook | None,
    ) -> None:
        self.id = integration_id
        self.webhook = webhook
        self._client = client
        self._scope = scope

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:
        """See `Integration.create`."""
        settings = read_settings(record, GitHubSettings)
        check_secret_names(record, frozenset({"webhook", "token"}))
        keys = read_secrets(record, secrets, "webhook")
        token = read_secret(record, secrets, "token")
        return cls(
            record.id,
            GitHubClient(record.id, settings.api_url, token, settings.timeout_s),
            Scope(record.id, settings.repositories),
            GitHubWebhook(record.id, keys, settings.max_bytes) if keys else None,
        )

    def actions(self) -> Sequence[Action[Any]]:
        """See `Integration.actions`."""
        return all_actions(self._client, self._scope)

    async def health(self) -> Health:
        """See `Integration.health`. Asks for the rate limit, which costs none of it."""
        if not self._client.has_token:
            return Health(
                ready=True, detail="takes webhooks; without a credential it calls nothing"
            )
        try:
            await self._client.get("/rate_limit", {})
        except ActionError as error:
            return Health(ready=False, detail=str(error))
        return Health(ready=True, detail="the API answers")

    async def start(self) -> None:
        """See `Integration.start`."""
        await self._client.start()

    async def close(self) -> None:
        """See `Integration.close`."""
        await self._client.close()
