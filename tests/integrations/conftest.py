"""A real intake: aiohttp on loopback, deliveries in a real SQLite database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from core.inbox import Inbox
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.store.database import Database
from core.store.inbox import SqlInbox
from integrations.intake import LINGERING_S, intake_routes
from integrations.registry import Integrations, load
from tests.support.intake import ALERTMANAGER_TOKEN, GITHUB_SECRET, Intake, Serve
from tests.support.postgres import database, postgres

__all__ = ["database", "postgres"]


@pytest.fixture
def integrations() -> Integrations:
    records = [
        AIIntegration(
            id="github", kind="github", secrets={"webhook": "GITHUB_SECRET"}, settings={}
        ),
        AIIntegration(id="alertmanager", kind="alertmanager", secrets={"token": "AM_TOKEN"}),
        AIIntegration(
            id="tools", kind="command", settings={"programs": {"true": {"path": "/usr/bin/true"}}}
        ),
    ]
    secrets = Secrets({"GITHUB_SECRET": GITHUB_SECRET, "AM_TOKEN": ALERTMANAGER_TOKEN})
    return load({record.id: record for record in records}, secrets)


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncIterator[SqlInbox]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'countersign.db'}")
    await database.open()
    yield SqlInbox(database)
    await database.close()


@pytest.fixture
def serve(inbox: SqlInbox, integrations: Integrations) -> Serve:
    """Start an intake, on another inbox where one is given."""

    @asynccontextmanager
    async def start(other: Inbox | None = None) -> AsyncIterator[Intake]:
        async def ready() -> dict[str, str | None]:
            return {"database": None}

        app = web.Application()
        app.add_routes(intake_routes(integrations, other or inbox, ready))
        runner = web.AppRunner(app, access_log=None, lingering_time=LINGERING_S)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession() as session:
            yield Intake(f"http://127.0.0.1:{port}", session, inbox, integrations)
        await runner.cleanup()

    return start


@pytest.fixture
async def intake(serve: Serve) -> AsyncIterator[Intake]:
    async with serve(None) as running:
        yield running
