"""The kind `buildkite`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

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
from integrations.buildkite.actions import Builds, Rebuild, RetryJob
from integrations.buildkite.webhook import BuildkiteWebhook
from integrations.calling import SystemClient
from integrations.credentials import Address, header_value


class BuildkiteSettings(Frozen):
    """Settings of the kind `buildkite`.

    Attributes:
        organization: its slug.
        pipelines: patterns of slugs (`shop-*`) that actions may touch; none: all the token can.
        verification: what the webhook's settings at Buildkite say: `signature`, or `token`.
        timeout_s: seconds for one call of the API.
    """

    organization: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,99}$")
    api_url: Address = "https://api.buildkite.com/v2"
    pipelines: tuple[str, ...] = Field(default=(), max_length=200)
    verification: Literal["signature", "token"] = "signature"
    timeout_s: float = Field(default=20.0, gt=0, le=300)


class BuildkiteIntegration(Integration):
    """Receives Buildkite's webhooks and calls its API.

    Secrets: `webhook` (left out: no webhooks are taken) and `token` (left out: the actions
    are there, and say what is missing when they are previewed or run).
    """

    kind: ClassVar[str] = "buildkite"

    def __init__(
        self,
        integration_id: str,
        settings: BuildkiteSettings,
        client: SystemClient,
        webhook: BuildkiteWebhook | None,
    ) -> None:
        self.id = integration_id
        self.webhook = webhook
        self._settings = settings
        self._client = client

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:
        """See `Integration.create`."""
        settings = read_settings(record, BuildkiteSettings)
        check_secret_names(record, frozenset({"webhook", "token"}))
        token = read_secret(record, secrets, "token")
        where = f"integrations/{record.id}.yaml: secrets.token"
        headers = {"Authorization": f"Bearer {header_value(token, where)}"} if token else None
        client = SystemClient(record.id, "Buildkite", settings.api_url, headers, settings.timeout_s)
        keys = read_secrets(record, secrets, "webhook")
        signed = settings.verification == "signature"
        webhook = BuildkiteWebhook(record.id, keys, signed=signed) if keys else None
        return cls(record.id, settings, client, webhook)

    def actions(self) -> Sequence[Action[Any]]:
        """See `Integration.actions`."""
        settings = self._settings
        file = f"integrations/{self.id}.yaml"
        builds = Builds(file, self._client, settings.organization, settings.pipelines)
        return (Rebuild(builds), RetryJob(builds))

    async def health(self) -> Health:
        """See `Integration.health`. Asks who the token is."""
        return await self._client.health("/access-token", "answers, and takes the token")

    async def start(self) -> None:
        """See `Integration.start`."""
        await self._client.start()

    async def close(self) -> None:
        """See `Integration.close`."""
        await self._client.close()
