"""The audit log for other programs: JSON Lines, or CSV that a spreadsheet does not execute."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TextIO

from core.security.audit import AuditEntry

# What spreadsheets begin a formula with, in ASCII and as full-width forms
# (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = frozenset("=+-@\uff1d\uff0b\uff0d\uff20\t\r\n")


class Format(StrEnum):
    """JSONL is the whole entry, and verifiable where nothing is left out; CSV is for people."""

    JSONL = "jsonl"
    CSV = "csv"


@dataclass(frozen=True)
class Selection:
    """Which entries: all that are given must fit.

    Attributes:
        since: not before this moment.
        until: before this moment.
        actor: exactly.
        action: a pattern with `*` and `?`, such as `run.*`.
        subject: a pattern, too.
    """

    since: datetime | None = None
    until: datetime | None = None
    actor: str | None = None
    action: str | None = None
    subject: str | None = None

    def has(self, entry: AuditEntry) -> bool:
        """Whether an entry is one of them."""
        at = datetime.fromisoformat(entry.at)
        return (
            (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
            and (self.actor is None or entry.actor == self.actor)
            and (self.action is None or fnmatchcase(entry.action, self.action))
            and (self.subject is None or fnmatchcase(entry.subject, self.subject))
        )


async def export(
    entries: AsyncIterable[AuditEntry], selection: Selection, form: Format, out: TextIO
) -> int:
    """Write the selected entries to `out`, which must not translate line ends; how many."""
    write = _csv_to(out) if form is Format.CSV else _lines_to(out)
    count = 0
    async for entry in entries:
        if selection.has(entry):
            write(entry)
            count += 1
    return count


def _lines_to(out: TextIO) -> Callable[[AuditEntry], None]:
    def write(entry: AuditEntry) -> None:
        out.write(entry.model_dump_json() + "\n")

    return write


def _csv_to(out: TextIO) -> Callable[[AuditEntry], None]:
    writer = csv.writer(out, quoting=csv.QUOTE_ALL)
    writer.writerow(AuditEntry.model_fields)

    def write(entry: AuditEntry) -> None:
        writer.writerow([_cell(value) for value in entry.model_dump().values()])

    return write


def _cell(value: int | str) -> str:
    """A cell that is text to a spreadsheet: an apostrophe goes before what would be a formula."""
    text = str(value)
    return f"'{text}" if text.lstrip(" ")[:1] in _FORMULA else text
