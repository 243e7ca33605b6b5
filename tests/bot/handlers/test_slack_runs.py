"""Asking for a run, countersigning it and seeing its effect, as people do it in Slack."""

from __future__ import annotations

import json

import pytest

from bot import names
from tests.bot.handlers.world import ALICE, BOB, CAROL, DAVE, DEPLOYS, World
from tests.support.workspace import find_element, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_run_is_asked_for_by_command_and_its_card_shows_everything(world: World) -> None:
    answer = await world.pages[ALICE].command(
        DEPLOYS, '/ops run write-note file=shown.txt text="two words"'
    )

    assert answer["ok"], answer
    await world.whispered(ALICE, "Asked for run")
    card = await world.card(DEPLOYS, "shown.txt")
    shown = json.dumps(card["blocks"], ensure_ascii=False)
    for part in (
        "Countersign: Write a note",
        "A file holds a text.",
        "Write shown.txt with 9 characters",
        "+ two words",
        "typed by a person",
        "default of the workflow",
        "0 of 1 signed",
        "approver (@oncall)",
        "risk: change",
        "<!date^",
        "sha256:",
    ):
        assert part in shown, part
    assert not card["unfurl_links"]
    assert not card["unfurl_media"]
    assert not (world.effects / "shown.txt").exists()


async def test_the_requester_is_refused_and_somebody_else_countersigns(world: World) -> None:
    await world.pages[ALICE].command(DEPLOYS, "/ops run write-note file=four.txt text=eyes")
    card = await world.card(DEPLOYS, "four.txt")

    await world.pages[ALICE].press(card, names.APPROVE)
    await world.whispered(ALICE, "somebody else must countersign it (four eyes)")
    assert not (world.effects / "four.txt").exists()

    await world.pages[DAVE].press(card, names.APPROVE)
    await world.whispered(DAVE, "you need the role approver")
    assert not (world.effects / "four.txt").exists()

    await world.pages[BOB].press(card, names.APPROVE)
    await until((world.effects / "four.txt").exists, "the effect")
    done = await until(lambda: _says(world, card, "Done: Write a note"), "the card says so")
    assert (world.effects / "four.txt").read_text() == "eyes"
    shown = json.dumps(done["blocks"])
    assert "Wrote four.txt." in shown
    assert names.APPROVE not in shown


async def test_a_denial_by_reply_in_the_thread_ends_the_run_with_its_reason(world: World) -> None:
    await world.pages[ALICE].command(DEPLOYS, "/ops run write-note file=denied.txt text=x")
    card = await world.card(DEPLOYS, "denied.txt")

    await world.pages[BOB].say(DEPLOYS, "deny not during the sale", thread_ts=card["ts"])

    await world.whispered(BOB, "You denied run")
    denied = await until(lambda: _says(world, card, "Denied: Write a note"), "the card says so")
    assert "not during the sale" in json.dumps(denied["blocks"])


async def test_a_mention_in_the_thread_countersigns(world: World) -> None:
    asked = await world.pages[ALICE].say(
        DEPLOYS, "@countersign run write-note file=m.txt text=hello"
    )

    async def card() -> bool:
        replies = await world.pages[CAROL].replies(DEPLOYS, asked["ts"])
        return any(reply["text"].startswith("Countersign:") for reply in replies)

    await until(card, "the card in the thread")

    await world.pages[CAROL].say(DEPLOYS, "@countersign approve", thread_ts=asked["ts"])

    await until((world.effects / "m.txt").exists, "the effect")


async def test_what_is_destructive_asks_for_the_workflows_name(world: World) -> None:
    await world.pages[ALICE].command(DEPLOYS, "/ops run wipe-note file=wiped.txt text=gone")
    card = await world.card(DEPLOYS, "wiped.txt")
    _, button = find_element(card["blocks"], names.APPROVE_BY_PHRASE)
    assert button["style"] == "danger"

    await world.pages[BOB].press(card, names.APPROVE_BY_PHRASE)
    view = await until(lambda: _top_view(world, BOB), "the form")
    values = {"phrase": {"value": {"type": "plain_text_input", "value": "yes"}}}
    refused = await world.pages[BOB].post("submit", view_id=view["id"], values=values)
    assert "Type wipe-note" in refused["errors"]["phrase"]

    values["phrase"]["value"]["value"] = "wipe-note"
    taken = await world.pages[BOB].post("submit", view_id=view["id"], values=values)
    assert taken["ok"]
    await until((world.effects / "wiped.txt").exists, "the effect")


async def test_a_command_countersigns_by_the_beginning_of_the_id(world: World) -> None:
    await world.pages[ALICE].command(DEPLOYS, "/ops run wipe-note file=cmd.txt text=x")
    card = await world.card(DEPLOYS, "cmd.txt")
    _, button = find_element(card["blocks"], names.APPROVE_BY_PHRASE)
    run_id = button["value"]

    await world.pages[BOB].command(DEPLOYS, f"/ops approve {run_id[:8]}")
    await world.whispered(BOB, "Type wipe-note to confirm")
    await world.pages[BOB].command(DEPLOYS, f"/ops approve {run_id[:8]} wipe-note")

    await until((world.effects / "cmd.txt").exists, "the effect")


async def test_the_requester_cancels(world: World) -> None:
    await world.pages[ALICE].command(DEPLOYS, "/ops run write-note file=cancel.txt text=x")
    card = await world.card(DEPLOYS, "cancel.txt")

    await world.pages[BOB].press(card, names.CANCEL)
    await world.whispered(BOB, "To cancel another person's run you need the role lead")
    await world.pages[ALICE].press(card, names.CANCEL)

    await until(lambda: _says(world, card, "Cancelled: Write a note"), "the card says so")


async def test_who_may_not_start_is_told_which_role_is_missing(world: World) -> None:
    await world.pages[DAVE].command(DEPLOYS, "/ops run write-note file=dave.txt text=x")

    await world.whispered(DAVE, "To start write-note you need the role engineer")


async def test_hostile_arguments_are_shown_and_never_live(world: World) -> None:
    await world.pages[ALICE].command(
        DEPLOYS, '/ops run write-note file=h.txt text="<!channel> @here ```x``` *b*"'
    )
    card = await world.card(DEPLOYS, "h.txt")

    live = [text for text in _mrkdwn(card["blocks"]) if "channel" in text]
    assert live == []
    assert "<!" not in card["text"].replace("<!date", "")


async def _says(world: World, card: dict, words: str) -> dict | None:
    now = await world.message(card)
    return now if words in now["text"] else None


async def _top_view(world: World, user: str) -> dict | None:
    views = await world.pages[user].views()
    return views[-1] if views else None


def _mrkdwn(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["text"]] if value.get("type") in {"mrkdwn", "markdown"} else []
        return own + [text for inner in value.values() for text in _mrkdwn(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _mrkdwn(inner)]
    return []
