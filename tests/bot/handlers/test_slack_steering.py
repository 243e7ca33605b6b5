"""What people do with runs that go on, fail or wait for them, as they do it in Slack."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot import names
from bot.slack.messenger import RUN_KEY
from tests.bot.handlers.world import ALICE, BOB, CAROL, DAVE, DEPLOYS, World
from tests.support.workspace import find_element, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_manual_step_is_confirmed_by_who_may_and_a_failed_step_is_retried(
    world: World,
) -> None:
    card = await _careful(world, "manual.txt", "by-hand.txt")
    waiting = await _shows(world, card, "Waits for a person: Write a note with care")
    shown = json.dumps(waiting["blocks"])
    assert "Read the file." in shown
    assert "Wrote manual.txt." in shown

    async def called() -> list[dict[str, Any]]:
        replies = await world.pages[BOB].replies(DEPLOYS, card["ts"])
        return [reply for reply in replies if "<!subteam^S0SRELEADS>" in reply["text"]]

    (call,) = await until(called, "who may confirm is called")
    assert "Look at it: Read the file." in call["text"]
    await world.pages[BOB].press(waiting, names.STEP_DONE)
    await world.whispered(BOB, "you need the role lead")
    await world.pages[CAROL].press(waiting, names.STEP_DONE)

    failed = await _shows(world, card, "Failed: Write a note with care")
    assert "by-hand.txt is not there." in json.dumps(failed["blocks"])
    (world.effects / "by-hand.txt").touch()
    await world.pages[ALICE].press(failed, names.RETRY)
    done = await _shows(world, card, "Done: Write a note with care")
    shown = json.dumps(done["blocks"])
    assert "attempt 2" in shown
    assert "3 of 3 steps done in" in shown
    assert len(await called()) == 1
    assert names.RETRY not in shown


async def test_long_output_follows_once_as_a_file_in_the_thread(world: World) -> None:
    (world.effects / "long.txt").touch()
    card = await _careful(world, "output.txt", "long.txt")
    waiting = await _shows(world, card, "Waits for a person")
    await world.pages[CAROL].press(waiting, names.STEP_DONE)

    done = await _shows(world, card, "Done: Write a note with care")
    replies = await world.pages[ALICE].replies(DEPLOYS, card["ts"])
    files = [file for reply in replies for file in reply.get("files", [])]
    assert len(files) == 1
    name = files[0]["name"]
    assert f"The whole output is in this thread: {name}" in json.dumps(done["blocks"])
    assert "lines left out" in json.dumps(done["blocks"], ensure_ascii=False)


async def test_a_reply_says_that_a_manual_step_was_not_done_and_why(world: World) -> None:
    card = await _careful(world, "reply.txt", "never.txt")
    await _shows(world, card, "Waits for a person")

    await world.pages[CAROL].say(DEPLOYS, "confirm no it is empty", thread_ts=card["ts"])

    await world.whispered(CAROL, "was not done")
    failed = await _shows(world, card, "Failed: Write a note with care")
    assert "it is empty" in json.dumps(failed["blocks"])


async def test_a_command_retries_and_says_why_it_cannot(world: World) -> None:
    card = await _asked(world, "write-note file=whole.txt text=x")
    run_id = _run_of(card)

    await world.pages[ALICE].command(DEPLOYS, f"/ops retry {run_id}")

    await world.whispered(ALICE, "only a failed one can go on")


async def test_the_details_open_as_a_modal_with_everything(world: World) -> None:
    card = await _asked(world, "write-note file=details.txt text=hello")
    key = RUN_KEY + _run_of(card)
    await until(lambda: world.services.messenger.posted(key), "it is known where the card stands")
    view = await _from_menu(world, BOB, card, names.MENU_DETAILS)
    shown = json.dumps(view)
    assert view["title"]["text"] == f"Run {_run_of(card)}"
    for part in ("What will run, exactly", "Go to its message", "sha256:", "details.txt"):
        assert part in shown, part
    await world.pages[BOB].post("close_view", view_id=view["id"])


async def test_who_may_not_see_a_run_sees_neither_its_details_nor_its_card(world: World) -> None:
    card = await _asked(world, "write-note file=unseen.txt text=secret")
    block_id, menu = find_element(card["blocks"], names.MENU)
    await world.pages[DAVE].post(
        "action",
        channel=card["channel"],
        message_ts=card["ts"],
        block_id=block_id,
        action_id=names.MENU,
        type="overflow",
        selected_option=menu["options"][0],
    )
    await world.whispered(DAVE, "To see this run you need the role")
    assert await world.pages[DAVE].views() == []

    await world.pages[DAVE].command(DEPLOYS, f"/ops runs {_run_of(card)}")
    await world.pages[DAVE].command(DEPLOYS, "/ops runs")
    told = await world.whispered(DAVE, "No run yet that you may see.")
    assert "unseen.txt" not in json.dumps(told)


async def test_the_glass_is_broken_with_a_reason_and_stands_open_for_review(world: World) -> None:
    card = await _asked(world, "write-note file=glass.txt text=now")
    view = await _from_menu(world, CAROL, card, names.MENU_GLASS)
    assert "announced in #incidents" in json.dumps(view)

    reason = {"reason": {"value": {"type": "plain_text_input", "value": "the shop is down now"}}}
    taken = await world.pages[CAROL].post("submit", view_id=view["id"], values=reason)
    assert taken["ok"], taken

    await until((world.effects / "glass.txt").exists, "the effect")
    done = await _shows(world, card, "Done: Write a note")
    shown = json.dumps(done["blocks"])
    assert "Glass broken by" in shown
    assert "the shop is down now" in shown
    await world.pages[BOB].command(DEPLOYS, "/ops reviews")
    listed = await world.whispered(BOB, "To be reviewed")
    assert _run_of(card) in json.dumps(listed)
    assert "Review write-note" in json.dumps(await _home(world, BOB))
    assert "Review write-note" not in json.dumps(await _home(world, CAROL))
    await world.pages[CAROL].command(DEPLOYS, f"/ops reviews {_run_of(card)} it was fine, really")
    await world.whispered(CAROL, "Somebody else must review it")
    await world.pages[BOB].command(DEPLOYS, f"/ops reviews {_run_of(card)} it was needed at night")
    await world.whispered(BOB, "is closed with what you found")


async def test_who_may_not_break_the_glass_gets_no_form(world: World) -> None:
    card = await _asked(world, "write-note file=firm.txt text=x")
    block_id, menu = find_element(card["blocks"], names.MENU)
    await world.pages[BOB].post(
        "action",
        channel=card["channel"],
        message_ts=card["ts"],
        block_id=block_id,
        action_id=names.MENU,
        type="overflow",
        selected_option=menu["options"][1],
    )

    await world.whispered(BOB, "To break the glass you need the role lead")
    assert await world.pages[BOB].views() == []


@pytest.mark.parametrize("line", ["run", "workflows"])
async def test_who_may_see_no_workflow_is_told_of_none(world: World, line: str) -> None:
    await world.pages[DAVE].command(DEPLOYS, f"/ops {line}")
    told = await world.whispered(DAVE, "There is no workflow that you may see here")
    assert "write-note" not in told["text"]


async def test_a_run_is_asked_for_again_with_changes(world: World) -> None:
    card = await _asked(world, "write-note file=first.txt text=one")
    await world.pages[BOB].press(card, names.APPROVE)
    done = await _shows(world, card, "Done: Write a note")

    await world.pages[ALICE].press(done, names.RERUN)
    view = await until(lambda: _top_view(world, ALICE), "the form")
    fields = {b["block_id"]: b["element"] for b in view["blocks"] if b["type"] == "input"}
    assert fields["parameter:file"]["initial_value"] == "first.txt"
    values = {
        "parameter:file": {"value": {"type": "plain_text_input", "value": "second.txt"}},
        "parameter:text": {"value": {"type": "plain_text_input", "value": "one"}},
        "parameter:times": {"value": {"type": "number_input", "value": "1"}},
    }
    taken = await world.pages[ALICE].post("submit", view_id=view["id"], values=values)
    assert taken["ok"], taken

    again = await world.card(DEPLOYS, "on second.txt")
    shown = json.dumps(again["blocks"])
    assert "typed by a person, form, " in shown
    assert "typed by a person, /ops run, " in shown


async def test_runs_are_narrowed_and_opened_from_the_list(world: World) -> None:
    card = await _asked(world, "wipe-note file=listed.txt text=x")
    await world.pages[BOB].command(DEPLOYS, "/ops runs state=awaiting workflow=wipe-note")
    listed = await world.whispered(BOB, f"Latest runs: {_run_of(card)}")
    assert "Write a note" not in json.dumps(listed["blocks"])
    block_id, menu = find_element(listed["blocks"], names.OPEN_RUN)
    await world.pages[BOB].post(
        "action",
        channel=listed["channel"],
        message_ts=listed["ts"],
        block_id=block_id,
        action_id=names.OPEN_RUN,
        type="static_select",
        selected_option=menu["options"][0],
    )
    view = await until(lambda: _top_view(world, BOB), "the details")
    assert "Wipe a note" in json.dumps(view)
    await world.pages[BOB].post("close_view", view_id=view["id"])
    await world.pages[BOB].command(DEPLOYS, "/ops runs state=happy")
    await world.whispered(BOB, "There is no state 'happy'")


async def test_a_long_list_has_pages(world: World) -> None:
    for number in range(11):
        card = await _asked(world, f"write-note file=page{number}.txt text=x")
    await world.pages[BOB].command(DEPLOYS, "/ops runs workflow=write-note")
    first = await world.whispered(BOB, f"Latest runs: {_run_of(card)}")
    await world.pages[BOB].press(first, names.RUNS_OLDER)
    second = await world.whispered(BOB, "Older runs: ")

    on_both = [_ids(first), _ids(second)]
    assert len(on_both[0]) == 10
    assert on_both[1]
    assert not on_both[0] & on_both[1]


async def test_somebody_stands_in_while_a_person_is_away_and_no_longer(world: World) -> None:
    await world.pages[CAROL].command(DEPLOYS, "/ops away @dave for 2d")
    told = await world.whispered(CAROL, "stands in for you")
    assert DAVE in json.dumps(told["blocks"])
    await world.pages[DAVE].command(DEPLOYS, "/ops away")
    await world.whispered(DAVE, "You stand in for")

    await world.pages[CAROL].command(DEPLOYS, "/ops away back")
    await world.whispered(CAROL, "Nobody stands in for you any more.")
    await world.pages[CAROL].command(DEPLOYS, "/ops away yesterday")
    await world.whispered(CAROL, "Name a person of this workspace")


async def test_a_mention_with_a_filter_is_a_command_and_a_question_stays_one(
    world: World,
) -> None:
    await world.pages[BOB].say(DEPLOYS, "@countersign runs state=open")
    await world.whispered(BOB, "Latest runs: ")
    world.assistants.asked.clear()
    await world.pages[BOB].say(DEPLOYS, "@countersign runs of the nightly job fail, why?")

    asked = await until(lambda: world.assistants.asked, "a question")
    assert asked[0].text == "runs of the nightly job fail, why?"


async def test_the_policy_is_explained_to_who_asks(world: World) -> None:
    await world.pages[BOB].command(DEPLOYS, "/ops policy write-note")
    told = await world.whispered(BOB, "write-note in #deploys")
    shown = json.dumps(told["blocks"])
    assert "may approve" in shown
    assert "may not administer" in shown

    await world.pages[DAVE].command(DEPLOYS, "/ops policy write-note @bob")
    await world.whispered(DAVE, "To ask about other people you need the role")
    await world.pages[DAVE].command(DEPLOYS, "/ops policy no-such-thing")
    await world.whispered(DAVE, "There is no workflow 'no-such-thing'")


async def test_the_home_has_the_steps_that_wait_for_a_person(world: World) -> None:
    card = await _careful(world, "home-step.txt", "never.txt")
    await _shows(world, card, "Waits for a person")

    assert "Look at it" in json.dumps(await _home(world, CAROL))
    assert "Look at it" not in json.dumps(await _home(world, BOB))


async def _asked(world: World, request: str) -> dict[str, Any]:
    """The card of a new run."""
    target = request.split("file=")[1].split()[0]
    await world.pages[ALICE].command(DEPLOYS, f"/ops run {request}")
    return await world.card(DEPLOYS, f"on {target}")


async def _careful(world: World, file: str, checked: str) -> dict[str, Any]:
    """The card of a run with a manual step, countersigned."""
    card = await _asked(world, f"careful-note file={file} text={checked}")
    await world.pages[BOB].press(card, names.APPROVE)
    return card


async def _shows(world: World, card: dict[str, Any], words: str) -> dict[str, Any]:
    async def now() -> dict[str, Any] | None:
        message = await world.message(card)
        return message if words in message["text"] else None

    return await until(now, f"the card says {words!r}")


async def _from_menu(
    world: World, user: str, card: dict[str, Any], beginning: str
) -> dict[str, Any]:
    """The modal that an entry of the card's menu opens."""
    block_id, menu = find_element(card["blocks"], names.MENU)
    option = next(o for o in menu["options"] if o["value"].startswith(beginning))
    await world.pages[user].post(
        "action",
        channel=card["channel"],
        message_ts=card["ts"],
        block_id=block_id,
        action_id=names.MENU,
        type="overflow",
        selected_option=option,
    )
    return await until(lambda: _top_view(world, user), "the modal")


async def _home(world: World, user: str) -> dict[str, Any]:
    page = world.pages[user]
    seen = len(page.seen("home_published"))
    await page.get("home")
    published = await until(lambda: page.seen("home_published")[seen:], "the home tab")
    return published[-1]["view"]


async def _top_view(world: World, user: str) -> dict[str, Any] | None:
    views = await world.pages[user].views()
    return views[-1] if views else None


def _run_of(card: dict[str, Any]) -> str:
    """The id that the card's buttons carry."""
    _, button = find_element(card["blocks"], names.CANCEL)
    return str(button["value"])


def _ids(listed: dict[str, Any]) -> set[str]:
    _, menu = find_element(listed["blocks"], names.OPEN_RUN)
    return {option["value"] for option in menu["options"]}
