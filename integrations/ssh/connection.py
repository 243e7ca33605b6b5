"""One command on another machine, by the OpenSSH client of this one.

The client, and not a library: it is on every machine that administers others, its host keys,
certificates and jump hosts are what the team has already, and its fixes come with the system.
https://man.openbsd.org/ssh
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, field_validator

from core.records import Frozen
from integrations.command.process import Finished, run
from integrations.command.programs import AllowedProgram

FAILED = 255
"""What `ssh` itself ends with where it could not connect, or lost the connection."""
TIMED_OUT = 124
"""What timeout(1) ends with."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}|[0-9A-Fa-f:.]{2,45}")
_USER = r"^[A-Za-z_][A-Za-z0-9._-]{0,31}$"
_CONNECT_S = 10
_TERM_GRACE_S = 2
_MARGIN_S = 15.0
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent"}
_OPTIONS = (
    "BatchMode=yes",  # nobody is asked for a password
    "StrictHostKeyChecking=yes",  # a host that is not known is refused
    "UpdateHostKeys=no",
    "GlobalKnownHostsFile=/dev/null",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "PasswordAuthentication=no",
    "KbdInteractiveAuthentication=no",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "EscapeChar=none",
    "RequestTTY=no",
    f"ConnectTimeout={_CONNECT_S}",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "LogLevel=ERROR",
)


class SshHost(Frozen):
    """A machine that may be reached.

    Attributes:
        address: its name or address; the name under which it is listed where left out.
        jump: name of the listed host through which it is reached.
    """

    address: str | None = Field(default=None, max_length=253)
    port: int = Field(default=22, ge=1, le=65535)
    user: str | None = Field(default=None, pattern=_USER)
    jump: str | None = Field(default=None, max_length=253)

    @field_validator("address")
    @classmethod
    def _plain(cls, address: str | None) -> str | None:
        if address is not None and not is_host_name(address):
            raise ValueError("not a host's name or address")
        return address


class Access(Frozen):
    """As whom, and how the other side is known.

    Attributes:
        identity: private key without a passphrase, readable for our user only.
        known_hosts: the hosts' keys, as `ssh-keyscan` prints them and somebody has compared.
        certificate: signed by the team's certificate authority, for `identity`.
    """

    user: str = Field(pattern=_USER)
    identity: Path
    known_hosts: Path
    certificate: Path | None = None

    @field_validator("identity", "known_hosts", "certificate")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        if path is not None and (not path.is_absolute() or re.search(r'["\s%]', str(path))):
            raise ValueError("write the absolute path, without spaces, quotes and percent signs")
        return path


class Connections:
    """Runs commands on listed hosts."""

    def __init__(self, program: Path, access: Access, hosts: dict[str, SshHost]) -> None:
        self._program = program
        self._access = access
        self._hosts = hosts

    async def run(
        self, host: str, program: AllowedProgram, arguments: Sequence[str], key: str
    ) -> Finished:
        """Run a program on `host`, which must be listed.

        The other side ends it after its time limit by timeout(1), since a program goes on when
        its connection is lost. The remote login shell must quote as POSIX says.

        Raises:
            OSError: the client could not be started.
        """
        limit_s = program.time_limit.total_seconds()
        line = shlex.join(
            [
                *("env", f"COUNTERSIGN_KEY={key}"),
                *("timeout", "-k", str(_TERM_GRACE_S), f"{limit_s:g}"),
                str(program.path),
                *arguments,
            ]
        )
        return await run(
            self._program,
            [*self._options(host), "--", self._address(host), line],
            directory=Path("/"),
            environment=_ENVIRONMENT,
            time_limit_s=limit_s + _CONNECT_S + _MARGIN_S,
            output_limit=program.output_limit,
        )

    async def greet(self, host: str) -> Finished:
        """Connect and do nothing."""
        nothing = [*self._options(host), "--", self._address(host), "true"]
        return await run(
            self._program,
            nothing,
            directory=Path("/"),
            environment=_ENVIRONMENT,
            time_limit_s=_CONNECT_S,
            output_limit=4096,
        )

    def _address(self, host: str) -> str:
        return self._hosts[host].address or host

    def _options(self, host: str) -> list[str]:
        access, there = self._access, self._hosts[host]
        options = [
            *_OPTIONS,
            f"UserKnownHostsFile={access.known_hosts}",
            f"IdentityFile={access.identity}",
            f"Port={there.port}",
            f"User={there.user or access.user}",
        ]
        if access.certificate is not None:
            options.append(f"CertificateFile={access.certificate}")
        if there.jump is not None:
            # Not ProxyJump: that would not hand on the options.
            through = [*self._options(there.jump), "-W", "[%h]:%p", "--", self._address(there.jump)]
            options.append(f"ProxyCommand={shlex.join([str(self._program), *through])}")
        return ["-F", "none", *(part for option in options for part in ("-o", option))]


def is_host_name(name: str) -> bool:
    """Whether `name` can be a host's name or address, and nothing else."""
    return _NAME.fullmatch(name) is not None
