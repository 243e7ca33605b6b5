"""Dataset gate and evaluation gate: what was recorded last is a pass that still holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.workflows.guardrails import GuardrailState
from core.workflows.guardrails.base import Gate
from tests.core.workflows.guardrails.situations import (
    NOW,
    ToldWorld,
    guardrail,
    judged,
    situation,
    stored,
)

KINDS = {"dataset_gate": "dataset", "evaluation_gate": "evaluation"}
DAY = timedelta(days=1)


def recorded(**changes: Any) -> Gate:
    fields = {"subject": "tickets-v3", "passed": True, "evidence": "0 leaks", "at": NOW - DAY}
    return Gate.model_validate(fields | changes)


def world(kind: str, gate: Gate) -> ToldWorld:
    return ToldWorld(gates={(KINDS[kind], gate.subject): gate})


@pytest.mark.parametrize("kind", KINDS)
async def test_it_is_met_by_a_recorded_pass(kind: str) -> None:
    rail = guardrail(kind, subject="tickets-v3")
    result = await judged(rail, world(kind, recorded()), situation())
    assert (result.state, result.evidence) == (
        GuardrailState.MET,
        "It passed at 2026-11-24 12:00 UTC: 0 leaks",
    )
    assert not rail.overridable


@pytest.mark.parametrize("kind", KINDS)
async def test_it_forbids_after_a_failure_and_without_any_result(kind: str) -> None:
    rail = guardrail(kind, subject="tickets-v3")
    failed = await judged(rail, world(kind, recorded(passed=False)), situation())
    assert (failed.state, failed.evidence) == (
        GuardrailState.BLOCKED,
        "It failed at 2026-11-24 12:00 UTC: 0 leaks",
    )
    other = world(kind, recorded(subject="tickets-v4"))
    assert (await judged(rail, other, situation())).state is GuardrailState.BLOCKED
    assert rail.evaluate(situation()).state is GuardrailState.WAITING, "nobody has looked"


async def test_a_datasets_result_says_nothing_about_a_model() -> None:
    rail = guardrail("evaluation_gate", subject="tickets-v3")
    result = await judged(rail, world("dataset_gate", recorded()), situation())
    assert result.state is GuardrailState.BLOCKED


async def test_a_result_holds_until_it_expires_or_is_too_old() -> None:
    rail = guardrail("evaluation_gate", subject="tickets-v3", max_age="2d")
    seen = await rail.look(world("evaluation_gate", recorded()), situation())
    until = NOW + DAY
    for now, state in ((until, "met"), (until + timedelta(seconds=1), "blocked")):
        assert rail.evaluate(situation(now=now, seen=seen)).state == state
    rail = guardrail("evaluation_gate", subject="tickets-v3")
    seen = await rail.look(world("evaluation_gate", recorded(expires_at=until)), situation())
    for now, state in ((until - timedelta(seconds=1), "met"), (until, "blocked")):
        assert rail.evaluate(situation(now=now, seen=seen)).state == state


@given(
    passed=st.booleans(),
    age_s=st.integers(0, 400_000),
    max_age_s=st.none() | st.integers(1, 400_000),
    holds_s=st.none() | st.integers(1, 400_000),
)
async def test_it_is_met_by_nothing_but_a_young_valid_pass(
    passed: bool, age_s: int, max_age_s: int | None, holds_s: int | None
) -> None:
    at = NOW - timedelta(seconds=age_s)
    expires = None if holds_s is None else at + timedelta(seconds=holds_s)
    fields = {} if max_age_s is None else {"max_age": f"{max_age_s}s"}
    rail = stored(guardrail("dataset_gate", subject="tickets-v3", **fields))
    here = situation()
    gate = recorded(passed=passed, at=at, expires_at=expires)
    seen = await rail.look(world("dataset_gate", gate), here)
    expected = (
        passed
        and (max_age_s is None or age_s <= max_age_s)
        and (holds_s is None or age_s < holds_s)
    )
    state = rail.evaluate(replace(here, seen=seen)).state
    assert state is (GuardrailState.MET if expected else GuardrailState.BLOCKED)


def test_the_subject_can_be_a_parameter() -> None:
    rail = guardrail("dataset_gate", subject="${parameters.dataset}", max_age="30d")
    rail = rail.rendered({"parameters": {"dataset": "tickets-v3"}})
    assert rail.describe() == ("tickets-v3 has passed its dataset gate, not longer ago than 30 d")
