"""A real PostgreSQL server for the tests' time, and an empty database in it for each test."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from core.store.database import Database
from tests.support.processes import free_port

_START_S = 60.0
_INITIALLY = ("--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
_QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=32MB")


class Postgres:
    """A running server on loopback.

    Args:
        port: where it listens.
        user: its superuser, whom it trusts.
    """

    def __init__(self, port: int, user: str) -> None:
        self._admin = f"postgresql://{user}@127.0.0.1:{port}/postgres"
        self._url = f"postgresql+asyncpg://{user}@127.0.0.1:{port}"
        self._numbers = count(1)

    def new_database(self) -> str:
        """Make an empty database; its SQLAlchemy URL."""
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return f"{self._url}/{name}"

    def drop(self, url: str) -> None:
        """Remove a database, whoever is still connected to it."""
        self._execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def reachable(self) -> bool:
        """Whether it answers."""
        try:
            self._execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._admin, autocommit=True, connect_timeout=10) as connection:
            connection.execute(statement.encode())


@contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[Postgres]:
    """Start a server on files of its own; stop it and remove them on leaving.

    Args:
        durable: what is committed is on the disk, as it is by default outside of tests.
    """
    binaries = _binaries()
    identity = _identity()
    user = identity.get("user") or pwd.getpwuid(os.getuid()).pw_name
    # Not pytest's folder: only its owner may enter that, and the server is somebody else.
    folder = Path(tempfile.mkdtemp(prefix="countersign-postgres-"))
    if identity:
        shutil.chown(folder, user)
    try:
        data = folder / "data"
        subprocess.run(
            [binaries / "initdb", "-D", data, *_INITIALLY, f"--username={user}"],
            check=True,
            capture_output=True,
            cwd=folder,
            **identity,
        )
        port = free_port()
        settings = (f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=")
        settings += () if durable else _QUICK
        arguments = [part for setting in settings for part in ("-c", setting)]
        with (folder / "log").open("w+") as log:
            server = subprocess.Popen(
                [binaries / "postgres", "-D", data, *arguments],
                stdout=log,
                stderr=log,
                cwd=folder,
                **identity,
            )
            try:
                postgres = Postgres(port, user)
                _await(postgres, server, folder / "log")
                yield postgres
            finally:
                server.send_signal(signal.SIGINT)  # disconnect everybody and stop
                server.wait(30)
    finally:
        shutil.rmtree(folder)


def _await(postgres: Postgres, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while not postgres.reachable():
        if server.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"PostgreSQL does not start: {log.read_text()[-2000:]}")
        time.sleep(0.05)


def _binaries() -> Path:
    """The folder of `initdb` and `postgres`; Debian keeps them out of PATH."""
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    folders = sorted(versions, key=lambda folder: float(folder.parent.name), reverse=True)
    if tool := shutil.which("pg_config"):
        asked = subprocess.run([tool, "--bindir"], check=True, capture_output=True, text=True)
        folders.append(Path(asked.stdout.strip()))
    if found := shutil.which("initdb"):
        folders.append(Path(found).resolve().parent)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    pytest.fail("PostgreSQL's server is not installed: install the package `postgresql`.")


def _identity() -> dict[str, Any]:
    """As whom to run it: it refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name for entry in pwd.getpwall()}
    user = "postgres" if "postgres" in known else "nobody"
    group = pwd.getpwnam(user).pw_gid
    return {"user": user, "group": group, "extra_groups": []}


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for all tests."""
    with running_postgres() as server:
        yield server


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """An open, empty database of each kind that Countersign runs on."""
    if request.param == "sqlite":
        opened = Database(f"sqlite+aiosqlite:///{tmp_path / 'countersign.db'}")
        await opened.open()
        yield opened
        await opened.close()
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.new_database()
    opened = Database(url)
    await opened.open()
    yield opened
    await opened.close()
    server.drop(url)
