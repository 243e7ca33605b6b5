"""Steps of every kind on the card: as they will run, and how far they are."""

from __future__ import annotations

from datetime import timedelta
from itertools import cycle

import pytest

from bot import names
from bot.blocks.layout import TEXT_LIMIT, total
from bot.blocks.run_buttons import read_cut_off_value, read_step_value
from bot.blocks.run_card import run_card
from bot.blocks.run_details import run_details
from bot.slack.fitting import fitted
from core.workflows.run import RunState, StepProgress, StepState
from core.workflows.steering import CutOff
from tests.bot.blocks.inspection import assert_inert, objects, shown
from tests.bot.blocks.samples import CARD, HOSTILE, NOW, progressed, run, staged

_DONE = {
    "build": StepState.SUCCEEDED,
    "test": StepState.SUCCEEDED,
    "scan": StepState.SUCCEEDED,
    "deploy[web-1]": StepState.SUCCEEDED,
    "check[web-1]": StepState.SUCCEEDED,
}


def test_a_plan_tells_groups_conditions_retries_waits_and_who_confirms() -> None:
    words = shown(run_card(run(RunState.AWAITING, "x", plan=staged(6)), CARD).blocks)

    for part in (
        "1. \nBuild",
        "Only if parameters.force",
        "Up to 3 attempts, the second after 10 s, each further one after twice as long",
        "2. \nAt the same time",
        "3. \nFor each of 6: web-1, web-2, web-3, web-4, web-5, web-6 · 2 at once, 30 s between",
        "4. \nSettle\n · wait 10 min",
        "5. \nLook\n · a person does this",
        "Somebody with the role lead confirms it.",
        "If a step fails, what was done is taken back, last first",
        "Undo: Deploy (web-1)\n: \nhost.restore",
        "The same for web-2, web-3, web-4, web-5, web-6, in the place of web-1\nAfter a failure",
        "chat.post",
    ):
        assert part in words, part


def test_items_that_differ_in_the_item_only_are_told_once() -> None:
    made = staged(6)
    words = shown(run_card(run(RunState.AWAITING, "x", plan=made), CARD).blocks)

    assert "Deploy (web-1)" in words
    assert "The same for web-2, web-3, web-4, web-5, web-6, in the place of web-1" in words
    assert "Deploy (web-4)" not in words


def test_an_item_that_differs_otherwise_stands_for_itself() -> None:
    made = staged(6)
    odd = next(at for at, step in enumerate(made.steps) if step.id == "deploy[web-4]")
    steps = list(made.steps)
    steps[odd] = steps[odd].model_copy(update={"arguments": {"host": "web-4", "force": True}})
    made = made.model_copy(update={"steps": tuple(steps)})

    words = shown(run_card(run(RunState.AWAITING, "x", plan=made), CARD).blocks)

    assert "Deploy (web-4)" in words
    assert "The same for web-2, web-3, web-5, web-6, in the place of web-1" in words


def test_of_a_long_rollout_only_what_is_at_work_stands_alone() -> None:
    made = staged(6)
    states = _DONE | {"deploy[web-2]": StepState.RUNNING, "deploy[web-3]": StepState.FAILED}
    going = run(RunState.RUNNING, "x", plan=made, steps=progressed(made, states))

    words = shown(run_card(going, CARD).blocks)

    assert "web-1 · Done" in words
    assert "Deploy (web-1)" not in words
    assert "Deploy (web-2)\n · \nRunning" in words
    assert "Deploy (web-3)\n · \n✕ Failed" in words
    assert "web-4, web-5, web-6 · Not begun" in words
    assert "5 of 17 steps done" in run_card(going, CARD).text


def test_waits_say_until_when_and_retries_which_attempt_comes() -> None:
    made = staged(1)
    due = {"due_at": NOW + timedelta(minutes=10)}
    waiting = run(
        RunState.RUNNING,
        "x",
        plan=made,
        steps=progressed(
            made,
            {"build": StepState.WAITING, "settle": StepState.WAITING},
            build=due | {"attempts": 2},
            settle=due,
        ),
    )
    card = run_card(waiting, CARD)

    assert "Tried again \n2026-11-25 12:10 UTC\n, attempt 2 of 3" in shown(card.blocks)
    assert "Waits until \n2026-11-25 12:10 UTC" in shown(card.blocks)
    dates = [o for o in objects(card.blocks) if o.get("type") == "date"]
    assert {date["timestamp"] for date in dates[:2]} == {int(due["due_at"].timestamp())}


