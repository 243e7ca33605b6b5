"""Delegation while away: for some roles, for a time, never passed on, and kept in the audit log."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from core.errors import InvalidRequestError, NotAllowedError
from core.security.delegations import Delegation
from core.store.database import Database
from tests.core.workflows.office import ANN, BEN, CARL, EVE, START, Office, office, rules

WEEK = START + timedelta(days=7)


@pytest.fixture
def here(database: Database, tmp_path: Path) -> Office:
    return office(database, tmp_path)


async def away(here: Office, user: str, delegate: str, end: datetime = WEEK) -> Delegation:
    return await here.delegations.away(user, await here.roles.of(user), delegate, end)


async def test_the_newest_delegation_of_a_person_holds_and_all_are_kept(here: Office) -> None:
    await away(here, BEN, EVE)
    await away(here, BEN, CARL)
    assert await here.delegations.away_for(EVE) == ()
    assert await here.delegations.away_for(CARL) == (BEN,)
    made = await here.delegations.of(BEN)
    assert made == Delegation(user=BEN, delegate=CARL, starts_at=START, ends_at=WEEK)
    assert await here.delegations.all() == [made]
    assert await here.entries() == [(BEN, "delegation.made")] * 2


async def test_who_is_back_ends_it_at_once(here: Office) -> None:
    await away(here, BEN, EVE)
    assert await here.delegations.back(BEN)
    assert await here.roles.on_behalf(EVE) == {}
    assert not await here.delegations.back(BEN)
    assert await here.entries() == [(BEN, "delegation.made"), (BEN, "delegation.ended")]


async def test_what_has_ended_by_itself_is_in_no_list(here: Office) -> None:
    await away(here, BEN, EVE)
    here.clock.now = WEEK
    assert await here.delegations.all() == []
    assert await here.delegations.of(BEN) is None
    assert not await here.delegations.back(BEN)


async def test_what_one_has_from_others_is_not_passed_on(here: Office) -> None:
    await away(here, CARL, BEN)  # Carl's: approver and security
    await away(here, BEN, EVE)
    assert await here.roles.on_behalf(BEN) == {CARL: {"approver", "security"}}
    assert await here.roles.on_behalf(EVE) == {BEN: {"approver"}}


async def test_of_several_who_are_away_each_lends_their_own(here: Office) -> None:
    await away(here, ANN, EVE)
    await away(here, CARL, EVE)
    assert await here.roles.on_behalf(EVE) == {
        ANN: {"approver"},
        CARL: {"approver", "security"},
    }


@pytest.mark.parametrize(
    ("delegate", "end", "says"),
    [
        (BEN, WEEK, "Name another person"),
        ("@eve", WEEK, "Name another person"),
        ("<!channel>", WEEK, "Name another person"),
        (EVE, START, "That is over already"),
        (EVE, START - timedelta(days=1), "That is over already"),
        (EVE, START + timedelta(days=14, seconds=1), "Too long: at most 14 d,"),
    ],
)
async def test_what_cannot_hold_is_refused(
    here: Office, delegate: str, end: datetime, says: str
) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        await away(here, BEN, delegate, end)
    assert await here.delegations.all() == []


async def test_a_start_far_ahead_is_refused_and_one_in_the_past_is_now(here: Office) -> None:
    held = await here.roles.of(BEN)
    far = START + timedelta(days=20)
    with pytest.raises(InvalidRequestError, match="Too long"):
        await here.delegations.away(BEN, held, EVE, far + timedelta(days=1), far)
    early = START - timedelta(days=30)
    made = await here.delegations.away(BEN, held, EVE, WEEK, early)
    assert made.starts_at == START


async def test_nobody_delegates_where_the_policy_has_no_rule(
    database: Database, tmp_path: Path
) -> None:
    here = office(database, tmp_path, rules(delegation=None))
    with pytest.raises(NotAllowedError, match="has no delegation"):
        await away(here, BEN, EVE)
    assert await here.entries() == [(BEN, "delegation.refused")]
    lending = office(database, tmp_path)
    await away(lending, BEN, EVE)
    assert await here.roles.on_behalf(EVE) == {}


async def test_two_at_once_leave_one(here: Office) -> None:
    results = await asyncio.gather(
        *(away(here, BEN, other) for other in (EVE, CARL, ANN)), return_exceptions=True
    )
    refused = [r for r in results if isinstance(r, BaseException)]
    assert all(isinstance(r, InvalidRequestError) for r in refused)
    assert len(await here.delegations.all()) == 1
    made = [e for e in await here.entries() if e == (BEN, "delegation.made")]
    assert len(made) == 3 - len(refused)
