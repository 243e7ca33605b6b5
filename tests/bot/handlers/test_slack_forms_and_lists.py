"""The run form, the App Home, help and the lists that the command answers with."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from bot import names
from bot.blocks.help import VERBS
from tests.bot.handlers.world import ALICE, BOB, DEPLOYS, World
from tests.support.workspace import find_element, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_command_without_its_values_says_what_to_add_and_offers_a_form(
    world: World,
) -> None:
    await world.pages[ALICE].command(DEPLOYS, "/ops run write-note file=partly.txt")

    told = await world.whispered(ALICE, "write-note needs text (what to write in it): add text=")
    assert "/ops run write-note file=… text=… mode=careful" in json.dumps(
        told["blocks"], ensure_ascii=False
    )
    await world.pages[ALICE].press(told, names.OPEN_OFFER)
    view = await until(lambda: _top_view(world, ALICE), "the form")
    field = next(b for b in view["blocks"] if b.get("block_id") == "parameter:file")
    assert field["element"]["initial_value"] == "partly.txt"
    await world.pages[ALICE].post("close_view", view_id=view["id"])


async def test_the_form_has_an_input_of_the_right_kind_for_each_type(world: World) -> None:
    view = await _form_from_home(world)

    kinds = {b["block_id"]: b["element"]["type"] for b in view["blocks"] if b["type"] == "input"}
    assert kinds == {
        "parameter:file": "plain_text_input",
        "parameter:text": "plain_text_input",
        "parameter:mode": "static_select",
        "parameter:times": "number_input",
        "parameter:loud": "radio_buttons",
        "place": "channels_select",
    }
    await world.pages[ALICE].post("close_view", view_id=view["id"])


async def test_wrong_values_are_marked_in_the_form_and_right_ones_become_a_run(
    world: World,
) -> None:
    view = await _form_from_home(world)
    page = world.pages[ALICE]

    refused = await page.post("submit", view_id=view["id"], values=_values("NO GOOD", "3"))
    assert refused["response_action"] == "errors"
    assert "must match" in refused["errors"]["parameter:file"]

    taken = await page.post("submit", view_id=view["id"], values=_values("form.txt", "3"))
    assert taken["ok"], taken
    card = await world.card(DEPLOYS, "on form.txt")
    shown = json.dumps(card["blocks"])
    assert "quick" in shown
    assert "typed by a person, form, " in shown


async def test_the_home_shows_what_waits_for_me_and_not_what_i_asked_for(world: World) -> None:
    await world.pages[ALICE].command(DEPLOYS, "/ops run write-note file=home.txt text=x")
    await world.card(DEPLOYS, "on home.txt")

    theirs = json.dumps(await _home(world, BOB))
    assert "home.txt" in theirs
    assert "Nightly note" in theirs
    assert re.search(r"next \w{3} \d{4}-\d\d-\d\d 03:00 UTC", theirs)
    assert "Incident helper" in theirs
    assert "home.txt" not in json.dumps(await _home(world, ALICE))


async def test_every_verb_has_help_with_its_usage(world: World) -> None:
    for verb in VERBS:
        await world.pages[BOB].command(DEPLOYS, f"/ops help {verb.name}")
        told = await world.whispered(BOB, f"/ops {verb.usage}: {verb.summary}")
        for example in verb.examples:
            assert f"/ops {example}" in told["text"]


async def test_an_unknown_verb_gets_the_help(world: World) -> None:
    await world.pages[ALICE].command(DEPLOYS, "/ops frobnicate <!channel>")

    told = await world.whispered(ALICE, "There is no verb frobnicate")
    assert "/ops run WORKFLOW NAME=VALUE" in told["text"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("runs", "Latest runs"),
        ("workflows", "Write a note A file holds a text."),
        ("workflows write-note", "file: name of the file (string)"),
        ("assistants", "Incident helper Finds what helps"),
        ("schedules", "Nightly note runs write-note in #deploys"),
        ("models", "scripted-1 served"),
        ("status", "Models: ready (scripted)"),
        ("run", "Write a note"),
        ("runs 0000", "There is no run '0000'"),
        ("approve", "Say which run, by at least 4 characters of its id: approve RUN"),
        ("approve zzzz", "There is no run 'zzzz' here. Say which run, by at least 4"),
        ("run nothing-such a=b", "There is no workflow 'nothing-such'"),
        ('run write-note file="open', "A quotation mark is not closed"),
        ("run write-note just words", "'just' is not NAME=VALUE"),
        ("ask", "Say what you want to know"),
    ],
)
async def test_each_verb_answers_the_person_only(world: World, line: str, words: str) -> None:
    before = len(await world.pages[BOB].messages(DEPLOYS))

    await world.pages[BOB].command(DEPLOYS, f"/ops {line}")

    told = await world.whispered(BOB, words)
    assert told["ephemeral"]
    others = [m for m in await world.pages[ALICE].messages(DEPLOYS) if not m["ephemeral"]]
    assert len(others) <= before


async def test_opening_the_direct_messages_suggests_prompts(world: World) -> None:
    await world.pages[ALICE].post("opened")

    shown = await until(lambda: world.pages[ALICE].seen("suggested_prompts"), "prompts")
    assert "Why do pods restart?" in json.dumps(shown)


async def _form_from_home(world: World) -> dict[str, Any]:
    home = await _home(world, ALICE)
    block_id = "workflow:write-note"
    block = next(b for b in home["blocks"] if b.get("block_id") == block_id)
    _, button = find_element([block], names.OPEN_WORKFLOW)
    await world.pages[ALICE].post(
        "action",
        view_id=home["id"],
        block_id=block_id,
        action_id=button["action_id"],
        type="button",
    )
    return await until(lambda: _top_view(world, ALICE), "the form")


async def _home(world: World, user: str) -> dict[str, Any]:
    page = world.pages[user]
    seen = len(page.seen("home_published"))
    await page.get("home")
    published = await until(lambda: page.seen("home_published")[seen:], "the home tab")
    return published[-1]["view"]


async def _top_view(world: World, user: str) -> dict[str, Any] | None:
    views = await world.pages[user].views()
    return views[-1] if views else None


def _values(file: str, times: str) -> dict[str, Any]:
    quick = {"value": "1", "text": {"type": "plain_text", "text": "quick"}}
    return {
        "parameter:file": {"value": {"type": "plain_text_input", "value": file}},
        "parameter:text": {"value": {"type": "plain_text_input", "value": "from the form"}},
        "parameter:mode": {"value": {"type": "static_select", "selected_option": quick}},
        "parameter:times": {"value": {"type": "number_input", "value": times}},
        "place": {"value": {"type": "channels_select", "selected_channel": DEPLOYS}},
    }
