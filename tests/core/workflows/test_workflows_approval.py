"""The approval guardrail: enough of the right people, for this very plan, in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from core.records import Risk
from core.workflows.guardrails import Approval, Environment, Guardrail, GuardrailState, Situation
from core.workflows.needs import Need
from core.workflows.signatures import Decision, Signature

MADE = datetime(2026, 11, 24, 12, tzinfo=UTC)
PLAN, OTHER_PLAN = "sha256:" + "a" * 64, "sha256:" + "b" * 64
ANN, BEN, CARL, REQUESTER = "U1ANN", "U2BEN", "U3CARL", "U9REQUESTER"
ROLES = {
    ANN: frozenset({"approver"}),
    BEN: frozenset({"approver", "lead"}),
    CARL: frozenset({"operator"}),
    REQUESTER: frozenset({"approver"}),
}


def rule(**changes: object) -> Approval:
    return Approval.model_validate(
        {"roles": ["approver", "lead"], "expires_after": "4h", **changes}
    )


def signed(
    user: str,
    decision: Decision = Decision.APPROVE,
    digest: str = PLAN,
    after: timedelta = timedelta(minutes=1),
) -> Signature:
    return Signature(user=user, digest=digest, decision=decision, at=MADE + after)


def situation(
    *signatures: Signature,
    after: timedelta = timedelta(minutes=5),
    roles: dict[str, frozenset[str]] = ROLES,
) -> Situation:
    return Situation(
        now=MADE + after,
        run_id="abcdef012345",
        workflow="revert-commit",
        digest=PLAN,
        risk=Risk.CHANGE,
        environment="production",
        requester=REQUESTER,
        created_at=MADE,
        targets=("shop",),
        signatures=signatures,
        roles=roles,
    )


def state(approval: Guardrail, where: Situation) -> GuardrailState:
    return approval.evaluate(where).state


def test_it_waits_until_enough_people_have_signed() -> None:
    two = rule(count=2)
    assert state(two, situation()) is GuardrailState.WAITING
    one_signed = two.evaluate(situation(signed(ANN)))
    assert one_signed.state is GuardrailState.WAITING
    assert one_signed.evidence == f"1 of 2 signed ({ANN})"
    both = two.evaluate(situation(signed(ANN), signed(BEN)))
    assert both.state is GuardrailState.MET
    assert both.evidence == f"Signed by {ANN}, {BEN}."


def test_one_person_counts_once_however_often_they_sign() -> None:
    assert state(rule(count=2), situation(signed(ANN), signed(ANN))) is GuardrailState.WAITING


def test_any_one_of_the_roles_is_enough_and_another_role_is_none() -> None:
    assert state(rule(roles=["lead"]), situation(signed(BEN))) is GuardrailState.MET
    assert state(rule(roles=["lead"]), situation(signed(ANN))) is GuardrailState.WAITING
    assert state(rule(), situation(signed(CARL))) is GuardrailState.WAITING
    assert state(rule(), situation(signed("U8STRANGER"))) is GuardrailState.WAITING


def test_a_role_that_was_lost_since_counts_no_more_and_the_evidence_names_the_person() -> None:
    lost = rule().evaluate(situation(signed(ANN), roles={ANN: frozenset({"operator"})}))
    assert lost.state is GuardrailState.WAITING
    assert lost.evidence == f"0 of 1 signed; does not count: {ANN}"


def test_the_requester_does_not_count_unless_the_rule_says_so() -> None:
    assert state(rule(), situation(signed(REQUESTER))) is GuardrailState.WAITING
    assert state(rule(four_eyes=False), situation(signed(REQUESTER))) is GuardrailState.MET


def test_a_signature_of_another_plan_counts_for_nothing() -> None:
    assert state(rule(), situation(signed(ANN, digest=OTHER_PLAN))) is GuardrailState.WAITING


def test_a_denial_forbids_it_even_beside_enough_approvals() -> None:
    denied = rule().evaluate(situation(signed(ANN), signed(BEN, Decision.DENY)))
    assert (denied.state, denied.evidence) == (GuardrailState.BLOCKED, f"Denied by {BEN}.")
    other = situation(signed(ANN), signed(BEN, Decision.DENY, digest=OTHER_PLAN))
    assert state(rule(), other) is GuardrailState.MET


def test_it_expires_at_the_very_moment() -> None:
    limit, moment = timedelta(hours=4), timedelta(microseconds=1)
    assert rule().expires_at(MADE) == MADE + limit
    assert state(rule(), situation(after=limit - moment)) is GuardrailState.WAITING
    expired = rule().evaluate(situation(after=limit))
    assert (expired.state, expired.evidence) == (
        GuardrailState.BLOCKED,
        "Expired before enough people signed.",
    )


def test_only_signatures_that_were_given_in_time_count() -> None:
    limit, moment = timedelta(hours=4), timedelta(microseconds=1)
    late, just = signed(ANN, after=limit), signed(ANN, after=limit - moment)
    assert state(rule(), situation(late, after=limit + moment)) is GuardrailState.BLOCKED
    assert state(rule(), situation(just, after=limit + moment)) is GuardrailState.MET


def test_the_rule_reads_as_a_sentence() -> None:
    assert rule().describe() == (
        "Countersigned by 1 person with the role approver or lead, not the requester"
    )
    strict = rule(count=2, roles=["lead"], four_eyes=False, phrase=True)
    assert strict.describe() == (
        "Countersigned by 2 people with the role lead, typing the workflow's id"
    )


@pytest.mark.parametrize(
    "wrong", [{"count": 0}, {"count": 11}, {"roles": []}, {"expires_after": "0s"}, {"rôles": []}]
)
def test_a_rule_that_protects_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        rule(**wrong)


ROLE_NAMES = ["approver", "lead", "operator"]
PEOPLE = [ANN, BEN, CARL, REQUESTER, "U4", "U5"]
role_sets = st.lists(st.sampled_from(ROLE_NAMES), min_size=1, unique=True).map(tuple)
needs = st.builds(Need, count=st.integers(1, 3), roles=role_sets)
approvals = st.builds(
    Approval,
    needs=st.lists(needs, min_size=1, max_size=3).map(tuple),
    sequential=st.booleans(),
    four_eyes=st.booleans(),
    expires_after=st.timedeltas(timedelta(seconds=1), timedelta(days=2)),
    phrase=st.booleans(),
    delegable=st.none() | role_sets,
)
signatures = st.builds(
    Signature,
    user=st.sampled_from(PEOPLE),
    on_behalf=st.none() | st.none() | st.sampled_from(PEOPLE),
    digest=st.sampled_from([PLAN, PLAN, PLAN, OTHER_PLAN]),
    decision=st.sampled_from([Decision.APPROVE] * 6 + [Decision.DENY, Decision.BREAK_GLASS]),
    at=st.timedeltas(timedelta(0), timedelta(hours=30)).map(lambda after: MADE + after),
)
held_roles = st.dictionaries(st.sampled_from(PEOPLE), st.frozensets(st.sampled_from(ROLE_NAMES)))


def voices(approval: Approval, where: Situation) -> list[frozenset[str]]:
    """What each signature that counts at all says, in order: written anew, not with our code."""
    spoken, used = [], set[str]()
    for s in sorted(where.signatures, key=lambda s: (s.at, s.user)):
        in_time = s.at < where.created_at + approval.expires_after
        people = {s.user, s.on_behalf} - {None}
        if s.digest != where.digest or s.decision is not Decision.APPROVE or not in_time:
            continue
        if approval.four_eyes and where.requester in people:
            continue
        held = where.roles.get(s.on_behalf or s.user, frozenset())
        if s.on_behalf:
            held &= set(approval.delegable or ())
        wanted = {role for need in approval.needs for role in need.roles}
        if held & wanted and not people & used:
            used |= people
            spoken.append(held)
    return spoken


def can_be_filled(approval: Approval, spoken: list[frozenset[str]]) -> bool:
    """Whether some choice of signatures fills every place: all are tried, one after the other."""
    places = [need.roles for need in approval.needs for _ in range(need.count)]

    def fill(place: int, free: frozenset[int]) -> bool:
        if place == len(places):
            return True
        return any(
            spoken[voice] & set(places[place])
            and fill(
                place + 1,
                frozenset(v for v in free if v > voice) if approval.sequential else free - {voice},
            )
            for voice in free
        )

    return fill(0, frozenset(range(len(spoken))))


@settings(max_examples=400)
@given(approvals, st.lists(signatures, max_size=7), held_roles, st.timedeltas(timedelta(0)))
def test_it_is_met_exactly_where_distinct_right_people_fill_every_place(
    approval: Approval,
    given_signatures: list[Signature],
    roles: dict[str, frozenset[str]],
    after: timedelta,
) -> None:
    here = situation(*given_signatures, after=min(after, timedelta(days=9)), roles=roles)
    denied = any(
        s.decision is Decision.DENY and s.digest == PLAN and s.at < MADE + approval.expires_after
        for s in given_signatures
    )
    enough = can_be_filled(approval, voices(approval, here))
    assert (state(approval, here) is GuardrailState.MET) is (enough and not denied)
    assert (approval.missing(here) == ()) is enough


small_approvals = st.builds(
    Approval,
    needs=st.lists(
        st.builds(Need, count=st.integers(1, 2), roles=role_sets), min_size=1, max_size=2
    ).map(tuple),
    sequential=st.booleans(),
    four_eyes=st.booleans(),
    phrase=st.booleans(),
)
crowds = st.lists(st.frozensets(st.sampled_from(ROLE_NAMES), min_size=1), min_size=1, max_size=8)
"""The roles of people who sign one after the other."""


@settings(max_examples=400)
@given(small_approvals, small_approvals, crowds)
def test_a_tightened_rule_is_met_only_where_both_are(
    policy: Approval, own: Approval, crowd: list[frozenset[str]]
) -> None:
    both = policy.tightened(own)
    people = [f"U{number}" for number, _ in enumerate(crowd)]
    given_signatures = [
        signed(person, after=timedelta(minutes=minute)) for minute, person in enumerate(people)
    ]
    here = situation(*given_signatures, roles=dict(zip(people, crowd, strict=True)))
    if state(both, here) is GuardrailState.MET:
        assert state(policy, here) is GuardrailState.MET
        assert state(own, here) is GuardrailState.MET
    assert both.phrase == (policy.phrase or own.phrase)
    assert both.four_eyes == (policy.four_eyes or own.four_eyes)
    assert both.count >= max(policy.count, own.count)
    assert both.expires_after == min(policy.expires_after, own.expires_after)


@settings(max_examples=200)
@given(small_approvals, crowds)
def test_a_rule_tightened_by_itself_asks_for_no_more(
    rule: Approval, crowd: list[frozenset[str]]
) -> None:
    people = [f"U{number}" for number, _ in enumerate(crowd)]
    here = situation(
        *(signed(person, after=timedelta(minutes=at)) for at, person in enumerate(people)),
        roles=dict(zip(people, crowd, strict=True)),
    )
    assert rule.tightened(rule).count == rule.count
    if state(rule.tightened(rule), here) is GuardrailState.MET:
        assert state(rule, here) is GuardrailState.MET


def test_the_environment_must_be_one_of_those_allowed() -> None:
    inside = Environment(allowed=("production", "staging")).evaluate(situation())
    assert (inside.state, inside.evidence) == (
        GuardrailState.MET,
        "The plan is for production.",
    )
    outside = Environment(allowed=("staging",))
    assert outside.describe() == "Only in staging"
    assert state(outside, situation()) is GuardrailState.BLOCKED
    assert state(Environment(allowed=("Production",)), situation()) is GuardrailState.BLOCKED
