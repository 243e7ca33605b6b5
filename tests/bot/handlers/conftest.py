"""One world for each test module and way of delivery: starting the engine takes a second."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.bot.handlers.world import World, running_world


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["socket", "http"])
async def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """Everything, running."""
    async with running_world(tmp_path_factory.mktemp("world"), request.param) as running:
        yield running
