"""npm's `emulate`: a stateful GitHub API on loopback, which also delivers signed webhooks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.npm import installed, node
from tests.support.processes import free_port, server

VERSION = "0.8.0"
TOKEN = "test_token_admin"
OWNER = "admin"


class EmulatedGitHub:
    """A running emulator."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def call(self, method: str, path: str, data: object = None) -> Any:
        """Use the API as the test's own client, not as the code under test."""
        async with self._session.request(
            method, self.url + path, json=data, headers={"Authorization": f"Bearer {TOKEN}"}
        ) as response:
            answer = await response.json() if response.status != 204 else None
            assert response.ok, f"{method} {path}: {response.status} {answer}"
            return answer

    async def create_repository(self, name: str) -> str:
        """A new repository; returns its full name."""
        created = await self.call("POST", "/user/repos", {"name": name, "auto_init": True})
        return str(created["full_name"])


@asynccontextmanager
async def emulated_github(folder: Path) -> AsyncIterator[EmulatedGitHub]:
    """Start it on a free port; `folder` takes its log."""
    program = installed("emulate", VERSION) / "dist" / "index.js"
    port = free_port()
    command = [node(), str(program), "--service", "github", "--port", str(port)]
    url = f"http://localhost:{port}"
    async with (
        server(command, f"{url}/rate_limit", folder / "emulate.log"),
        aiohttp.ClientSession() as session,
    ):
        yield EmulatedGitHub(url, session)
