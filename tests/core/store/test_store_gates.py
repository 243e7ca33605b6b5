"""Results of gates: the newest counts, all stay, each is in the audit log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.errors import InvalidRequestError
from core.gates import GateStore
from core.security.audit import AuditLog
from core.store.database import Database


def store(database: Database) -> GateStore:
    return GateStore(database, AuditLog(database))


async def test_the_newest_result_of_a_subject_counts(database: Database) -> None:
    gates = store(database)
    assert await gates.newest("dataset", "tickets") is None
    await gates.record("dataset", "tickets", False, "3 leaks", "ci")
    await gates.record("dataset", "tickets", True, "0 leaks", "ci", timedelta(days=1))
    await gates.record("dataset", "other", False, "", "ci")
    await gates.record("evaluation", "tickets", False, "", "ci")
    gate = await gates.newest("dataset", "tickets")
    assert gate is not None
    assert (gate.subject, gate.passed, gate.evidence) == ("tickets", True, "0 leaks")
    assert datetime.now(UTC) - gate.at < timedelta(minutes=1)
    assert gate.expires_at == gate.at + timedelta(days=1)


async def test_results_are_listed_newest_first_and_none_is_lost(database: Database) -> None:
    gates = store(database)
    for number in range(4):
        await gates.record("dataset", "tickets", number % 2 == 0, f"{number}", "ci")
    await gates.record("evaluation", "router", True, "0.9", "U1")
    assert [r.evidence for r in await gates.results()] == ["0.9", "3", "2", "1", "0"]
    assert [r.evidence for r in await gates.results("dataset", limit=2)] == ["3", "2"]
    assert [r.by for r in await gates.results(subject="router")] == ["U1"]


async def test_each_result_is_an_entry_of_the_audit_log(database: Database) -> None:
    await store(database).record("evaluation", "router", False, "0.4 < 0.8", "ci")
    (entry,) = [entry async for entry in AuditLog(database).entries()]
    assert (entry.actor, entry.action, entry.subject) == ("ci", "gate.failed", "evaluation:router")
    assert "0.4 < 0.8" in entry.details


async def test_what_a_pipeline_wrote_becomes_one_line_that_can_be_shown(database: Database) -> None:
    wild = "leak\x1b[31m\x00\ud800\nin row 3 " + "x" * 5000
    result = await store(database).record("dataset", "tickets", True, wild, "ci\nroot")
    assert result.evidence.startswith("leak [31m in row 3 xxx")
    assert len(result.evidence) == 1000
    assert result.by == "ci root"


@pytest.mark.parametrize("subject", ["", "x" * 301, "two\nlines", "nul\x00"])
async def test_a_subject_that_cannot_be_one_is_refused(database: Database, subject: str) -> None:
    with pytest.raises(InvalidRequestError, match="a line of 1 to 300 characters"):
        await store(database).record("dataset", subject, True, "", "ci")


async def test_a_result_that_holds_for_no_time_is_refused(database: Database) -> None:
    with pytest.raises(InvalidRequestError, match="must hold for some time"):
        await store(database).record("dataset", "tickets", True, "", "ci", timedelta(0))
