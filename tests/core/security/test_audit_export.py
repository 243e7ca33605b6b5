"""Exports: JSON Lines that anybody can verify, CSV that no spreadsheet executes."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.security.audit import AuditEntry, AuditLog
from core.security.audit_export import Format, Selection, export
from core.security.audit_lines import EntryLines, verify_lines
from core.store.database import Database

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def entry(**changes: Any) -> AuditEntry:
    values: dict[str, Any] = {
        "sequence": 1, "at": NOON.isoformat(), "actor": "U1", "action": "run.requested",
        "subject": "run1", "details": "{}", "previous": "0" * 64, "hash": "a" * 64,
    }  # fmt: skip
    return AuditEntry.model_validate(values | changes)


async def rows(*entries: AuditEntry) -> list[list[str]]:
    async def given() -> Any:
        for one in entries:
            yield one

    out = io.StringIO(newline="")
    assert await export(given(), Selection(), Format.CSV, out) == len(entries)
    return list(csv.reader(io.StringIO(out.getvalue(), newline="")))


async def test_an_export_of_everything_is_verified_without_a_database(
    database: Database, tmp_path: Path
) -> None:
    log = AuditLog(database)
    for number in range(4):
        await log.record("U1", "run.requested", "run\u2028\n\r\x85", {"number": number})
    path = tmp_path / "audit.jsonl"
    with path.open("w", newline="", encoding="utf-8") as out:
        assert await export(log.entries(), Selection(), Format.JSONL, out) == 4
    assert await verify_lines(EntryLines(path), None) == (4, None)


async def test_csv_has_a_header_and_every_column() -> None:
    header, row = await rows(entry(details='{"a": "b,\\n"}'))
    assert header == list(AuditEntry.model_fields)
    assert row == ["1", NOON.isoformat(), "U1", "run.requested", "run1", '{"a": "b,\\n"}',
                   "0" * 64, "a" * 64]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "  =1",
        "\uff1d1",
        "\uff0b1",
        "\uff20x",
    ],
)
async def test_no_cell_of_a_csv_is_a_formula(text: str) -> None:
    _, row = await rows(entry(actor=text, subject=text))
    assert row[2] == row[4] == f"'{text}"


@pytest.mark.parametrize("text", ["U1", "", " ", "a=1", "1-2", "'=1"])
async def test_other_cells_are_as_they_were(text: str) -> None:
    _, row = await rows(entry(subject=text))
    assert row[4] == text


@pytest.mark.parametrize(
    ("selection", "has"),
    [
        (Selection(), True),
        (Selection(since=NOON), True),
        (Selection(since=NOON + timedelta(microseconds=1)), False),
        (Selection(until=NOON), False),
        (Selection(until=NOON + timedelta(microseconds=1)), True),
        (Selection(actor="U1"), True),
        (Selection(actor="U"), False),
        (Selection(action="run.*"), True),
        (Selection(action="step.*"), False),
        (Selection(subject="run1"), True),
        (Selection(subject="RUN1"), False),
        (Selection(subject="run[2-9]"), False),
        (Selection(since=NOON, actor="U1", action="*", subject="run?"), True),
        (Selection(since=NOON, actor="U2", action="*", subject="run?"), False),
    ],
)
def test_a_selection_is_all_that_it_says(selection: Selection, has: bool) -> None:
    assert selection.has(entry()) is has
