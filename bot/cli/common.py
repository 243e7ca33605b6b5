"""What every command needs: the settings, an event loop, the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from core.errors import ConfigurationError, InvalidRequestError
from core.settings import Settings
from core.store.database import Database
from core.workflows.definition import parse_duration


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


def read_duration(option: str, text: str) -> timedelta:
    """What somebody has written as a duration.

    Raises:
        InvalidRequestError: it is none; the message names the option.
    """
    try:
        duration = parse_duration(text)
    except ValueError as error:
        raise InvalidRequestError(f"{option}: {error}.") from error
    if not isinstance(duration, timedelta):
        raise InvalidRequestError(f"{option}: write a duration such as 90s, 15m, 4h or 2d.")
    return duration


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
