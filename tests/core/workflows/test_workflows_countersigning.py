"""From the request to the countersignature: who may, what they must type, until when."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from core.errors import InvalidRequestError, NotAllowedError, NotFoundError
from core.workflows.guardrails import GuardrailState
from core.workflows.plan import PlannedArgument
from core.workflows.run import RunState
from core.workflows.signatures import Decision
from tests.core.workflows.countersigning import (
    IN_FREEZE,
    World,
    at,
    guardrail_states,
    later,
)
from tests.core.workflows.parts import ALICE, BOB, CAROL, DAVE, LEAD, WEBHOOK

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_run_waits_until_somebody_else_countersigns_and_then_does_each_step_once(
    world: World,
) -> None:
    run = await world.request("twice", "hello")
    assert run.state is RunState.AWAITING
    assert guardrail_states(run) == [GuardrailState.WAITING]
    assert world.times("hello") == 0

    signed = await world.approve(run, BOB)
    assert [s.user for s in signed.signatures] == [BOB]
    done = await world.ended(run, RunState.SUCCEEDED)
    assert (world.times("hello"), world.times("again hello")) == (1, 1)
    assert [s.summary for s in done.steps] == ["Appended hello.", "Appended again hello."]
    assert [s.attempts for s in done.steps] == [1, 1]
    assert done.steps[0].output == "a\ufffdb", "what no database holds is replaced"
    assert done.steps[0].link == "https://example.test/file"
    assert done.version > run.version

    told = [(e.actor, e.action) for e in await world.entries(run.id)]
    assert told == [
        (ALICE, "run.requested"),
        (BOB, "run.approve"),
        ("countersign", "run.approved"),
        ("countersign", "run.running"),
        ("countersign", "run.succeeded"),
    ]
    assert await world.audit.verify() == (len([e async for e in world.audit.entries()]), None)


async def test_the_same_request_twice_is_one_run_even_after_it_took_effect(world: World) -> None:
    first, second = await asyncio.gather(
        world.request("once", "one", key="same"), world.request("once", "one", key="same")
    )
    assert first.id == second.id
    await world.approve(first, BOB)
    await world.ended(first, RunState.SUCCEEDED)
    again = await world.request("once", "one", key="same")
    assert (again.id, again.state, again.digest) == (first.id, RunState.SUCCEEDED, first.digest)
    assert world.times("one") == 1
    requests = [e for e in await world.entries(first.id) if e.action == "run.requested"]
    assert len(requests) == 1


async def test_who_may_not_start_is_refused_and_the_refusal_is_kept(world: World) -> None:
    with pytest.raises(NotAllowedError, match="To start note you need the role engineer"):
        await world.request("note", "dave's", user=DAVE)
    assert (DAVE, "run.refused") in [(e.actor, e.action) for e in await world.entries("note")]
    with pytest.raises(NotAllowedError, match="need the role lead"):
        await world.request("elsewhere", "alice's", user=ALICE)
    assert (await world.request("elsewhere", "lead's", user=LEAD)).state is RunState.APPROVED
    with pytest.raises(NotFoundError, match=r"no workflow 'nothing'\. There are: note, twice"):
        await world.request("nothing", "x")


async def test_a_trigger_needs_no_role_to_start_but_its_run_needs_the_signatures(
    world: World,
) -> None:
    hostile = {"line": PlannedArgument(value="from outside", provenance=WEBHOOK)}
    run = await world.request("note", "x", user="trigger:ci", automatic=True, arguments=hostile)
    assert run.state is RunState.AWAITING
    assert run.plan.steps[0].untrusted == ("line (webhook field)",)
    await world.approve(run, ALICE)
    await world.ended(run, RunState.SUCCEEDED)
    assert world.times("from outside") == 1


async def test_what_only_reads_runs_without_a_countersignature(world: World) -> None:
    run = await world.request("look", "x")
    done = await world.ended(run, RunState.SUCCEEDED)
    assert (done.signatures, done.guardrails) == ((), ())
    with pytest.raises(InvalidRequestError, match="it waits for no countersignature"):
        await world.approve(run, BOB)


@pytest.mark.parametrize(
    ("user", "says"),
    [
        (ALICE, "You asked for this run, so somebody else must countersign it"),
        (DAVE, "To countersign this run you need the role approver"),
        (LEAD, "To countersign this run you need the role approver"),
    ],
)
async def test_who_may_not_countersign_is_refused_and_the_refusal_is_kept(
    world: World, user: str, says: str
) -> None:
    run = await world.request("note", "refused")
    with pytest.raises(NotAllowedError, match=says):
        await world.approve(run, user)
    now = await world.service.get(run.id)
    assert (now.state, now.signatures) == (RunState.AWAITING, ())
    last = (await world.entries(run.id))[-1]
    assert (last.actor, last.action) == (user, "run.refused")
    assert says in last.details
    assert world.times("refused") == 0


async def test_two_people_and_the_typed_name_for_what_destroys(world: World) -> None:
    run = await world.request("erase", "gone")
    for wrong in ("", "Erase", "erase it", "note"):
        with pytest.raises(InvalidRequestError, match="Type erase to confirm"):
            await world.approve(run, BOB, wrong)
    one = await world.approve(run, BOB, " erase ")
    assert (one.state, one.guardrails[0].evidence) == (RunState.AWAITING, f"1 of 2 signed ({BOB})")
    with pytest.raises(InvalidRequestError, match="You have signed this run already"):
        await world.approve(run, BOB, "erase")
    assert world.times("gone") == 0
    await world.approve(run, LEAD, "erase")
    await world.ended(run, RunState.SUCCEEDED)
    assert world.times("gone") == 1


async def test_a_denial_ends_it_and_needs_no_phrase(world: World) -> None:
    run = await world.request("erase", "denied")
    with pytest.raises(NotAllowedError, match="To deny this run you need the role"):
        await world.service.sign(run.id, DAVE, Decision.DENY)
    denied = await world.service.sign(run.id, BOB, Decision.DENY, comment="not today\x00")
    assert denied.state is RunState.DENIED
    assert denied.reason.endswith(f"Denied by {BOB}.")
    assert denied.signatures[0].comment == "not today\ufffd"
    with pytest.raises(InvalidRequestError, match="This run was denied"):
        await world.approve(run, CAROL, "erase")
    assert world.times("denied") == 0


async def test_a_requester_who_holds_the_role_may_deny_their_own_run(world: World) -> None:
    run = await world.request("note", "mine")
    assert (await world.service.sign(run.id, ALICE, Decision.DENY)).state is RunState.DENIED


async def test_two_people_who_sign_at_once_make_one_run(world: World) -> None:
    for attempt in range(5):
        run = await world.request("note", f"race {attempt}")
        results = await asyncio.gather(
            world.approve(run, BOB), world.approve(run, CAROL), return_exceptions=True
        )
        refused = [r for r in results if isinstance(r, BaseException)]
        assert len(refused) < 2
        assert all(isinstance(r, InvalidRequestError) for r in refused)
        await world.ended(run, RunState.SUCCEEDED)
        assert world.times(f"race {attempt}") == 1


async def test_one_person_who_presses_twice_at_once_has_signed_once(world: World) -> None:
    run = await world.request("erase", "double")
    results = await asyncio.gather(
        *(world.approve(run, BOB, "erase") for _ in range(4)), return_exceptions=True
    )
    refused = [r for r in results if isinstance(r, BaseException)]
    assert [str(r) for r in refused] == ["You have signed this run already."] * 3
    assert len((await world.service.get(run.id)).signatures) == 1
    assert world.times("double") == 0


async def test_an_approval_and_a_denial_at_once_never_both_count(world: World) -> None:
    for attempt in range(5):
        run = await world.request("note", f"torn {attempt}")
        await asyncio.gather(
            world.approve(run, BOB),
            world.service.sign(run.id, CAROL, Decision.DENY),
            return_exceptions=True,
        )
        ended = await world.ended(run, RunState.SUCCEEDED, RunState.DENIED, RunState.BLOCKED)
        denied = any(s.decision is Decision.DENY for s in ended.signatures)
        assert denied is (ended.state is not RunState.SUCCEEDED)
        assert world.times(f"torn {attempt}") == (0 if denied else 1)


async def test_after_the_time_is_over_nobody_can_sign(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await world.request("note", "late")
    with monkeypatch.context() as patched:
        later(patched, timedelta(minutes=11))
        with pytest.raises(InvalidRequestError, match="This run has expired"):
            await world.approve(run, BOB)
    expired = await world.service.get(run.id)
    assert expired.state is RunState.EXPIRED
    assert expired.reason.endswith("Expired before enough people signed.")
    assert expired.signatures == ()
    assert world.times("late") == 0


async def test_what_expires_unseen_is_ended_by_the_sweep(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await world.request("note", "unseen")
    await world.service.sweep()
    assert (await world.service.get(run.id)).state is RunState.AWAITING
    with monkeypatch.context() as patched:
        later(patched, timedelta(minutes=11))
        await world.service.sweep()
    assert (await world.service.get(run.id)).state is RunState.EXPIRED


async def test_nothing_can_be_signed_in_a_freeze_and_the_refusal_says_which(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await world.request("note", "cold")
    with monkeypatch.context() as patched:
        at(patched, IN_FREEZE)
        judged = await world.service.judged(run)
        assert judged.guardrails[1].state is GuardrailState.BLOCKED
    frozen = await world.request("frozen", "colder")
    with pytest.raises(InvalidRequestError, match=r"Nothing can be signed now.*all week until"):
        await world.approve(frozen, BOB)
    assert (await world.service.get(frozen.id)).state is RunState.AWAITING
    assert world.times("colder") == 0


async def test_what_only_reads_is_blocked_in_a_freeze(world: World) -> None:
    run = await world.request("look-frozen", "x")
    assert run.state is RunState.BLOCKED
    assert "all week until" in run.reason


async def test_the_requester_can_cancel_and_so_can_an_administrator(world: World) -> None:
    mine = await world.request("note", "never mind")
    cancelled = await world.service.cancel(mine.id, ALICE)
    assert (cancelled.state, cancelled.reason) == (
        RunState.CANCELLED,
        f"Cancelled by {ALICE}.",
    )
    theirs = await world.request("note", "stop it")
    with pytest.raises(NotAllowedError, match="To cancel another person's run you need the role"):
        await world.service.cancel(theirs.id, BOB)
    assert (await world.service.cancel(theirs.id, LEAD)).state is RunState.CANCELLED
    with pytest.raises(InvalidRequestError, match="The run was cancelled and cannot be cancelled"):
        await world.service.cancel(theirs.id, LEAD)
    with pytest.raises(InvalidRequestError, match="This run was cancelled"):
        await world.approve(theirs, BOB)


async def test_a_run_is_found_by_the_beginning_of_its_id(world: World) -> None:
    run = await world.request("note", "find me")
    assert (await world.service.get(run.id[:6])).id == run.id
    for nothing in ("", run.id[:3], "ffff%", "____", run.id + "0"):
        with pytest.raises(NotFoundError, match="There is no run"):
            await world.service.get(nothing)
    assert (await world.service.latest(1))[0].id == run.id
