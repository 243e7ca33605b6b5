"""One world for each test module and database: starting the engine takes a second."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from core.store.database import Database
from tests.core.workflows.countersigning import World, running
from tests.support.postgres import Postgres


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgresql"])
async def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """Everything, running."""
    folder = tmp_path_factory.mktemp("world")
    url = f"sqlite+aiosqlite:///{folder / 'countersign.db'}"
    server: Postgres | None = None
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
        url = server.new_database()
    database = Database(url)
    await database.open()
    async with running(database, folder) as started:
        yield started
    await database.close()
    if server is not None:
        server.drop(url)
