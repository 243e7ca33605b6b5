"""Storms over the intake in small. `COUNTERSIGN_TEST_KILLS` says how often it is killed (2)."""

from __future__ import annotations

import os

import pytest

from core.store.database import Database
from tests.benchmarks.intake_storm import killed_in_storms, lost, served, storm
from tests.support.postgres import database, postgres

__all__ = ["database", "postgres"]

KILLS = int(os.environ.get("COUNTERSIGN_TEST_KILLS", "2"))


@pytest.mark.slow
async def test_what_was_accepted_in_a_storm_is_in_the_database(database: Database) -> None:
    url = database.url.render_as_string(hide_password=False)
    await database.close()
    async with served(url) as (port, _):
        answers = await storm(port, per_s=20_000, seconds=2, run="storm")
    assert set(answers.statuses) <= {202, 429, 503}
    assert len(answers.accepted) > 100
    assert answers.bare == 0
    assert await lost(url, answers.accepted) == set()
    assert await lost(url, {"never-sent"}) == {"never-sent"}


@pytest.mark.slow
async def test_what_was_accepted_before_a_kill_is_in_the_database(database: Database) -> None:
    url = database.url.render_as_string(hide_password=False)
    await database.close()
    outcomes = await killed_in_storms(url, KILLS, per_s=20_000, longest_s=1.0)
    assert len(outcomes) == KILLS
    assert all(answers.unanswered for answers in outcomes), "it was killed in the middle"
    assert sum(len(answers.accepted) for answers in outcomes) > 100
