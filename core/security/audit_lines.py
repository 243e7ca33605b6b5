"""The audit log as a file of JSON Lines: one entry a line, in order, ending in a line feed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from core.errors import InvalidRequestError
from core.security.audit import AuditEntry, AuditLog, Chain


class EntryLines:
    """The entries that a file has now; what is appended while it is read is left out.

    Raises:
        InvalidRequestError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._size = path.stat().st_size
        except OSError as error:
            raise InvalidRequestError(f"{path} cannot be read: {error.strerror}.") from error

    def __iter__(self) -> Iterator[AuditEntry]:
        """Entry by entry.

        Raises:
            InvalidRequestError: a line is no entry; the message names it.
        """
        left = self._size
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                left -= len(line)
                if left < 0:
                    return
                yield self._entry(number, line)

    def _entry(self, number: int, line: bytes) -> AuditEntry:
        if not line.endswith(b"\n"):
            raise InvalidRequestError(f"line {number} of {self._path} is cut off")
        try:
            return AuditEntry.model_validate_json(line)
        except ValidationError as error:
            raise InvalidRequestError(f"line {number} of {self._path} is no entry") from error


async def verify_lines(
    lines: EntryLines, log: AuditLog | None, known: str | None = None
) -> tuple[int, str | None]:
    """Walk the chain in a file, and compare each entry with the database's where there is one.

    Args:
        log: the log that the file is a copy of; the file may lag behind it.
        known: a hash that some entry of the file must have.

    Returns:
        The number of entries that are whole, and what is wrong after them or None.
    """
    chain = Chain(known)
    originals = log.entries() if log is not None else None
    try:
        for entry in lines:
            if problem := chain.take(entry):
                return chain.end.sequence, problem
            if originals is not None:
                original = await anext(originals, None)
                if original is None:
                    return entry.sequence - 1, f"the database lacks entry {entry.sequence}"
                if original != entry:
                    return entry.sequence - 1, f"entry {entry.sequence} is not as in the database"
    except InvalidRequestError as error:
        return chain.end.sequence, str(error)
    finally:
        if originals is not None:
            await originals.aclose()
    return chain.end.sequence, chain.unknown()
