"""The kind `alertmanager`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field

from core.records import Frozen
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action
from core.workflows.definition import Duration
from integrations.alertmanager.actions import CreateSilence, ExpireSilence, ListAlerts
from integrations.alertmanager.client import AlertmanagerApi
from integrations.alertmanager.matchers import LabelName, Scope
from integrations.alertmanager.webhook import AlertmanagerWebhook
from integrations.base import (
    Health,
    Integration,
    check_secret_names,
    read_secrets,
    read_settings,
    require_secrets,
)
from integrations.calling import SystemClient
from integrations.credentials import Address, Username, authorization
from integrations.webhooks import DEFAULT_MAX_BYTES

_API_SECRETS = ("api_token", "api_password")
Patterns = Annotated[tuple[str, ...], Field(min_length=1, max_length=50)]


class AlertmanagerSettings(Frozen):
    """Settings of the kind `alertmanager`.

    Attributes:
        max_bytes: largest accepted body; raise it together with large groups of alerts.
        url: of its API, which is at `/api/v2` below it; none: there are no actions.
        web_url: where people open it, for links; by default `url`.
        username: goes with the secret `api_password`.
        timeout_s: seconds for one call of the API.
        silence_labels: labels that each silence must name, with patterns (`team: [payments-*]`)
            of which the value must fit one; none: silences may be about anything.
        longest_silence: that may be asked for.
    """

    max_bytes: int = Field(default=DEFAULT_MAX_BYTES, ge=1024, le=32 * 1024 * 1024)
    url: Address | None = None
    web_url: Address | None = None
    username: Username | None = None
    timeout_s: float = Field(default=20.0, gt=0, le=300)
    silence_labels: dict[LabelName, Patterns] = Field(default_factory=dict, max_length=20)
    longest_silence: Duration = Field(
        default=timedelta(days=1), ge=timedelta(minutes=1), le=timedelta(days=31)
    )


class AlertmanagerIntegration(Integration):
    """Receives Alertmanager's notifications, and mutes alerts where it knows its `url`.

    Secrets: `token`, the bearer token that it sends (may be left out where `url` is set: then no
    webhook is taken); `api_token` or `api_password`, where its API asks for one.
    """

    kind: ClassVar[str] = "alertmanager"

    def __init__(
        self,
        integration_id: str,
        settings: AlertmanagerSettings,
        webhook: AlertmanagerWebhook | None,
        api: AlertmanagerApi | None,
    ) -> None:
        self.id = integration_id
        self.webhook = webhook
        self._settings = settings
        self._api = api

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:
        """See `Integration.create`."""
        settings = read_settings(record, AlertmanagerSettings)
        check_secret_names(record, frozenset({"token", *_API_SECRETS}))
        tokens = (
            read_secrets(record, secrets, "token")
            if settings.url
            else require_secrets(
                record, secrets, "token", "the bearer token that Alertmanager sends"
            )
        )
        credential = authorization(record, secrets, settings.username, _API_SECRETS)
        api = None
        if settings.url:
            client = SystemClient(
                record.id, "Alertmanager", settings.url, credential, settings.timeout_s
            )
            api = AlertmanagerApi(client, settings.web_url or settings.url)
        webhook = AlertmanagerWebhook(record.id, tokens, settings.max_bytes) if tokens else None
        return cls(record.id, settings, webhook, api)

    def actions(self) -> Sequence[Action[Any]]:
        """See `Integration.actions`."""
        if self._api is None:
            return ()
        scope = Scope(self.id, self._settings.silence_labels)
        longest, file = self._settings.longest_silence, f"integrations/{self.id}.yaml"
        return (
            ListAlerts(self._api),
            CreateSilence(self._api, scope, longest, file),
            ExpireSilence(self._api, scope),
        )

    async def health(self) -> Health:
        """See `Integration.health`."""
        if self._api is None:
            return Health(ready=True, detail="takes notifications")
        return await self._api.client.health("/api/v2/status", "the API answers")

    async def start(self) -> None:
        """See `Integration.start`."""
        if self._api is not None:
            await self._api.client.start()

    async def close(self) -> None:
        """See `Integration.close`."""
        if self._api is not None:
            await self._api.client.close()