def test_a_manual_step_shows_its_values_and_its_two_buttons() -> None:
    made = staged(1)
    states = {"look": StepState.WAITING}
    asked = run(RunState.ATTENTION, "x", plan=made, steps=progressed(made, states))
    card = run_card(asked, CARD)
    buttons = {o["action_id"]: o for o in objects(card.blocks) if o.get("type") == "button"}

    assert "Waits for a person: Revert a commit" in shown(card.blocks)
    assert "Waits for a person\n" in shown(card.blocks)
    assert "Look at the dashboard." in shown(card.blocks)
    assert "dashboard\n: \nerrors" in shown(card.blocks)
    assert "To be done by a person: Look at the dashboard." in card.text
    assert read_step_value(buttons[names.STEP_DONE]["value"]) == (asked.id, "look")
    assert buttons[names.STEP_NOT_DONE]["confirm"]["style"] == "danger"
    assert names.RESOLVE_DONE not in buttons


def test_of_several_steps_that_were_cut_off_the_buttons_are_about_the_first() -> None:
    made = staged(1)
    states = {"test": StepState.UNKNOWN, "scan": StepState.UNKNOWN}
    asked = run(RunState.ATTENTION, "x", plan=made, steps=progressed(made, states))
    card = run_card(asked, CARD)
    done = next(o for o in objects(card.blocks) if o.get("action_id") == names.RESOLVE_DONE)

    assert "2 steps were cut off. First, about: Test" in shown(card.blocks)
    assert read_cut_off_value(done["value"]) == (asked.id, CutOff("test", 1))


def test_who_confirmed_a_step_is_named() -> None:
    made = staged(1)
    steps = progressed(made, {"look": StepState.SUCCEEDED}, look={"by": "U0BOB"})
    words = run_card(run(RunState.RUNNING, "x", plan=made, steps=steps), CARD)

    assert "U0BOB" in [o.get("user_id") for o in objects(words.blocks)]


def test_what_was_taken_back_and_what_followed_have_their_sections() -> None:
    made = staged(1)
    states = _DONE | {
        "check[web-1]": StepState.FAILED,
        "deploy[web-1].undo": StepState.SUCCEEDED,
        "tell": StepState.SUCCEEDED,
    }
    failed = run(RunState.FAILED, "x", plan=made, steps=progressed(made, states))

    words = shown(run_card(failed, CARD).blocks)

    assert words.index("Check (web-1)") < words.index("Taken back") < words.index("Undo: Deploy")
    assert words.index("Undo: Deploy") < words.index("After the failure") < words.index("Tell")
    assert "4 of 7 steps done" in words


@pytest.mark.parametrize("state", list(RunState))
def test_hostile_names_items_and_conditions_stay_text(state: RunState) -> None:
    made = staged(3)
    steps = tuple(
        step.model_copy(
            update={
                "name": HOSTILE[:120],
                "description": HOSTILE,
                "when": HOSTILE,
                "roles": (HOSTILE,),
                "each": HOSTILE if step.each else None,
                "untrusted": (HOSTILE,),
            }
        )
        for step in made.steps
    )
    made = made.model_copy(update={"steps": steps})
    progress = tuple(
        StepProgress(
            step_id=step.id, state=now, attempts=2, summary=HOSTILE, output=HOSTILE, by=HOSTILE
        )
        for step, now in zip(steps, cycle(StepState), strict=False)
    )
    hostile = run(state, plan=made, steps=progress)

    assert_inert(run_card(hostile, CARD).blocks, run_card(hostile, CARD).text)
    assert_inert(run_details(hostile, CARD, None)["blocks"])


def test_a_rollout_over_a_hundred_hosts_fits_while_half_of_them_are_at_work() -> None:
    made = staged(100)
    states = {f"deploy[web-{n}]": StepState.RUNNING for n in range(1, 100, 2)}
    for state in (RunState.AWAITING, RunState.RUNNING, RunState.ATTENTION):
        going = run(state, "x", plan=made, steps=progressed(made, states))
        card = run_card(going, CARD)

        assert total(fitted(card.blocks)) <= TEXT_LIMIT
        assert card.blocks[-1]["type"] == "actions"
