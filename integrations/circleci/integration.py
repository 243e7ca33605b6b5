"""The kind `circleci`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from pydantic import Field

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
from integrations.circleci.actions import RerunWorkflow
from integrations.circleci.webhook import CircleCIWebhook
from integrations.credentials import Address, header_value


class CircleCISettings(Frozen):
    """Settings of the kind `circleci`.

    Attributes:
        api_url: `https://HOST/api/v2` for CircleCI Server.
        web_url: where people look at workflows.
        projects: patterns of slugs (`gh/acme/*`) that actions may touch; none: all the token can.
        timeout_s: seconds for one call of the API.
    """

    api_url: Address = "https://circleci.com/api/v2"
    web_url: Address = "https://app.circleci.com"
    projects: tuple[str, ...] = Field(default=(), max_length=200)
    timeout_s: float = Field(default=20.0, gt=0, le=300)


class CircleCIIntegration(Integration):
    """Receives CircleCI's webhooks and calls its API.

    Secrets: `webhook` (left out: no webhooks are taken) and `token` (left out: the action is
    there, and says what is missing when it is previewed or run).
    """

    kind: ClassVar[str] = "circleci"

    def __init__(
        self,
        integration_id: str,
        settings: CircleCISettings,
        client: SystemClient,
        webhook: CircleCIWebhook | None,
    ) -> None:
        self.id = integration_id
        self.webhook = webhook
        self._settings = settings
        self._client = client

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:
        """See `Integration.create`."""
        settings = read_settings(record, CircleCISettings)
        check_secret_names(record, frozenset({"webhook", "token"}))
        token = read_secret(record, secrets, "token")
        where = f"integrations/{record.id}.yaml: secrets.token"
        headers = {"Circle-Token": header_value(token, where)} if token else None
        client = SystemClient(record.id, "CircleCI", settings.api_url, headers, settings.timeout_s)
        keys = read_secrets(record, secrets, "webhook")
        return cls(record.id, settings, client, CircleCIWebhook(record.id, keys) if keys else None)

    def actions(self) -> Sequence[Action[Any]]:
        """See `Integration.actions`."""
        file = f"integrations/{self.id}.yaml"
        settings = self._settings
        return (RerunWorkflow(file, self._client, settings.projects, settings.web_url),)

    async def health(self) -> Health:
        """See `Integration.health`. Asks who the token is."""
        return await self._client.health("/me", "answers, and takes the token")

    async def start(self) -> None:
        """See `Integration.start`."""
        await self._client.start()

    async def close(self) -> None:
        """See `Integration.close`."""
        await self._client.close()
