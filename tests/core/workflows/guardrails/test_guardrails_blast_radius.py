"""Blast radius: no more than so many targets, or than such a part of all there are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue, ValidationError

from core.errors import InvalidRequestError
from core.workflows.actions import ActionError
from core.workflows.guardrails import GuardrailState
from tests.core.workflows.guardrails.situations import (
    ToldWorld,
    guardrail,
    judged,
    situation,
    stored,
)

HOSTS = ["web-1", "web-2", "web-3"]
SCOPE: dict[str, JsonValue] = {
    "parameters": {"hosts": list(HOSTS), "count": 3, "name": "web", "part": 0.5, "region": "eu"}
}


def evaluated(targets: int, **fields: Any) -> tuple[GuardrailState, str]:
    here = situation(targets=tuple(f"web-{n}" for n in range(1, targets + 1)))
    result = guardrail("blast_radius", **fields).evaluate(here)
    return result.state, result.evidence


def test_a_limit_is_the_most_targets() -> None:
    assert evaluated(2, limit=2) == (GuardrailState.MET, "2 targets (web-1, web-2).")
    assert evaluated(3, limit=2) == (GuardrailState.BLOCKED, "3 targets (web-1, web-2, web-3).")


def test_a_target_that_is_named_twice_counts_once() -> None:
    here = situation(targets=("web-1", "web-1"))
    assert guardrail("blast_radius", limit=1).evaluate(here).state is GuardrailState.MET


def test_a_percentage_is_of_all_there_are() -> None:
    assert evaluated(1, percent=10, of=10) == (GuardrailState.MET, "1 target (web-1): 10 % of 10.")
    assert evaluated(2, percent=10, of=19)[0] is GuardrailState.BLOCKED
    assert evaluated(1, percent=50, of=["web-1", "web-2", "web-2"])[0] is GuardrailState.MET
    assert evaluated(2, percent=50, of=["web-1", "web-2", "web-3"])[0] is GuardrailState.BLOCKED


@pytest.mark.parametrize("of", [0, -5, []])
def test_a_part_of_nothing_is_refused(of: Any) -> None:
    assert evaluated(1, percent=100, of=of)[0] is GuardrailState.BLOCKED


@given(st.integers(0, 60), st.integers(1, 60), st.integers(1, 100))
def test_it_is_met_just_where_counting_without_fractions_says_so(
    targets: int, total: int, percent: int
) -> None:
    state, _ = evaluated(targets, percent=percent, of=total)
    assert (state is GuardrailState.MET) is (100 * targets <= percent * total)


@pytest.mark.parametrize(
    ("of", "total"),
    [
        ("${parameters.hosts}", 3),
        ("${parameters.count}", 3),
        ("${size(parameters.hosts) * 2}", 6),
    ],
)
def test_how_many_there_are_can_come_from_the_parameters(of: str, total: int) -> None:
    rail = guardrail("blast_radius", percent=40, of=of)
    assert rail.evaluate(situation()).state is GuardrailState.BLOCKED, "not known yet"
    rail = stored(rail.rendered(SCOPE))
    assert rail.evaluate(situation()).evidence.endswith(f"% of {total}.")


@pytest.mark.parametrize("of", ["${parameters.name}", "${parameters.part}", "many"])
def test_what_is_no_number_of_things_is_refused_when_the_plan_is_made(of: str) -> None:
    with pytest.raises(InvalidRequestError, match="must be a whole number or a list"):
        guardrail("blast_radius", percent=40, of=of).rendered(SCOPE)


COUNTED = {
    "action": "inventory.list",
    "with": {"region": "${parameters.region}"},
    "count": "size(values.hosts.filter(host, host.startsWith(parameters.name)))",
}


def says(*hosts: str) -> dict[str, JsonValue]:
    return {"values": {"hosts": list(hosts)}, "summary": f"{len(hosts)} hosts", "output": ""}


async def test_how_many_there_are_can_be_asked_of_a_system() -> None:
    rail = stored(guardrail("blast_radius", percent=50, of=COUNTED).rendered(SCOPE))
    world = ToldWorld(reads={"inventory.list": says("web-1", "web-2", "db-1")})
    met = await judged(rail, world, situation())
    assert (met.state, met.evidence) == (GuardrailState.MET, "1 target (web-1): 50 % of 2.")
    assert world.asked == [("inventory.list", {"region": "eu"})]
    world.reads["inventory.list"] = says("web-1", "db-1")
    assert (await judged(rail, world, situation())).state is GuardrailState.BLOCKED


async def test_a_count_that_cannot_be_read_is_waited_for_and_one_that_is_none_refused() -> None:
    rail = guardrail("blast_radius", percent=50, of=COUNTED).rendered(SCOPE)
    down = await judged(
        rail, ToldWorld(reads={"inventory.list": ActionError("it is down")}), situation()
    )
    assert (down.state, down.evidence) == (
        GuardrailState.WAITING,
        "How many there are could not be read: it is down",
    )
    other: dict[str, JsonValue] = {"values": {}, "summary": "", "output": ""}
    wrong = await judged(rail, ToldWorld(reads={"inventory.list": other}), situation())
    assert wrong.state is GuardrailState.BLOCKED
    assert "there is no 'hosts'" in wrong.evidence
    assert rail.evaluate(situation()).state is GuardrailState.WAITING, "nobody has looked"


def test_the_card_says_both_bounds() -> None:
    rail = guardrail("blast_radius", limit=5, percent=10, of=COUNTED)
    assert rail.describe() == "At most 5 targets and 10 % of what inventory.list counts"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "give a 'limit'"),
        ({"percent": 5}, "belong together"),
        ({"limit": 5, "of": 5}, "belong together"),
        ({"percent": 0, "of": 5}, "greater than 0"),
        ({"percent": 101, "of": 5}, "less than or equal to 100"),
        ({"limit": 0}, "greater than or equal to 1"),
        ({"percent": 5, "of": {**COUNTED, "count": "size("}}, "size"),
    ],
)
def test_a_radius_that_makes_no_sense_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        guardrail("blast_radius", **fields)
