"""Reviews of broken glass: open from the signature on, closed once and by somebody else."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from core.errors import InvalidRequestError, NotAllowedError, NotFoundError
from core.store.database import Database
from core.workflows.run import Run
from tests.core.workflows.office import ANN, BEN, CARL, DORA, EVE, START, Office, office

REASON = "The shop is down and nobody else is awake"
FOUND = "It was right: the shop was down."


@pytest.fixture
def here(database: Database, tmp_path: Path) -> Office:
    return office(database, tmp_path)


async def broken(here: Office, run_id: str = "abcdef012345") -> Run:
    run = await here.new(id=run_id)
    await here.signing.break_glass(run.id, DORA, REASON)
    return run


async def test_a_review_stands_open_from_the_signature_on(here: Office) -> None:
    assert await here.reviews.open() == []
    run = await broken(here)
    (review,) = await here.reviews.open()
    assert (review.run_id, review.user, review.requester) == (run.id, DORA, ANN)
    assert (review.reason, review.workflow) == (REASON, "note")
    assert review.due_at == START + timedelta(hours=24)
    assert await here.reviews.get(run.id) == review


async def test_somebody_else_closes_it_once(here: Office) -> None:
    run = await broken(here)
    await broken(here, "abcdef012346")
    for user in (DORA, ANN):
        with pytest.raises(NotAllowedError, match="Somebody else must review it"):
            await here.reviews.close(run.id, user, FOUND)
    with pytest.raises(NotAllowedError, match="To review this you need the role approver or lead"):
        await here.reviews.close(run.id, "U9NOBODY", FOUND)
    with pytest.raises(InvalidRequestError, match="Say what you found"):
        await here.reviews.close(run.id, BEN, " ok ")
    closed = await here.reviews.close(run.id, BEN, FOUND)
    assert (closed.reviewer, closed.finding, closed.reviewed_at) == (BEN, FOUND, START)
    assert [review.run_id for review in await here.reviews.open()] == ["abcdef012346"]
    with pytest.raises(InvalidRequestError, match="closed already"):
        await here.reviews.close(run.id, CARL, FOUND)
    entries = await here.entries()
    assert entries.count((BEN, "review.closed")) == 1
    assert {(DORA, "review.refused"), (ANN, "review.refused")} <= set(entries)


async def test_two_reviewers_at_once_close_it_once(here: Office) -> None:
    run = await broken(here)
    results = await asyncio.gather(
        *(here.reviews.close(run.id, user, FOUND) for user in (BEN, CARL, EVE)),
        return_exceptions=True,
    )
    assert [type(r) for r in results].count(InvalidRequestError) == 2


async def test_a_run_whose_glass_is_whole_has_no_review(here: Office) -> None:
    run = await here.new()
    with pytest.raises(NotFoundError, match="Nobody broke the glass"):
        await here.reviews.get(run.id)
