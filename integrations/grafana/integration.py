"""The kind `grafana`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, StringConstraints

from core.errors import ConfigurationError
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
from integrations.credentials import Address, Username, header_value
from integrations.grafana.actions import Annotate, GrafanaApi, ShowPanel
from integrations.grafana.webhook import GrafanaWebhook, Proof
from integrations.webhooks import DEFAULT_MAX_BYTES

HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,100}$", to_lower=True)]


class GrafanaSettings(Frozen):
    """Settings of the kind `grafana`.

    Attributes:
        url: of Grafana, for its API; none: there are no actions.
        web_url: where people open it, for links; by default `url`.
        username: goes with the secret `password`.
        signature_header: of the contact point's HMAC.
        timestamp_header: what the contact point calls the header of the time that it signs; none:
            it signs none, and an old delivery is only recognised by what it says.
        dashboards: patterns of uids that actions may touch; none: all that the token can see.
        timeout_s: seconds for one call of the API.
        max_bytes: largest accepted webhook body.
    """

    url: Address | None = None
    web_url: Address | None = None
    username: Username | None = None
    signature_header: HeaderName = "x-grafana-alerting-signature"
    timestamp_header: HeaderName | None = None
    dashboards: tuple[str, ...] = Field(default=(), max_length=200)
    timeout_s: float = Field(default=20.0, gt=0, le=300)
    max_bytes: int = Field(default=DEFAULT_MAX_BYTES, ge=1024, le=32 * 1024 * 1024)


class GrafanaIntegration(Integration):
    """Receives notifications of Grafana Alerting; writes annotations, shows panels.

    Secrets: one of `hmac`, `token` (bearer) and `password`, as the contact point proves itself
    (none: no webhook is taken); `api_token` of a service account, with `url` (left out: there are
    no actions).
    """

    kind: ClassVar[str] = "grafana"

    def __init__(
        self,
        integration_id: str,
        webhook: GrafanaWebhook | None,
        client: SystemClient | None,
        renderer: SystemClient | None,
        api: GrafanaApi | None,
    ) -> None:
        self.id = integration_id
        self.webhook = webhook
        self._client = client
        self._renderer = renderer
        self._api = api

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:
        """See `Integration.create`."""
        settings = read_settings(record, GrafanaSettings)
        check_secret_names(record, frozenset({"hmac", "token", "password", "api_token"}))
        proof = _proof(record, secrets, settings)
        webhook = GrafanaWebhook(record.id, proof, settings.max_bytes) if proof else None
        token = read_secret(record, secrets, "api_token")
        file = f"integrations/{record.id}.yaml"
        if (settings.url is None) != (token is None):
            raise ConfigurationError(
                f"{file}: settings.url and secrets.api_token are of use together only."
            )
        if settings.url is None or token is None:
            if webhook is None:
                raise ConfigurationError(
                    f"{file}: secrets: add `hmac: NAME`, `token: NAME` or `password: NAME`, where "
                    "NAME is the variable that holds what Grafana's contact point proves itself "
                    "with."
                )
            return cls(record.id, webhook, None, None, None)
        headers = {"Authorization": f"Bearer {header_value(token, f'{file}: secrets.api_token')}"}
        # Two clients, each with its breaker: a renderer that is broken does not end annotations.
        client, renderer = (
            SystemClient(record.id, name, settings.url, headers, settings.timeout_s)
            for name in ("Grafana", "Grafana's image renderer")
        )
        api = GrafanaApi(
            client, renderer, record.id, settings.web_url or settings.url, settings.dashboards
        )
        return cls(record.id, webhook, client, renderer, api)

    def actions(self) -> Sequence[Action[Any]]:
        """See `Integration.actions`."""
        return () if self._api is None else (Annotate(self._api), ShowPanel(self._api))

    async def health(self) -> Health:
        """See `Integration.health`. Asks which organisation the token is of."""
        if self._client is None:
            return Health(ready=True, detail="takes notifications")
        return await self._client.health("/api/org", "the API answers")

    async def start(self) -> None:
        """See `Integration.start`."""
        for client in (self._client, self._renderer):
            if client is not None:
                await client.start()

    async def close(self) -> None:
        """See `Integration.close`."""
        for client in (self._client, self._renderer):
            if client is not None:
                await client.close()


def _proof(record: AIIntegration, secrets: Secrets, settings: GrafanaSettings) -> Proof | None:
    """How the contact point proves itself.

    Raises:
        ConfigurationError: in two ways, or with a password without its user.
    """
    file = f"integrations/{record.id}.yaml"
    named = {name: read_secrets(record, secrets, name) for name in ("hmac", "token", "password")}
    ways = [name for name, values in named.items() if values]
    if len(ways) > 1:
        raise ConfigurationError(f"{file}: secrets: name one of {' and '.join(ways)}, not both.")
    if bool(named["password"]) != (settings.username is not None):
        raise ConfigurationError(
            f"{file}: settings.username and secrets.password are of use together only."
        )
    if named["hmac"]:
        return Proof(
            "hmac",
            named["hmac"],
            signature_header=settings.signature_header,
            timestamp_header=settings.timestamp_header,
        )
    if named["token"]:
        return Proof("token", named["token"])
    if named["password"]:
        return Proof("password", named["password"], username=settings.username or "")
    return None
