"""Who may sign what: several needs, in order, for others who are away, and breaking the glass."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from core.errors import CountersignError, InvalidRequestError, NotAllowedError
from core.store.database import Database
from core.store.tables import runs
from core.workflows.guardrails import GuardrailResult, GuardrailState
from core.workflows.run import Run
from core.workflows.signatures import Decision
from core.workflows.signing import RunExpiredError
from core.workflows.verdict import Verdict
from tests.core.workflows.office import ANN, BEN, CARL, DORA, EVE, START, Office, office, rules

REASON = "The shop is down and nobody else is awake"
BOTH = {
    "type": "approval",
    "needs": [{"roles": ["approver"]}, {"roles": ["security"]}],
}
IN_ORDER = {**BOTH, "sequential": True}


@pytest.fixture
def here(database: Database, tmp_path: Path) -> Office:
    return office(database, tmp_path)


async def approve(here: Office, run: Run, user: str, phrase: str = "") -> Run:
    await here.signing.sign(run.id, user, Decision.APPROVE, phrase)
    return await here.store.get(run.id)


async def verdict(here: Office, run: Run) -> Verdict:
    return await here.judge(await here.store.get(run.id))


async def missing(here: Office, run: Run) -> list[str]:
    return [need.describe() for need in (await verdict(here, run)).missing]


async def test_needs_in_any_order_are_filled_by_whoever_can(here: Office) -> None:
    run = await here.new(BOTH)
    await approve(here, run, CARL)  # holds both roles, and counts once
    assert await missing(here, run) == ["1 person with the role security"]
    assert not (await verdict(here, run)).met
    await approve(here, run, BEN)  # so Carl's now counts for security
    done = await verdict(here, run)
    assert (done.met, done.missing) == (True, ())
    assert done.results[0].evidence == f"Signed by {CARL}, {BEN}."


async def test_in_sequence_the_next_can_sign_only_when_the_one_before_has(here: Office) -> None:
    run = await here.new(IN_ORDER)
    with pytest.raises(InvalidRequestError, match="waits for 1 person with the role approver"):
        await approve(here, run, EVE)
    await approve(here, run, BEN)
    assert await missing(here, run) == ["1 person with the role security"]
    await approve(here, run, EVE)
    assert (await verdict(here, run)).met


async def test_who_can_fill_no_place_any_more_is_told_what_is_missing(here: Office) -> None:
    run = await here.new(BOTH, requester=DORA)
    await approve(here, run, BEN)
    with pytest.raises(InvalidRequestError, match="no place now: the run waits for 1 person with"):
        await approve(here, run, ANN)
    with pytest.raises(InvalidRequestError, match="You have signed this run already"):
        await approve(here, run, BEN)


async def test_who_holds_the_role_but_has_no_grant_there_cannot_sign(
    database: Database, tmp_path: Path
) -> None:
    narrow = rules(
        grants=[
            {"allow": ["approve"], "roles": ["approver"], "channels": ["#payments"]},
            {"allow": ["approve"], "roles": ["lead"], "workflows": ["other"]},
        ]
    )
    here = office(database, tmp_path, narrow)
    run = await here.new()
    for user in (BEN, DORA):
        with pytest.raises(NotAllowedError, match="Nobody may countersign this run in #deploys"):
            await approve(here, run, user)
    assert (BEN, "run.refused") in await here.entries()


async def test_a_signature_counts_no_more_when_its_signer_loses_the_role_or_the_grant(
    here: Office, database: Database, tmp_path: Path
) -> None:
    run = await here.new()
    await approve(here, run, BEN)
    assert (await verdict(here, run)).met
    ungranted = rules(grants=[{"allow": ["approve"], "roles": ["lead"]}])
    elsewhere = office(database, tmp_path, ungranted, here.clock, here.groups)
    assert not (await verdict(elsewhere, run)).met
    here.groups.members["oncall"].discard(BEN)
    assert not (await verdict(here, run)).met


async def test_a_deputy_signs_for_who_is_away_and_only_with_the_roles_that_can_be_lent(
    here: Office,
) -> None:
    run = await here.new()
    with pytest.raises(NotAllowedError, match="you need the role approver or lead"):
        await approve(here, run, EVE)
    await here.delegations.away(BEN, await here.roles.of(BEN), EVE, START + timedelta(days=2))
    signed = await approve(here, run, EVE)
    assert signed.signatures[0].on_behalf == BEN
    assert (await verdict(here, run)).results[0].evidence == f"Signed by {EVE} for {BEN}."
    here.groups.members["oncall"].discard(BEN)
    assert not (await verdict(here, run)).met


async def test_the_lead_cannot_lend_a_role_that_the_policy_does_not_let_go(here: Office) -> None:
    run = await here.new({"type": "approval", "roles": ["lead"]})
    with pytest.raises(NotAllowedError, match="You can lend the role approver or security"):
        await here.delegations.away(DORA, await here.roles.of(DORA), EVE, START + timedelta(days=2))
    here.groups.members["oncall"].add(DORA)  # now she can lend one role, but not the other
    await here.delegations.away(DORA, await here.roles.of(DORA), EVE, START + timedelta(days=2))
    assert await here.roles.on_behalf(EVE) == {DORA: {"approver"}}
    with pytest.raises(NotAllowedError, match="you need the role lead"):
        await approve(here, run, EVE)


async def test_a_deputy_counts_once_and_so_does_the_person_they_stand_in_for(here: Office) -> None:
    two = {"type": "approval", "count": 2, "roles": ["approver"]}
    run = await here.new(two, requester=DORA)
    await here.delegations.away(BEN, await here.roles.of(BEN), EVE, START + timedelta(days=2))
    await approve(here, run, EVE)
    with pytest.raises(InvalidRequestError, match="You have signed this run already"):
        await approve(here, run, EVE)
    with pytest.raises(InvalidRequestError, match="would fill no place"):
        await approve(here, run, BEN)  # back early; his signature stands already
    await approve(here, run, CARL)
    assert (await verdict(here, run)).met


async def test_four_eyes_hold_for_deputies_in_both_directions(here: Office) -> None:
    day = START + timedelta(days=1)
    mine = await here.new(requester=BEN)
    await here.delegations.away(BEN, await here.roles.of(BEN), EVE, day)
    with pytest.raises(NotAllowedError):
        await approve(here, mine, EVE)  # for Ben, who asked for it
    await here.delegations.away(CARL, await here.roles.of(CARL), BEN, day)
    with pytest.raises(NotAllowedError, match="four eyes"):
        await approve(here, mine, BEN)  # Ben himself, for Carl


async def test_a_delegation_begins_and_ends_by_itself(here: Office) -> None:
    begin, end = START + timedelta(days=1), START + timedelta(days=2)
    await here.delegations.away(BEN, await here.roles.of(BEN), EVE, end, begin)
    for moment, lent in (
        (begin - timedelta(microseconds=1), {}),
        (begin, {BEN: {"approver"}}),
        (end - timedelta(microseconds=1), {BEN: {"approver"}}),
        (end, {}),
    ):
        here.clock.now = moment
        assert await here.roles.on_behalf(EVE) == lent


async def test_a_denial_ends_it_even_by_who_has_approved_before(here: Office) -> None:
    run = await here.new({"type": "approval", "count": 2, "roles": ["approver"]}, requester=DORA)
    await approve(here, run, BEN)
    await here.signing.sign(run.id, BEN, Decision.DENY)
    assert (await verdict(here, run)).denied
    await approve(here, run, CARL)
    assert not (await verdict(here, run)).met


async def test_nothing_is_signed_at_the_very_moment_of_expiry(here: Office) -> None:
    run = await here.new({"type": "approval", "roles": ["approver"], "expires_after": "1h"})
    here.clock.later(hours=1, microseconds=-1)
    late = here.clock.now
    here.clock.later(microseconds=1)
    for attempt in (approve(here, run, BEN), here.signing.break_glass(run.id, DORA, REASON)):
        with pytest.raises(RunExpiredError):
            await attempt
    assert (await verdict(here, run)).expired
    here.clock.now = late
    assert not (await verdict(here, run)).expired
    await approve(here, run, BEN)
    assert (await verdict(here, run)).met


async def test_a_replica_with_a_slow_clock_cannot_put_a_signature_before_an_earlier_one(
    here: Office, database: Database, tmp_path: Path
) -> None:
    run = await here.new(IN_ORDER)
    slow = office(database, tmp_path)
    here.clock.later(minutes=5)
    await approve(here, run, BEN)
    await approve(slow, run, EVE)
    assert (await verdict(here, run)).met


async def test_two_replicas_take_one_press_of_one_person(
    here: Office, database: Database, tmp_path: Path
) -> None:
    run = await here.new({"type": "approval", "count": 2, "roles": ["approver"]}, requester=DORA)
    other = office(database, tmp_path)
    results = await asyncio.gather(
        *(approve(replica, run, BEN) for replica in (here, other, here, other)),
        return_exceptions=True,
    )
    refused = [str(r) for r in results if isinstance(r, BaseException)]
    assert refused == ["You have signed this run already."] * 3
    assert len((await here.store.get(run.id)).signatures) == 1


async def test_an_altered_plan_can_neither_be_signed_nor_forced(here: Office) -> None:
    run = await here.new()
    plan = run.plan.model_copy(update={"objective": "Something else."})
    async with here.database.write() as connection:
        await connection.execute(
            update(runs).values(plan=plan.model_dump(mode="json", by_alias=True))
        )
    for attempt in (approve(here, run, BEN), here.signing.break_glass(run.id, DORA, REASON)):
        with pytest.raises(InvalidRequestError, match="The plan was altered"):
            await attempt


FROZEN: dict[str, Any] = {
    "type": "freeze",
    "windows": [{"name": "all week", "from": "Mon 00:00", "to": "Mon 00:00"}],
}


async def test_broken_glass_overrides_what_gives_way_and_nothing_else(here: Office) -> None:
    run = await here.new(FROZEN)
    with pytest.raises(InvalidRequestError, match="Nothing can be signed now"):
        await approve(here, run, BEN)
    await here.signing.break_glass(run.id, DORA, REASON)
    broken = await verdict(here, run)
    assert broken.met
    assert [r.state for r in broken.results] == [GuardrailState.OVERRIDDEN] * 2
    assert broken.broken_glass is not None
    assert REASON in broken.results[0].evidence
    assert (DORA, "run.break_glass") in await here.entries()
    firm = await here.new({"type": "environment", "allowed": ["staging"]}, id="abcdef012346")
    with pytest.raises(InvalidRequestError, match=r"does not help against this\..*Only in staging"):
        await here.signing.break_glass(firm.id, DORA, REASON)


async def test_who_may_not_break_the_glass_is_refused_and_a_reason_is_needed(here: Office) -> None:
    run = await here.new()
    with pytest.raises(NotAllowedError, match="To break the glass you need the role lead"):
        await here.signing.break_glass(run.id, BEN, REASON)
    assert (BEN, "run.refused") in await here.entries()
    with pytest.raises(InvalidRequestError, match="at least 10 characters"):
        await here.signing.break_glass(run.id, DORA, "  because   ")
    with pytest.raises(InvalidRequestError, match="broken with a reason"):
        await here.signing.sign(run.id, DORA, Decision.BREAK_GLASS, comment=REASON)
    assert (await here.store.get(run.id)).signatures == ()


async def test_nobody_breaks_the_glass_where_the_policy_has_no_rule(
    database: Database, tmp_path: Path
) -> None:
    here = office(database, tmp_path, rules(break_glass=None))
    run = await here.new()
    with pytest.raises(NotAllowedError, match="has no break_glass"):
        await here.signing.break_glass(run.id, DORA, REASON)


async def test_broken_glass_does_not_outlive_the_role_nor_a_denial(here: Office) -> None:
    run = await here.new()
    await here.signing.break_glass(run.id, DORA, REASON)
    here.groups.members["leads"].clear()
    assert not (await verdict(here, run)).met
    here.groups.members["leads"].add(DORA)
    assert (await verdict(here, run)).met
    await here.signing.sign(run.id, BEN, Decision.DENY)
    denied = await verdict(here, run)
    assert not denied.met
    assert GuardrailState.OVERRIDDEN not in {result.state for result in denied.results}


@pytest.mark.parametrize(
    "change", [{"digest": "sha256:" + "0" * 64}, {"at": START + timedelta(hours=4)}]
)
async def test_glass_that_was_broken_for_another_plan_or_too_late_is_whole(
    here: Office, change: dict[str, Any]
) -> None:
    run = await here.new()
    await here.signing.break_glass(run.id, DORA, REASON)
    signed = await here.store.get(run.id)
    (signature,) = signed.signatures
    assert (await here.judge(signed)).met
    other = signed.model_copy(update={"signatures": (signature.model_copy(update=change),)})
    judged = await here.judge(other)
    assert (judged.met, judged.broken_glass) == (False, None)


async def test_the_name_is_typed_where_the_rule_asks_for_it(here: Office) -> None:
    run = await here.new({"type": "approval", "roles": ["approver"], "phrase": True})
    for wrong in ("", "Note", "note it", "approve"):
        with pytest.raises(InvalidRequestError, match="Type note to confirm"):
            await approve(here, run, BEN, wrong)
    await approve(here, run, BEN, " note ")
    assert (await verdict(here, run)).met


def test_a_denial_outweighs_whatever_the_guardrails_say() -> None:
    met = GuardrailResult(description="A rule", state=GuardrailState.MET, evidence="")
    for denied in (False, True):
        verdict = Verdict(
            results=(met,),
            approval=GuardrailState.MET,
            others=GuardrailState.MET,
            denied=denied,
            expired=False,
        )
        assert verdict.met is not denied


class _Unreachable:
    """Surroundings that cannot be asked now."""

    async def lock_holder(self, name: str) -> str | None:
        raise CountersignError("the database is away")


async def test_what_cannot_be_looked_at_is_not_met_and_may_still_be(here: Office) -> None:
    run = await here.new({"type": "lock", "name": "shop"})
    here.worlds.world = _Unreachable()
    seen = await verdict(here, run)
    assert seen.others is GuardrailState.WAITING
    assert not seen.met
    assert "the database is away" in seen.results[-1].evidence
