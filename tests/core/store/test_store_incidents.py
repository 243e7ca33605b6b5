"""One open incident for each subject, however many alerts come; offers that nobody can alter."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from core.errors import NotFoundError
from core.incidents import IncidentStore
from core.offers import OfferStore
from core.records import Event, Provenance
from core.store.database import Database
from core.workflows.plan import PlannedArgument


def alert(number: int, subject: str = "KubePodCrashLooping") -> Event:
    return Event(
        id=f"alertmanager:{number}",
        kind="alert.firing",
        source="alertmanager",
        subject=subject,
        title=f"Pod {number} restarts",
        attributes={},
        occurred_at=datetime(2026, 11, 24, 12, number % 60, tzinfo=UTC),
    )


@pytest.fixture
def incidents(database: Database) -> IncidentStore:
    return IncidentStore(database)


async def test_fifty_alerts_at_once_about_one_subject_are_one_incident(
    incidents: IncidentStore,
) -> None:
    await asyncio.gather(*(incidents.open(alert(n), "#incidents") for n in range(50)))
    (only,) = await incidents.all_open()
    assert (only.subject, only.events, only.state) == ("KubePodCrashLooping", 50, "open")


async def test_alerts_about_different_subjects_are_different_incidents(
    incidents: IncidentStore,
) -> None:
    await incidents.open(alert(1, "a"), "#incidents")
    await incidents.open(alert(2, "b"), "#incidents")
    assert [i.subject for i in await incidents.all_open()] == ["a", "b"]


async def test_the_alert_that_opened_it_counts_once_however_often_it_comes(
    incidents: IncidentStore,
) -> None:
    for _ in range(3):
        opened = await incidents.open(alert(1), "#incidents")
    assert (opened.id, opened.events, opened.thread) == ("alertmanager:1", 1, None)


async def test_where_it_is_talked_about_is_remembered(incidents: IncidentStore) -> None:
    opened = await incidents.open(alert(1), "#incidents")
    await incidents.announced(opened.id, "C1", "17.0")
    again = await incidents.open(alert(2), "#incidents")
    assert (again.channel, again.thread, again.events) == ("C1", "17.0", 2)


async def test_after_it_was_closed_the_next_alert_opens_another(incidents: IncidentStore) -> None:
    opened = await incidents.open(alert(1), "#incidents")
    assert await incidents.open_about("KubePodCrashLooping") == opened
    await incidents.close(opened.id)
    first_time = (await incidents.get(opened.id)).closed_at
    await incidents.close(opened.id)
    closed = await incidents.get(opened.id)
    assert (closed.state, closed.closed_at) == ("closed", first_time)
    assert await incidents.open_about("KubePodCrashLooping") is None
    assert (await incidents.open(alert(1), "#incidents")).state == "closed", "a redelivery"
    assert (await incidents.open(alert(2), "#incidents")).id == "alertmanager:2"


async def test_an_offer_is_kept_as_it_was_first_made(database: Database) -> None:
    offers = OfferStore(database)
    outside = Provenance(kind="webhook", detail="github: event.sha")
    arguments = {
        "commit": PlannedArgument(value="1a2b3c4", provenance=outside),
        "count": PlannedArgument(value=3, provenance=outside),
        "loud": PlannedArgument(value=True, provenance=outside),
    }
    await offers.save("o1", "revert-commit", arguments, "x" * 400)
    await offers.save("o1", "prune-worktree", {}, "another")
    kept = await offers.get("o1")
    assert (kept.workflow, kept.arguments, kept.origin) == (
        "revert-commit",
        arguments,
        "x" * 300,
    )
    assert kept.arguments["loud"].value is True
    with pytest.raises(NotFoundError, match="start the workflow by name"):
        await offers.get("o2")
