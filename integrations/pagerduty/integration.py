"""The kind `pagerduty`."""

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
from integrations.credentials import Address, header_value
from integrations.pagerduty.actions import Acknowledge, AddNote, PagerDutyApi
from integrations.pagerduty.webhook import PagerDutyWebhook
from integrations.webhooks import DEFAULT_MAX_BYTES


class PagerDutySettings(Frozen):
    """Settings of the kind `pagerduty`.

    Attributes:
        url: of the REST API; `https://api.eu.pagerduty.com` for the European service region.
        from_email: of a PagerDuty user, in whose name an account's key changes something.
        services: patterns of names or ids of services whose incidents actions may touch; none:
            all that the key can see.
        timeout_s: seconds for one call of the API.
        max_bytes: largest accepted webhook body (PagerDuty's own limit is 256 KB).
    """

    url: Address = "https://api.pagerduty.com"
    from_email: (
        Annotated[str, StringConstraints(pattern=r"^[!-?A-~]+@[!-?A-~]+$", max_length=254)] | None
    ) = None
    services: tuple[str, ...] = Field(default=(), max_length=200)
    timeout_s: float = Field(default=20.0, gt=0, le=300)
    max_bytes: int = Field(default=DEFAULT_MAX_BYTES, ge=1024, le=32 * 1024 * 1024)


class PagerDutyIntegration(Integration):
    """Receives PagerDuty's v3 webhooks and calls its REST API.

    Secrets: `webhook`, the subscription's signing secret (left out: no webhooks are taken);
    `token`, an API key (left out: the actions are there, and say what is missing).
    """

    kind: ClassVar[str] = "pagerduty"

    def __init__(
        self,
        integration_id: str,
        client: SystemClient,
        api: PagerDutyApi,
        webhook: PagerDutyWebhook | None,
        *,
        calls: bool,
    ) -> None:
        """`calls` is False where there is no key to call with."""
        self.id = integration_id
        self.webhook = webhook
        self._client = client
        self._api = api
        self._calls = calls

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:
        """See `Integration.create`."""
        settings = read_settings(record, PagerDutySettings)
        check_secret_names(record, frozenset({"webhook", "token"}))
        keys = read_secrets(record, secrets, "webhook")
        token = read_secret(record, secrets, "token")
        headers = None
        if token is not None:
            value = header_value(token, f"integrations/{record.id}.yaml: secrets.token")
            headers = {
                "Authorization": f"Token token={value}",
                "Accept": "application/vnd.pagerduty+json;version=2",
            }
        client = SystemClient(record.id, "PagerDuty", settings.url, headers, settings.timeout_s)
        return cls(
            record.id,
            client,
            PagerDutyApi(client, record.id, settings.from_email, settings.services),
            PagerDutyWebhook(record.id, keys, settings.max_bytes) if keys else None,
            calls=token is not None,
        )

    def actions(self) -> Sequence[Action[Any]]:
        """See `Integration.actions`."""
        return (Acknowledge(self._api), AddNote(self._api))

    async def health(self) -> Health:
        """See `Integration.health`. Asks what the account can do, which is little to tell."""
        if not self._calls:
            return Health(ready=True, detail="takes webhooks; has no key to call with")
        return await self._client.health("/abilities", "the API answers")

    async def start(self) -> None:
        """See `Integration.start`."""
        await self._client.start()

    async def close(self) -> None:
        """See `Integration.close`."""
        await self._client.close()
