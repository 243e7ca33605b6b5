"""The kind `argocd`."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, StringConstraints

from core.errors import ConfigurationError
from core.records import Frozen
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action, ActionError, OutcomeUnknownError
from integrations.argocd.actions import Rollback, ShowApplication, Sync, WaitForHealth
from integrations.argocd.client import ArgoCD
from integrations.argocd.payloads import Version
from integrations.argocd.webhook import ArgoCDWebhook
from integrations.base import (
    Health,
    Integration,
    check_secret_names,
    read_secret,
    read_secrets,
    read_settings,
)
from integrations.calling import SystemClient
from integrations.credentials import Address, header_value
from integrations.webhooks import DEFAULT_MAX_BYTES

_Patterns = tuple[Annotated[str, StringConstraints(min_length=1, max_length=253)], ...]


class ArgoCDSettings(Frozen):
    """Settings of the kind `argocd`.

    Attributes:
        url: of Argo CD; the actions need it.
        ca: file with the certificate of the authority that signed the server's.
        web_url: where people open it, for links; by default `url`.
        applications: patterns (`shop-*`) of those that actions may touch; none: all the token may.
        projects: patterns of the projects that they must be in.
        timeout_s: seconds for one call.
        poll_s: seconds between two looks while an operation is waited for.
        max_bytes: largest accepted webhook body.
    """

    url: Address | None = None
    ca: Path | None = None
    web_url: Address | None = None
    applications: _Patterns = Field(default=(), max_length=200)
    projects: _Patterns = Field(default=(), max_length=200)
    timeout_s: float = Field(default=20.0, gt=0, le=300)
    poll_s: float = Field(default=2.0, gt=0, le=60)
    max_bytes: int = Field(default=DEFAULT_MAX_BYTES, ge=1024, le=32 * 1024 * 1024)


class ArgoCDIntegration(Integration):
    """Receives Argo CD's notifications and calls its API.

    Secrets: `webhook` (the bearer token that it sends; left out: no notifications are taken) and
    `token` (left out: the actions say what is missing when they are previewed or run).
    """

    kind: ClassVar[str] = "argocd"

    def __init__(
        self,
        integration_id: str,
        webhook: ArgoCDWebhook | None,
        client: SystemClient | None,
        argocd: ArgoCD | None,
    ) -> None:
        self.id = integration_id
        self.webhook = webhook
        self._client = client
        self._argocd = argocd

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:
        """See `Integration.create`."""
        settings = read_settings(record, ArgoCDSettings)
        check_secret_names(record, frozenset({"webhook", "token"}))
        tokens = read_secrets(record, secrets, "webhook")
        webhook = ArgoCDWebhook(record.id, tokens, settings.max_bytes) if tokens else None
        token = read_secret(record, secrets, "token")
        file = f"integrations/{record.id}.yaml"
        if settings.url is None:
            if token is not None:
                raise ConfigurationError(f"{file}: settings: add `url`, which the token is for.")
            return cls(record.id, webhook, None, None)
        headers = None
        if token is not None:
            bearer = header_value(token, f"{file}: secrets.token")
            headers = {"Authorization": f"Bearer {bearer}"}
        tls = _trusting(file, settings.ca) if settings.ca else None
        client = SystemClient(record.id, "Argo CD", settings.url, headers, settings.timeout_s, tls)
        argocd = ArgoCD(
            record.id,
            client,
            settings.applications,
            settings.projects,
            settings.web_url or settings.url,
            settings.poll_s,
        )
        return cls(record.id, webhook, client, argocd)

    def actions(self) -> Sequence[Action[Any]]:
        """See `Integration.actions`. None without an address."""
        if self._argocd is None:
            return ()
        argocd = self._argocd
        return (ShowApplication(argocd), Sync(argocd), Rollback(argocd), WaitForHealth(argocd))

    async def health(self) -> Health:
        """See `Integration.health`. Asks for the version."""
        if self._client is None:
            return Health(ready=True, detail="takes notifications")
        try:
            answer = await self._client.get("/api/version")
            version = answer.read(Version).version
        except (ActionError, OutcomeUnknownError) as error:
            return Health(ready=False, detail=str(error))
        return Health(ready=True, detail=f"Argo CD {version} answers")

    async def start(self) -> None:
        """See `Integration.start`."""
        if self._client is not None:
            await self._client.start()

    async def close(self) -> None:
        """See `Integration.close`."""
        if self._client is not None:
            await self._client.close()


def _trusting(file: str, authority: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"{file}: settings.ca: {authority} is no certificate: {error}."
        ) from error
