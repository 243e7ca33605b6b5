"""The kind `kubernetes`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, SecretStr, StringConstraints, model_validator

from core.errors import ConfigurationError
from core.records import Frozen
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action
from integrations.base import Health, Integration, check_secret_names, read_secret, read_settings
from integrations.calling import SystemClient
from integrations.credentials import header_value
from integrations.kubernetes.access import Access, by_address, by_kubeconfig, in_cluster
from integrations.kubernetes.client import KubernetesClient
from integrations.kubernetes.logs import Logs
from integrations.kubernetes.looking import Events, Get
from integrations.kubernetes.nodes import Cordon, Drain, Uncordon
from integrations.kubernetes.resources import Scope
from integrations.kubernetes.undo import Undo
from integrations.kubernetes.workloads import Restart, Scale, Wait

_Patterns = tuple[Annotated[str, StringConstraints(min_length=1, max_length=253)], ...]


class KubernetesSettings(Frozen):
    """Settings of the kind `kubernetes`. Without `url` and `kubeconfig`: the cluster that this
    runs in, as the service account of its pod.

    Attributes:
        url: of the API server; with the secret `token`.
        ca: file with the certificate of the authority that signed the server's.
        kubeconfig: file that says where and with which credential.
        context: which of its contexts; left out: its current one.
        namespaces: patterns (`shop-*`) that actions may touch; none: all the credential may.
        nodes: patterns of nodes that actions may touch; none: all the credential may.
        max_replicas: more pods are refused.
        timeout_s: seconds for one call of the API.
        poll_s: seconds between two looks while something is waited for.
    """

    url: (
        Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#@]+$", max_length=300)] | None
    ) = None
    ca: Path | None = None
    kubeconfig: Path | None = None
    context: str | None = Field(default=None, max_length=253)
    namespaces: _Patterns = Field(default=(), max_length=200)
    nodes: _Patterns = Field(default=(), max_length=200)
    max_replicas: int = Field(default=100, ge=0, le=1000)
    timeout_s: float = Field(default=20.0, gt=0, le=300)
    poll_s: float = Field(default=2.0, gt=0, le=60)

    @model_validator(mode="after")
    def _one_way(self) -> KubernetesSettings:
        if self.url is not None and self.kubeconfig is not None:
            raise ValueError("give either url or kubeconfig")
        if self.ca is not None and self.url is None:
            raise ValueError("ca goes with url; a kubeconfig names its own")
        if self.context is not None and self.kubeconfig is None:
            raise ValueError("context goes with kubeconfig")
        return self

    def access(self, token: SecretStr | None) -> Access:
        """How the API server is reached.

        Raises:
            ConfigurationError: a file or the token does not fit.
        """
        if self.kubeconfig is not None:
            return by_kubeconfig(self.kubeconfig, self.context)
        return by_address(self.url, token, self.ca) if self.url else in_cluster()


class KubernetesIntegration(Integration):
    """Calls the API of one cluster. Secret: `token`, with `url` only."""

    kind: ClassVar[str] = "kubernetes"

    def __init__(
        self, integration_id: str, settings: KubernetesSettings, client: KubernetesClient
    ) -> None:
        self.id = integration_id
        self._settings = settings
        self._client = client

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:
        """See `Integration.create`."""
        settings = read_settings(record, KubernetesSettings)
        check_secret_names(record, frozenset({"token"} if settings.url else ()))
        token = read_secret(record, secrets, "token")
        try:
            access = settings.access(token)
        except ConfigurationError as error:
            raise ConfigurationError(f"integrations/{record.id}.yaml: settings.{error}") from error
        headers = {}
        if access.token is not None:
            where = f"integrations/{record.id}.yaml: the token"
            headers["Authorization"] = f"Bearer {header_value(access.token, where)}"
        client = SystemClient(
            record.id, "Kubernetes", access.url, headers, settings.timeout_s, access.tls
        )
        return cls(record.id, settings, KubernetesClient(client, access.token_file))

    def actions(self) -> Sequence[Action[Any]]:
        """See `Integration.actions`."""
        client, settings = self._client, self._settings
        scope = Scope(self.id, settings.namespaces, settings.nodes)
        return (
            Restart(client, scope),
            Undo(client, scope),
            Scale(client, scope, settings.max_replicas),
            Wait(client, scope, settings.poll_s),
            Cordon(client, scope),
            Uncordon(client, scope),
            Drain(client, scope, settings.poll_s),
            Get(client, scope),
            Events(client, scope),
            Logs(client, scope),
        )

    async def health(self) -> Health:
        """See `Integration.health`."""
        return await self._client.health()

    async def start(self) -> None:
        """See `Integration.start`."""
        await self._client.start()

    async def close(self) -> None:
        """See `Integration.close`."""
        await self._client.close()
