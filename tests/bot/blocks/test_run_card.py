"""The card of a run, in every state."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot import names
from bot.blocks.layout import TEXT_LIMIT, total
from bot.blocks.run_card import run_card
from bot.slack.fitting import fitted
from core.records import Risk
from core.workflows.guardrails import Approval
from core.workflows.run import RunState
from tests.bot.blocks.inspection import assert_inert, links, objects, people, shown
from tests.bot.blocks.samples import NOW, ROLES, plan, run


def test_what_a_signer_must_know_is_on_the_card() -> None:
    card = run_card(run(RunState.AWAITING, "4f2a1c9"), NOW, ROLES)
    words = shown(card.blocks)

    for part in (
        "Countersign: Revert a commit",
        "The broken commit is reverted.",
        "GitHub: CI failed on 4f2a1c9",
        "production",
        "risk: change",
        "Revert 4f2a1c9",
        "git.revert",
        '{"force": false}',
        "Untrusted values in this step: commit",
        "+ 4f2a1c9",
        "webhook field, github head_sha",
        "model output, summary",
        "typed by a person, /ops run, ",
        "Countersigned by 2 people with the role approver",
        "1 of 2 signed (",
        "No freeze now.",
        "2 people with the role approver (@oncall), not the requester",
        "Run `a1b2c3d4e5f6`",
        f"plan `{plan('4f2a1c9').digest[:19]}…`",
        "|2026-11-25 15:55 UTC>",
    ):
        assert part in words, part
    assert words.count("untrusted") == 2
    assert people(card.blocks) == {"U0ALICE", "U0BOB"}


def test_buttons_say_what_they_do_and_ask_again() -> None:
    card = run_card(run(RunState.AWAITING, "x"), NOW, ROLES)
    buttons = {o["action_id"]: o for o in objects(card.blocks) if o.get("type") == "button"}

    assert list(buttons) == [names.APPROVE, names.DENY, names.CANCEL]
    assert all(button["value"] == "a1b2c3d4e5f6" for button in buttons.values())
    assert buttons[names.APPROVE]["style"] == "primary"
    assert "You sign exactly the plan" in buttons[names.APPROVE]["confirm"]["text"]["text"]
    assert buttons[names.DENY]["confirm"]["style"] == "danger"


def test_what_is_destructive_is_red() -> None:
    made = plan("x")
    steps = tuple(s.model_copy(update={"risk": Risk.DESTRUCTIVE}) for s in made.steps)
    card = run_card(
        run(RunState.AWAITING, "x", plan=made.model_copy(update={"steps": steps})), NOW, ROLES
    )

    approve = next(o for o in objects(card.blocks) if o.get("action_id") == names.APPROVE)
    assert approve["style"] == approve["confirm"]["style"] == "danger"


def test_where_a_phrase_is_asked_for_the_form_is_the_confirmation() -> None:
    phrase = plan("x", guardrails=(Approval(roles=("approver",), phrase=True),))
    card = run_card(run(RunState.AWAITING, "x", plan=phrase), NOW, ROLES)

    approve = next(o for o in objects(card.blocks) if o.get("type") == "button")
    assert approve["action_id"] == names.APPROVE_BY_PHRASE
    assert "confirm" not in approve


@pytest.mark.parametrize(
    ("state", "title", "actions"),
    [
        (RunState.APPROVED, "Approved, about to begin", [names.CANCEL]),
        (RunState.RUNNING, "Running", [names.CANCEL]),
        (
            RunState.ATTENTION,
            "A person must decide",
            [names.RESOLVE_DONE, names.RESOLVE_REPEAT, names.RESOLVE_STOP],
        ),
        (RunState.SUCCEEDED, "Done", []),
        (RunState.FAILED, "Failed", []),
        (RunState.DENIED, "Denied", []),
        (RunState.EXPIRED, "Expired", []),
        (RunState.CANCELLED, "Cancelled", []),
        (RunState.BLOCKED, "Stopped by a guardrail", []),
    ],
)
def test_each_state_has_its_title_and_its_buttons(
    state: RunState, title: str, actions: list[str]
) -> None:
    card = run_card(run(state, "x"), NOW, ROLES)

    assert card.blocks[0]["text"]["text"] == f"{title}: Revert a commit"
    assert card.text.startswith(title)
    assert [o["action_id"] for o in objects(card.blocks) if o.get("type") == "button"] == actions
    if state.final:
        assert "Because x" in shown(card.blocks)


def test_progress_has_times_and_a_finished_step_its_result() -> None:
    running = shown(run_card(run(RunState.RUNNING, "x"), NOW, ROLES).blocks)
    done = run_card(run(RunState.SUCCEEDED, "x"), NOW, ROLES)

    assert "Running, for 1 min 15 s" in running
    assert "Done, 1 min 10 s" in shown(done.blocks)
    assert "Did x" in shown(done.blocks)
    assert "$ program" in shown(done.blocks)
    assert links(done.blocks) == {"https://ci.example/job/1"}
    assert "Approved by " in shown(done.blocks)
    assert "2 of 2 steps done" in done.text


@pytest.mark.parametrize("state", list(RunState))
def test_hostile_text_is_shown_and_never_live(state: RunState) -> None:
    card = run_card(run(state), NOW, ROLES)

    assert_inert(card.blocks, card.text)
    assert people(card.blocks) <= {"U0ALICE", "U0BOB"}
    assert "<!channel>" in shown(card.blocks)


@pytest.mark.parametrize("state", list(RunState))
def test_a_plan_of_fifty_long_steps_fits_into_one_message(state: RunState) -> None:
    long = run(state, "word " * 60, plan=plan("word " * 60, steps=50))
    card = run_card(long, NOW, ROLES)

    blocks = fitted(card.blocks)
    assert total(blocks) <= TEXT_LIMIT
    assert len(blocks) <= 50
    if state is RunState.AWAITING:
        assert "the signature covers all of them" in shown(card.blocks)
        assert blocks[-1]["type"] == "actions"


def test_a_requester_who_is_no_person_is_text() -> None:
    card = run_card(run(RunState.AWAITING, "x", requester="trigger:ci-failed"), NOW, ROLES)

    assert "trigger:ci-failed" in shown(card.blocks)
    assert people(card.blocks) == {"U0BOB"}


def test_the_same_run_is_drawn_the_same() -> None:
    one = run_card(run(RunState.AWAITING, "x"), NOW, ROLES)
    two = run_card(run(RunState.AWAITING, "x"), NOW + timedelta(seconds=9), ROLES)

    assert one == two
