"""The kind `http`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import aiohttp
from pydantic import Field, SecretStr, field_validator

from core.errors import ConfigurationError
from core.records import Frozen
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action
from integrations.base import Integration, check_secret_names, read_secret, read_settings
from integrations.http.actions import HttpRequest
from integrations.http.addresses import PinningResolver
from integrations.http.request import Host


class HttpSettings(Frozen):
    """Settings of the kind `http`.

    Attributes:
        hosts: the hosts that may be asked, by name, in lower case.
        timeout_s: seconds for one request, the answer's body included.
        max_bytes: bytes of an answer that are kept.
    """

    hosts: dict[str, Host] = Field(min_length=1, max_length=200)
    timeout_s: float = Field(default=30.0, gt=0, le=600)
    max_bytes: int = Field(default=256 * 1024, ge=1024, le=16 * 1024 * 1024)

    @field_validator("hosts")
    @classmethod
    def _names(cls, hosts: dict[str, Host]) -> dict[str, Host]:
        for name in hosts:
            if name != name.lower() or "/" in name or "*" in name:
                raise ValueError(f"{name!r}: write the bare host name in lower case, no wildcard")
        return hosts


class HttpIntegration(Integration):
    """Sends requests to allow-listed hosts. Secrets: those that `secret_headers` name."""

    kind: ClassVar[str] = "http"

    def __init__(
        self, integration_id: str, settings: HttpSettings, secrets: dict[str, SecretStr]
    ) -> None:
        self.id = integration_id
        self._settings = settings
        self._secrets = secrets
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:
        """See `Integration.create`."""
        settings = read_settings(record, HttpSettings)
        names = {n for host in settings.hosts.values() for n in host.secret_headers.values()}
        check_secret_names(record, frozenset(names))
        values: dict[str, SecretStr] = {}
        for name in sorted(names):
            value = read_secret(record, secrets, name)
            if value is None:
                raise ConfigurationError(
                    f"integrations/{record.id}.yaml: secrets: add `{name}: NAME`, where NAME is "
                    f"the variable that holds the value of the header."
                )
            values[name] = value
        return cls(record.id, settings, values)

    def actions(self) -> Sequence[Action[Any]]:
        """See `Integration.actions`."""
        return (
            HttpRequest(
                f"integrations/{self.id}.yaml",
                self._settings.hosts,
                self._secrets,
                self._sessions,
                self._settings.max_bytes,
            ),
        )

    async def start(self) -> None:
        """See `Integration.start`. A session for each host, because each has networks of its own.

        Neither proxies nor `.netrc` nor cookies are taken from the environment.
        """
        for name, host in self._settings.hosts.items():
            self._sessions[name] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=PinningResolver(host.networks),
                    use_dns_cache=False,
                    force_close=True,
                    limit=8,
                ),
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "countersign-bot", "Accept-Encoding": "identity"},
                auto_decompress=False,
                trust_env=False,
            )

    async def close(self) -> None:
        """See `Integration.close`."""
        while self._sessions:
            _, session = self._sessions.popitem()
            await session.close()
