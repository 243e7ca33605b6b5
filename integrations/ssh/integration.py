"""The kind `ssh`."""

from __future__ import annotations

import asyncio
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from core.errors import ConfigurationError
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action
from integrations.base import Health, Integration, check_secret_names, read_settings
from integrations.command.programs import AllowedProgram
from integrations.ssh.actions import RunOverSsh
from integrations.ssh.connection import Access, Connections, SshHost, is_host_name

_ASKED = 5
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class SshSettings(Access):
    """Settings of the kind `ssh`: as whom, to which hosts, and what may be run there."""

    hosts: dict[str, SshHost] = Field(min_length=1, max_length=1000)
    programs: dict[str, AllowedProgram] = Field(min_length=1, max_length=200)

    @field_validator("hosts")
    @classmethod
    def _names(cls, hosts: dict[str, SshHost]) -> dict[str, SshHost]:
        if wrong := [name for name in hosts if not is_host_name(name)]:
            raise ValueError(f"not a host's name or address: {', '.join(wrong[:5])}")
        return hosts

    @model_validator(mode="after")
    def _jumps(self) -> SshSettings:
        for name, host in self.hosts.items():
            if host.jump is None:
                continue
            if host.jump not in self.hosts:
                raise ValueError(f"{name} jumps through {host.jump}, which is not listed")
            if self.hosts[host.jump].jump is not None:
                raise ValueError(f"{name} would take two jumps; one is possible")
        return self


class SshIntegration(Integration):
    """Runs allow-listed programs on listed hosts."""

    kind: ClassVar[str] = "ssh"

    def __init__(self, integration_id: str, settings: SshSettings, client: Path) -> None:
        self.id = integration_id
        self._settings = settings
        self._connections = Connections(client, settings, settings.hosts)

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:  # noqa: ARG003
        """See `Integration.create`."""
        settings = read_settings(record, SshSettings)
        check_secret_names(record, frozenset())
        client = shutil.which("ssh")
        file = f"integrations/{record.id}.yaml"
        if client is None:
            raise ConfigurationError(
                f"{file}: there is no program ssh on this machine; install openssh-client."
            )
        if problem := _problem(settings):
            raise ConfigurationError(f"{file}: settings.{problem}.")
        return cls(record.id, settings, Path(client))

    def actions(self) -> Sequence[Action[Any]]:
        """See `Integration.actions`."""
        settings = self._settings
        file = f"integrations/{self.id}.yaml"
        return (RunOverSsh(file, self._connections, settings.hosts, settings.programs),)

    async def health(self) -> Health:
        """See `Integration.health`. Connects to the first hosts and does nothing there."""
        if problem := _problem(self._settings):
            return Health(ready=False, detail=problem)
        asked = list(self._settings.hosts)[:_ASKED]
        results = await asyncio.gather(*(self._reached(host) for host in asked))
        if away := [host for host, reached in zip(asked, results, strict=True) if not reached]:
            return Health(ready=False, detail=f"cannot be reached: {', '.join(away)}")
        return Health(ready=True, detail=f"{len(asked)} hosts answer")

    async def _reached(self, host: str) -> bool:
        try:
            return (await self._connections.greet(host)).exit_code == 0
        except OSError:
            return False


def _problem(access: Access) -> str | None:
    """What is wrong with its files; `ssh` would say so in the middle of a run only."""
    for name in ("identity", "known_hosts", "certificate"):
        path: Path | None = getattr(access, name)
        if path is not None and not path.is_file():
            return f"{name}: there is no file {path}"
    if access.identity.stat().st_mode & _OTHERS:
        return f"identity: others can read {access.identity}; run `chmod 600 {access.identity}`"
    return None
