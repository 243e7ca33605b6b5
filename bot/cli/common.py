"""What every command needs: the settings, an event loop, the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from pydantic import ValidationError

from core.errors import ConfigurationError
from core.settings import Settings
from core.store.database import Database


def read_settings() -> Settings:
    """The settings of the environment.

    Raises:
        ConfigurationError: one of them is wrong; the message names the variable.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"COUNTERSIGN_{str(problem['loc'][0]).upper()}: {problem['msg']}."
            for problem in error.errors(include_url=False, include_input=False)
        ]
        raise ConfigurationError("\n".join(lines)) from error


@asynccontextmanager
async def existing_database(settings: Settings) -> AsyncIterator[Database]:
    """The open database of an installation that has been started before.

    Raises:
        ConfigurationError: there is none, or it cannot be opened.
    """
    if settings.database_url is None and not settings.data_dir.exists():
        raise ConfigurationError(
            f"There is no database in {settings.data_dir}; COUNTERSIGN_HOME names the home folder."
        )
    database = Database(settings.store_url)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


def run_async(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` on an event loop of its own."""
    asyncio.run(work)


def log_to_stderr(settings: Settings) -> None:
    """Write the log to standard error, without the chatter of libraries."""
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for noisy in ("httpx2", "openai", "apscheduler", "alembic", "slack_bolt", "slack_sdk", "bm25s"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
