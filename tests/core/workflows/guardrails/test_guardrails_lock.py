"""Lock: one run at a time, on each target or under a name."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from core.errors import InvalidRequestError
from core.workflows.guardrails import Claims, GuardrailState
from tests.core.workflows.guardrails.situations import ToldWorld, guardrail, judged, situation

SCOPE = {"parameters": {"cluster": "eu-1", "hosts": ["a", "b"], "dry": True}}


async def test_it_is_met_while_nobody_holds_the_lock_and_waits_while_somebody_does() -> None:
    lock = guardrail("lock")
    here = situation(targets=("web-1", "web-2"))
    free = await judged(lock, ToldWorld(), here)
    assert (free.state, free.evidence) == (GuardrailState.MET, "Nobody else is at work there.")
    held = await judged(lock, ToldWorld(holders={"target:web-2": "1234"}), here)
    assert (held.state, held.evidence) == (GuardrailState.WAITING, "Held: web-2 by run 1234.")


async def test_it_is_not_met_before_anybody_has_looked() -> None:
    assert guardrail("lock").evaluate(situation()).state is GuardrailState.WAITING


def test_without_a_name_each_target_is_a_lock_and_is_taken_once() -> None:
    claims = guardrail("lock").claims(situation(targets=("b", "a", "b")))
    assert claims == Claims(locks=("target:a", "target:b"))


def test_a_name_is_the_same_lock_for_every_workflow_that_fills_it_in_alike() -> None:
    lock = guardrail("lock", name="database-${parameters.cluster}").rendered(SCOPE)
    assert lock.claims(situation()) == Claims(locks=("name:database-eu-1",))
    assert lock.describe() == "One run at a time under the name database-eu-1"
    other = situation(workflow="other", targets=("x",))
    assert lock.claims(other) == lock.claims(situation())


def test_a_name_and_a_target_that_are_written_alike_are_two_locks() -> None:
    named = guardrail("lock", name="web-1").claims(situation())
    assert set(named.locks).isdisjoint(guardrail("lock").claims(situation()).locks)


def test_long_names_stay_different_and_fit_their_column() -> None:
    long = situation(targets=("x" * 3000, "x" * 2999 + "y"))
    locks = guardrail("lock").claims(long).locks
    assert len(set(locks)) == 2
    assert max(len(lock) for lock in locks) <= 300


@pytest.mark.parametrize("name", ["${parameters.hosts}", "${parameters.dry}"])
def test_a_name_that_is_no_text_is_refused_when_the_plan_is_made(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="must be a text or a number"):
        guardrail("lock", name=name).rendered(SCOPE)


def test_breaking_the_glass_does_not_open_a_lock() -> None:
    assert not guardrail("lock").overridable


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(ValidationError):
        guardrail("lock", name="")
