"""The modals of a run: everything about it, and breaking the glass."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bot.blocks.glass_form import BLOCK, glass_form, read_reason
from bot.blocks.run_details import run_details
from core.security.policy import BreakGlass
from core.workflows.run import RunState
from tests.bot.blocks.inspection import assert_inert, links, objects, shown
from tests.bot.blocks.samples import CARD, plan, run, staged

_VIEW_LIMIT = 250_001  # characters of JSON; Slack's own error message says so
_RULE = BreakGlass(roles=("lead",), channel="#incidents")


@pytest.mark.parametrize("state", list(RunState))
def test_the_details_are_inert_and_have_the_whole_plan(state: RunState) -> None:
    view = run_details(run(state), replace(CARD, glass=True), "https://acme.slack.example/p1")
    words = shown(view)

    assert_inert(view["blocks"])
    begun = state not in {RunState.AWAITING, RunState.APPROVED}
    assert f"What {'was signed' if begun else 'will run'}, exactly" in words
    assert "Where the values came from" in words
    assert plan().digest in words
    assert "https://acme.slack.example/p1" in links(view)
    assert "submit" not in view
    assert view["title"]["text"] == "Run a1b2c3d4e5f6"


def test_the_details_of_a_run_over_a_hundred_hosts_fit_with_their_output() -> None:
    made = staged(100)
    going = run(RunState.SUCCEEDED, "x", plan=made)
    steps = tuple(p.model_copy(update={"output": "é\n" * 3_000}) for p in going.steps)
    going = going.model_copy(update={"steps": steps})

    view = run_details(going, CARD, None)

    assert len(json.dumps(view)) < _VIEW_LIMIT
    assert len(view["blocks"]) <= 100


def test_before_it_began_the_details_show_no_progress() -> None:
    words = shown(run_details(run(RunState.AWAITING, "x"), CARD, None))

    assert "How far it is" not in words
    assert "Expires: " in words


def test_breaking_the_glass_says_what_gives_way_and_what_follows() -> None:
    view = glass_form(run(RunState.AWAITING), _RULE)
    words = shown(view)

    assert_inert(view["blocks"])
    assert "Countersigned by 2 people" in words
    assert "No freeze now." not in words
    assert "announced in #incidents" in words
    assert "somebody else must review it within 1 d" in words
    assert view["private_metadata"] == "a1b2c3d4e5f6"
    (field,) = [o for o in objects(view) if o.get("type") == "plain_text_input"]
    assert field["min_length"] == 10


def test_a_reason_is_read_from_its_form() -> None:
    assert read_reason({BLOCK: {"value": {"value": "  the shop is down "}}}) == "the shop is down"
    assert read_reason({}) == ""
