"""What `tests.benchmarks.intake` measures: the intake, or bare aiohttp, in a process of its own.

    python -m tests.benchmarks.intake_server bare|countersign DATABASE_URL

Prints its port, and serves until its input ends.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys

from aiohttp import web

from core.security.secrets import Secrets
from core.state import AIIntegration, IntakeLimits
from core.store.database import Database
from core.store.inbox import SqlInbox
from integrations.intake import intake_routes
from integrations.registry import load

SECRET = "the benchmark's secret"


async def main(who: str, url: str) -> None:
    """Serve."""
    app = web.Application()
    database = Database(url)
    if who == "bare":
        app.router.add_post("/webhooks/{integration}", _bare)
    else:
        await database.open()
        app.add_routes(_ours(database))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    gc.freeze()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()
    await database.close()


def _ours(database: Database) -> list[web.AbstractRouteDef]:
    record = AIIntegration(
        id="github",
        kind="github",
        secrets={"webhook": "GITHUB_SECRET"},
        # The intake is to say itself how much it can take.
        intake=IntakeLimits(per_second=100_000, burst=1_000_000, waiting=10_000_000),
    )
    integrations = load({record.id: record}, Secrets({"GITHUB_SECRET": SECRET}))
    return intake_routes(integrations, SqlInbox(database), _ready)


async def _ready() -> dict[str, str | None]:
    return {}


async def _bare(request: web.Request) -> web.Response:
    await request.read()
    return web.Response()


if __name__ == "__main__":
    # As `countersign run` logs.
    logging.basicConfig(
        level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    asyncio.run(main(*sys.argv[1:]))
