"""Rate: so many runs in a stretch of time, and a pause after each."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.workflows.guardrails import Claims, GuardrailState, Rate
from core.workflows.guardrails.base import Begun
from tests.core.workflows.guardrails.situations import (
    NOW,
    ToldWorld,
    guardrail,
    judged,
    situation,
)

HOUR = timedelta(hours=1)


def begun(*minutes_ago: float) -> list[Begun]:
    return [
        Begun(run_id=f"run{minutes}", at=NOW - timedelta(minutes=minutes))
        for minutes in minutes_ago
    ]


async def state(world: ToldWorld, **fields: Any) -> tuple[GuardrailState, str]:
    result = await judged(guardrail("rate", **fields), world, situation())
    return result.state, result.evidence


async def test_there_is_room_until_the_limit_is_reached() -> None:
    one = ToldWorld(others=begun(30))
    assert await state(one, limit=2, per="1h") == (
        GuardrailState.MET,
        "There is room for one more.",
    )
    two = ToldWorld(others=begun(30, 10))
    waits, why = await state(two, limit=2, per="1h")
    assert waits is GuardrailState.WAITING
    assert why.endswith("the next may begin at 2026-11-25 12:30:00 UTC."), "when the older one left"


async def test_a_run_that_began_just_the_stretch_ago_counts_no_more() -> None:
    assert (await state(ToldWorld(others=begun(60)), limit=1, per="1h"))[0] is GuardrailState.MET
    late = ToldWorld(others=begun(59.99))
    assert (await state(late, limit=1, per="1h"))[0] is GuardrailState.WAITING


async def test_a_cool_down_is_a_pause_after_each_run() -> None:
    waits, why = await state(ToldWorld(others=begun(4)), cool_down="15m")
    assert waits is GuardrailState.WAITING
    assert why == (
        "Run run4 began at 2026-11-25 11:56:00 UTC; the next may begin at 2026-11-25 12:11:00 UTC."
    )
    assert (await state(ToldWorld(others=begun(16)), cool_down="15m"))[0] is GuardrailState.MET


async def test_of_limit_and_cool_down_the_one_that_holds_longer_is_named() -> None:
    _, why = await state(ToldWorld(others=begun(50, 2)), limit=2, per="1h", cool_down="5m")
    assert "may begin at 2026-11-25 12:10:00" in why
    _, why = await state(ToldWorld(others=begun(50, 2)), limit=2, per="1h", cool_down="30m")
    assert "may begin at 2026-11-25 12:28:00" in why


async def test_a_workflows_runs_are_counted_by_their_name() -> None:
    world = ToldWorld()
    await state(world, limit=2, per="1h")
    assert world.asked == [(NOW - HOUR, "deploy", None)]


async def test_a_targets_runs_are_counted_whatever_their_workflow() -> None:
    rate = guardrail("rate", of="target", limit=1, per="1h")
    here = situation(targets=("web-2", "web-1", "web-2"))
    world = ToldWorld(others=begun(20))
    result = await judged(rate, world, here)
    assert world.asked == [(NOW - HOUR, None, "web-1"), (NOW - HOUR, None, "web-2")]
    assert result.evidence.startswith("Run run20 began on web-1 at")
    assert rate.claims(here) == Claims(
        rates=(
            Rate(workflow=None, target="web-1", limit=1, per_s=3600),
            Rate(workflow=None, target="web-2", limit=1, per_s=3600),
        )
    )


def test_what_is_claimed_is_what_is_shown() -> None:
    both = guardrail("rate", limit=3, per="1d", cool_down="10m")
    assert both.claims(situation()) == Claims(
        rates=(
            Rate(workflow="deploy", target=None, limit=3, per_s=86_400),
            Rate(workflow="deploy", target=None, limit=1, per_s=600),
        )
    )
    assert both.describe() == (
        "At most 3 runs of this workflow in 1 d, and 10 min between runs of this workflow"
    )


async def test_it_is_not_met_before_anybody_has_looked() -> None:
    rate = guardrail("rate", limit=1, per="1h")
    assert rate.evaluate(situation()).state is GuardrailState.WAITING


@given(
    st.lists(st.integers(1, 10_000), max_size=12, unique=True),
    st.integers(1, 4),
    st.integers(1, 6000),
)
async def test_the_moment_it_names_is_the_first_at_which_it_is_met(
    seconds_ago: list[int], limit: int, per_s: int
) -> None:
    """The oracle walks through the seconds; it knows nothing of sorting."""
    at = [NOW - timedelta(seconds=seconds) for seconds in sorted(seconds_ago, reverse=True)]
    world = ToldWorld(others=[Begun(run_id=f"{n}", at=moment) for n, moment in enumerate(at)])
    rate = guardrail("rate", limit=limit, per=f"{per_s}s")
    here = situation()
    seen = await rate.look(world, here)

    def room(after_s: int) -> bool:
        within = [s for s in seconds_ago if s + after_s < per_s]
        return len(within) < limit

    first = next(after for after in range(per_s + 1) if room(after))
    for after in {0, max(first - 1, 0), first}:
        moment = NOW + timedelta(seconds=after)
        result = rate.evaluate(replace(here, now=moment, seen=seen))
        assert (result.state is GuardrailState.MET) is (after >= first)
        if after < first:
            free = NOW + timedelta(seconds=first)
            assert f"may begin at {free:%Y-%m-%d %H:%M:%S}" in result.evidence


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "give 'limit' and 'per', or a 'cool_down'"),
        ({"limit": 1}, "belong together"),
        ({"per": "1h", "cool_down": "1h"}, "belong together"),
        ({"limit": 0, "per": "1h"}, "greater than or equal to 1"),
        ({"cool_down": "0s"}, "greater than"),
        ({"cool_down": "400d"}, "less than or equal"),
        ({"limit": 1, "per": "1h", "of": "planet"}, "'workflow' or 'target'"),
    ],
)
def test_a_rate_that_makes_no_sense_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        guardrail("rate", **fields)
