"""Starting real servers as processes, and ending them."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.support.until import until


def free_port() -> int:
    """A TCP port on loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def server(
    command: Sequence[str], ready_url: str, log: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[None]:
    """A process that serves HTTP, from when `ready_url` answers below 500."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=output, stderr=output, env=environment
        )
    try:
        async with aiohttp.ClientSession() as session:

            async def ready() -> bool:
                assert process.returncode is None, f"{command[0]} ended:\n{log.read_text()}"
                try:
                    async with session.get(ready_url) as response:
                        return response.status < 500
                except aiohttp.ClientError:
                    return False

            await until(ready, f"{command[0]} answers", limit_s=30)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
