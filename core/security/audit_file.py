"""A copy of the audit log in a file: whole across crashes and replicas, ahead of nobody.

Entries become visible in order and without gaps (each locks the log's head until it commits), so
the file needs no state but its own last line: what the table has after that is appended. Replicas
may share the file or have one each. Nothing in it is ever rewritten, so it may be append-only
(`chattr +a`) or on a medium that cannot be changed.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from core.errors import ConfigurationError
from core.security.audit import AuditEntry, AuditLog

_LOOK_S = 1.0
_BATCH = 1000  # entries in one write
_BLOCK = 65_536  # bytes in one read, from the end
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Tail:
    """The end of the file: its last whole entry, and a line that a crash has cut off."""

    size: int
    last: AuditEntry | None
    torn: bytes


class AuditFile:
    """Follows the audit log.

    Args:
        path: made with mode 0600 where it is missing; it then gets the log from the beginning.
    """

    def __init__(self, path: Path, log: AuditLog) -> None:
        self._path = path
        self._log = log
        self._written: int | None = None  # the last entry's number, where it is known
        self._complaint = ""

    async def look(self) -> int:
        """Append what the file lacks.

        Returns:
            How many entries.

        Raises:
            ConfigurationError: the file cannot be written, or is not a copy of this log.
        """
        head = await self._log.head()
        count = 0
        while self._written != head.sequence:
            appended = await self._step()
            count += appended
            if appended < _BATCH:
                break
        return count

    async def catch_up(self) -> None:
        """Look; what fails is logged, once, for the next look to do."""
        try:
            await self.look()
            self._complaint = ""
        except (ConfigurationError, SQLAlchemyError, OSError) as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                _log.error("the audit file lags behind: %s", error)

    async def follow(self) -> None:
        """Catch up every second, for ever."""
        while True:
            await self.catch_up()
            await asyncio.sleep(_LOOK_S)

    async def _step(self) -> int:
        """Append at most one batch; how many. Each write is a thread's work from its beginning
        to its end, so that a cancelled task leaves nothing half open."""
        try:
            tail = await asyncio.to_thread(_read_tail, self._path)
            batch = await self._after(tail)
            lines = b"".join(_line(entry) for entry in batch)
            if not lines.startswith(tail.torn):
                raise self._foreign("its last line is not the next entry")
            if not await asyncio.to_thread(_append, self._path, tail, lines[len(tail.torn) :]):
                return 0  # another replica was first
        except OSError as error:
            raise ConfigurationError(
                f"COUNTERSIGN_AUDIT_FILE: {self._path} cannot be written: {error.strerror}. Make "
                "its folder, or let the user that Countersign runs as write there."
            ) from error
        end = batch[-1] if batch else tail.last
        self._written = end.sequence if end else 0
        return len(batch)

    async def _after(self, tail: _Tail) -> list[AuditEntry]:
        """The entries that follow the file's last one, which must be the table's, too."""
        found: list[AuditEntry] = []
        entries = self._log.entries(tail.last.sequence - 1 if tail.last else 0)
        try:
            if tail.last and await anext(entries, None) != tail.last:
                raise self._foreign(f"its entry {tail.last.sequence} is not the database's")
            async for entry in entries:
                found.append(entry)
                if len(found) == _BATCH:
                    break
        finally:
            await entries.aclose()
        return found

    def _foreign(self, why: str) -> ConfigurationError:
        return ConfigurationError(
            f"COUNTERSIGN_AUDIT_FILE: {self._path} is not a copy of this audit log: {why}. One of "
            "them was altered, or the database was restored from a backup: see "
            f"`countersign audit verify --file {self._path}`. To begin a new copy, move it away."
        )


def _line(entry: AuditEntry) -> bytes:
    return entry.model_dump_json().encode() + b"\n"


def _read_tail(path: Path) -> _Tail:
    """Read the end of the file; an empty one where there is none.

    Raises:
        ConfigurationError: its last whole line is no entry.
    """
    try:
        with path.open("rb") as file:
            start = size = file.seek(0, os.SEEK_END)
            end = b""
            # Two line feeds: one ends the last whole line, one ends the line before it.
            while start > 0 and end.count(b"\n") < 2:
                start = max(0, start - _BLOCK)
                file.seek(start)
                end = file.read(size - start)
    except FileNotFoundError:
        return _Tail(0, None, b"")
    whole, _, torn = end.rpartition(b"\n")
    line = whole.rpartition(b"\n")[2]
    if not line:
        return _Tail(size, None, torn)
    try:
        return _Tail(size, AuditEntry.model_validate_json(line), torn)
    except ValidationError as error:
        raise ConfigurationError(
            f"COUNTERSIGN_AUDIT_FILE: the last line of {path} is no audit entry; name another file."
        ) from error


def _append(path: Path, expected: _Tail, data: bytes) -> bool:
    """Append where the file still ends as expected; False where somebody else has written."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # closing the file releases it
        if os.fstat(descriptor).st_size != expected.size:
            return False
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
        return True
    finally:
        os.close(descriptor)
