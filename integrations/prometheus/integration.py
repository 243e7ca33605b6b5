"""The kind `prometheus`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from pydantic import Field

from core.records import Frozen
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action
from integrations.base import Health, Integration, check_secret_names, read_settings
from integrations.calling import SystemClient
from integrations.credentials import Address, Username, authorization
from integrations.prometheus.actions import Prometheus, Query, QueryRange


class PrometheusSettings(Frozen):
    """Settings of the kind `prometheus`.

    Attributes:
        url: of the server; the API is at `/api/v1` below it.
        web_url: where people open it, for links; by default `url`.
        username: goes with the secret `password`.
        timeout_s: seconds for one query.
        max_series: that a run keeps of one answer.
    """

    url: Address
    web_url: Address | None = None
    username: Username | None = None
    timeout_s: float = Field(default=20.0, gt=0, le=300)
    max_series: int = Field(default=50, ge=1, le=1000)


class PrometheusIntegration(Integration):
    """Asks a Prometheus, or what answers its query API (Thanos, Mimir, VictoriaMetrics).

    Secrets: `token` (bearer) or `password`, where the server asks for one.
    """

    kind: ClassVar[str] = "prometheus"

    def __init__(self, integration_id: str, client: SystemClient, prometheus: Prometheus) -> None:
        self.id = integration_id
        self._client = client
        self._prometheus = prometheus

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:
        """See `Integration.create`."""
        settings = read_settings(record, PrometheusSettings)
        check_secret_names(record, frozenset({"token", "password"}))
        client = SystemClient(
            record.id,
            "Prometheus",
            settings.url,
            authorization(record, secrets, settings.username),
            settings.timeout_s,
        )
        prometheus = Prometheus(
            client, settings.web_url or settings.url, settings.max_series, settings.timeout_s
        )
        return cls(record.id, client, prometheus)

    def actions(self) -> Sequence[Action[Any]]:
        """See `Integration.actions`."""
        return (Query(self._prometheus), QueryRange(self._prometheus))

    async def health(self) -> Health:
        """See `Integration.health`. Asks for a constant: no series is read."""
        return await self._client.health("/api/v1/query?query=1", "answers queries")

    async def start(self) -> None:
        """See `Integration.start`."""
        await self._client.start()

    async def close(self) -> None:
        """See `Integration.close`."""
        await self._client.close()
