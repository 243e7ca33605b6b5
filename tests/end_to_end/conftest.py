"""The real application with the real models, shared by a module's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.countersign import Application, application
from tests.support.models import models_dir
from tests.support.postgres import postgres

__all__ = ["models_dir", "postgres"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(
    models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Application]:
    """Countersign as `make run` starts it, in a new home, ready."""
    home = tmp_path_factory.mktemp("countersign") / "home"
    async with application(home, models_dir) as running:
        await running.ready()
        yield running
