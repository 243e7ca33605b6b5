"""iCalendar files, written by hand."""

from __future__ import annotations

from itertools import count
from pathlib import Path

_NUMBERS = count()


def event(*fields: str) -> str:
    """An event with these lines and an id of its own."""
    lines = [f"UID:{next(_NUMBERS)}@example.test", "DTSTAMP:20260101T000000Z", *fields]
    return "".join(f"{line}\r\n" for line in ("BEGIN:VEVENT", *lines, "END:VEVENT"))


def calendar(*parts: str, head: str = "") -> str:
    """A calendar of these events."""
    top = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//tests//EN\r\n{head}"
    return f"{top}{''.join(parts)}END:VCALENDAR\r\n"


def written(folder: Path, text: str | bytes, name: str = "freeze.ics") -> Path:
    """The file with this text."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path
