"""The calendars of the configuration folder: what happens in them around now."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from core.errors import ConfigurationError
from core.records import Frozen, Instant

_PROGRAM = Path(__file__).with_name("expansion.py")
_NEEDED = ("LD_LIBRARY_PATH", "TZDIR")  # of the environment, which has secrets of ours
_MOST_BYTES = 1024 * 1024
_LONGEST_S = 20.0
_BEFORE = timedelta(days=2)
_AFTER = timedelta(days=40)
_GOOD_FOR = timedelta(days=30)


class CalendarEvent(Frozen):
    """One occurrence of an event; `ends` is the first moment after it."""

    name: str
    starts: Instant
    ends: Instant


def read_calendar(
    path: Path, timezone: str, since: datetime, until: datetime
) -> tuple[CalendarEvent, ...]:
    """What happens in an iCalendar file between two moments, earliest first.

    Takes a third of a second and more: the file is read by a process of its own, which is ended
    where it takes too long. Cancelled events are left out.

    Args:
        timezone: of times and days that have none of their own.

    Raises:
        ConfigurationError: the file is missing, too large, wrong, or takes too long.
    """
    data = _bytes_of(path)
    command = [sys.executable, "-I", str(_PROGRAM), timezone, since.isoformat(), until.isoformat()]
    try:
        finished = subprocess.run(  # noqa: S603  our own program; the file is its input
            command,
            input=data,
            capture_output=True,
            timeout=_LONGEST_S,
            check=False,
            env={name: os.environ[name] for name in _NEEDED if name in os.environ},
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(
            f"{path}: its recurrence rules take longer than {_LONGEST_S:.0f} s; simplify them."
        ) from error
    if finished.returncode != 0:
        lines = finished.stderr.decode(errors="replace").splitlines() or ["it could not be read"]
        raise ConfigurationError(f"{path}: no calendar that can be used: {lines[-1]}.")
    return tuple(
        sorted(
            (
                CalendarEvent(name=name, starts=starts, ends=ends)
                for name, starts, ends in json.loads(finished.stdout)
            ),
            key=lambda event: (event.starts, event.ends, event.name),
        )
    )


def _bytes_of(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise ConfigurationError(f"{path}: is no file.")
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigurationError(
                f"{path}: larger than {_MOST_BYTES} bytes; leave out the past."
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path}: there is no such file.") from error
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}.") from error


@dataclass(frozen=True)
class _Read:
    """Events of one version of a file."""

    version: tuple[int, int]
    until: datetime
    events: tuple[CalendarEvent, ...]


class Calendars:
    """Calendar files, read again when they have changed.

    Args:
        folder: of the configuration; files are named relative to it.
    """

    def __init__(
        self, folder: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._folder = folder
        self._now = now
        self._read: dict[tuple[str, str], _Read] = {}
        self._one_at_a_time = asyncio.Lock()

    async def around_now(self, file: str, timezone: str) -> tuple[CalendarEvent, ...]:
        """What happens from two days ago to a month ahead.

        Raises:
            ConfigurationError: see `read_calendar`.
        """
        async with self._one_at_a_time:
            path = self._folder / file
            version = await asyncio.to_thread(_version, path)
            known = self._read.get((file, timezone))
            now = self._now()
            if known is None or known.version != version or now >= known.until:
                events = await asyncio.to_thread(
                    read_calendar, path, timezone, now - _BEFORE, now + _AFTER
                )
                known = _Read(version, now + _GOOD_FOR, events)
                self._read[file, timezone] = known
            return known.events


def _version(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}.") from error
    return found.st_mtime_ns, found.st_size
