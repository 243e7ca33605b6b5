"""The kind `jenkins`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from pydantic import Field

from core.errors import ConfigurationError
from core.records import Frozen
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action
from integrations.base import Health, Integration, check_secret_names, read_secrets, read_settings
from integrations.calling import SystemClient
from integrations.credentials import Address, authorization
from integrations.jenkins.actions import Build, Scope, Wait
from integrations.jenkins.builds import JenkinsBuilds
from integrations.jenkins.webhook import JenkinsWebhook


class JenkinsSettings(Frozen):
    """Settings of the kind `jenkins`.

    Attributes:
        url: where Jenkins is; left out, there are no actions.
        username: whose API token `token` is.
        jobs: patterns of full names (`shop/*`) that actions may touch; none: all the user may.
        timeout_s: seconds for one call of the API.
        poll_s: seconds between two looks at a build that is waited for.
    """

    url: Address | None = None
    username: str | None = Field(default=None, min_length=1, max_length=200, pattern=r"^[^:\s]+$")
    jobs: tuple[str, ...] = Field(default=(), max_length=200)
    timeout_s: float = Field(default=20.0, gt=0, le=300)
    poll_s: float = Field(default=3.0, ge=0.01, le=60)


class JenkinsIntegration(Integration):
    """Receives notifications of Jenkins' builds, and starts builds.

    Secrets: `webhook` (left out: no webhooks are taken) and `token`, the API token of `username`
    (left out: the actions say what is missing when they are previewed or run).
    """

    kind: ClassVar[str] = "jenkins"

    def __init__(
        self,
        integration_id: str,
        settings: JenkinsSettings,
        client: SystemClient | None,
        webhook: JenkinsWebhook | None,
    ) -> None:
        self.id = integration_id
        self.webhook = webhook
        self._settings = settings
        self._client = client

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:
        """See `Integration.create`."""
        settings = read_settings(record, JenkinsSettings)
        check_secret_names(record, frozenset({"webhook", "token"}))
        headers = authorization(record, secrets, settings.username, ("bearer", "token"))
        if headers and settings.url is None:
            raise ConfigurationError(
                f"integrations/{record.id}.yaml: settings: add `url`, where Jenkins is; the token "
                "is of no use without."
            )
        client = None
        if settings.url is not None:
            client = SystemClient(
                record.id, "Jenkins", settings.url, headers or None, settings.timeout_s
            )
        tokens = read_secrets(record, secrets, "webhook")
        webhook = JenkinsWebhook(record.id, tokens) if tokens else None
        return cls(record.id, settings, client, webhook)

    def actions(self) -> Sequence[Action[Any]]:
        """See `Integration.actions`."""
        if self._client is None:
            return ()
        builds = JenkinsBuilds(self._client, self._settings.poll_s)
        scope = Scope(f"integrations/{self.id}.yaml", self._settings.jobs)
        return (Build(builds, scope), Wait(builds, scope))

    async def health(self) -> Health:
        """See `Integration.health`. Asks who the token is."""
        if self._client is None:
            return Health(ready=True, detail="takes webhooks; without a url it calls nothing")
        return await self._client.health("/whoAmI/api/json", "answers, and takes the token")

    async def start(self) -> None:
        """See `Integration.start`."""
        if self._client is not None:
            await self._client.start()

    async def close(self) -> None:
        """See `Integration.close`."""
        if self._client is not None:
            await self._client.close()
