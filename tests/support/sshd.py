"""A real OpenSSH server on loopback, with keys of its own, that lets our own user in."""

import asyncio
import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.until import until


@dataclass(frozen=True)
class SshServer:
    """Where it is, and what a client needs."""

    port: int
    user: str
    identity: Path
    known_hosts: Path
    config: Path


@asynccontextmanager
async def ssh_server(folder: Path) -> AsyncIterator[SshServer]:
    """Run it as whoever runs the tests."""
    server = _prepare(folder)
    program = shutil.which("sshd") or "/usr/sbin/sshd"
    log = folder / "sshd.log"
    process = await asyncio.create_subprocess_exec(
        program, "-D", "-f", str(server.config), "-E", str(log)
    )

    def listens() -> bool:
        assert process.returncode is None, log.read_text()
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", server.port)) == 0

    try:
        await until(listens, "sshd listens")
        yield server
    finally:
        process.terminate()
        await process.wait()


def _prepare(folder: Path) -> SshServer:
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it separates its privileges
    for name in ("host", "client", "stranger"):
        _keygen(folder / name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "authorized").write_text((folder / "client.pub").read_text())
    host_key = " ".join((folder / "host.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    config = folder / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1:{port}\n"
        f"HostKey {folder / 'host'}\n"
        f"AuthorizedKeysFile {folder / 'authorized'}\n"
        f"PidFile {folder / 'sshd.pid'}\n"
        "PermitRootLogin prohibit-password\n"
        "PasswordAuthentication no\n"
        "StrictModes no\n"
        "UsePAM no\n"
    )
    return SshServer(port, getpass.getuser(), folder / "client", folder / "known_hosts", config)


def _keygen(file: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)],
        check=True,
    )
