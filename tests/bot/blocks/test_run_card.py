"""The card of a run, in every state."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot import names
from bot.blocks.layout import TEXT_LIMIT, total
from bot.blocks.run_card import run_card
from bot.blocks.run_output import outputs
from bot.slack.fitting import fitted
from core.records import Provenance, Risk
from core.workflows.guardrails import Approval, GuardrailResult, GuardrailState
from core.workflows.needs import Need
from core.workflows.plan import PlannedArgument, PlannedEscalation
from core.workflows.run import Run, RunState
from core.workflows.signatures import Decision, Signature
from tests.bot.blocks.inspection import assert_inert, links, objects, people, shown
from tests.bot.blocks.samples import CARD, NOW, plan, run


def test_what_a_signer_must_know_is_on_the_card() -> None:
    card = run_card(run(RunState.AWAITING, "4f2a1c9"), CARD)
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


def test_a_dry_run_that_says_what_an_argument_says_is_not_told_twice() -> None:
    made = plan()
    step = made.steps[0].model_copy(update={"arguments": {"text": "Rolling out."}})
    steps = (step.model_copy(update={"preview": "Rolling out."}), *made.steps[1:])
    words = shown(
        run_card(run(RunState.AWAITING, plan=made.model_copy(update={"steps": steps})), CARD).blocks
    )

    assert "Dry run: as \ntext\n says." in words
    assert words.count("Rolling out.") == 1


def test_buttons_say_what_they_do_and_ask_again() -> None:
    card = run_card(run(RunState.AWAITING, "x"), CARD)
    buttons = {o["action_id"]: o for o in objects(card.blocks) if o.get("type") == "button"}

    assert list(buttons) == [names.APPROVE, names.DENY, names.CANCEL, names.DETAILS]
    assert all(button["value"] == "a1b2c3d4e5f6" for button in buttons.values())
    assert buttons[names.APPROVE]["style"] == "primary"
    assert "You sign exactly the plan" in buttons[names.APPROVE]["confirm"]["text"]["text"]
    assert buttons[names.DENY]["confirm"]["style"] == "danger"


def test_what_is_destructive_is_red() -> None:
    made = plan("x")
    steps = tuple(s.model_copy(update={"risk": Risk.DESTRUCTIVE}) for s in made.steps)
    card = run_card(
        run(RunState.AWAITING, "x", plan=made.model_copy(update={"steps": steps})), CARD
    )

    approve = next(o for o in objects(card.blocks) if o.get("action_id") == names.APPROVE)
    assert approve["style"] == approve["confirm"]["style"] == "danger"


def test_where_a_phrase_is_asked_for_the_form_is_the_confirmation() -> None:
    phrase = plan("x", guardrails=(Approval(needs=(Need(roles=("approver",)),), phrase=True),))
    card = run_card(run(RunState.AWAITING, "x", plan=phrase), CARD)

    approve = next(o for o in objects(card.blocks) if o.get("type") == "button")
    assert approve["action_id"] == names.APPROVE_BY_PHRASE
    assert "confirm" not in approve


_AFTER = [names.RERUN, names.DETAILS]


@pytest.mark.parametrize(
    ("state", "title", "actions"),
    [
        (RunState.APPROVED, "Approved, waits for its turn", [names.CANCEL, names.DETAILS]),
        (RunState.RUNNING, "Running", [names.CANCEL, names.DETAILS]),
        (
            RunState.ATTENTION,
            "A person must decide",
            [
                names.RESOLVE_DONE,
                names.RESOLVE_REPEAT,
                names.RESOLVE_STOP,
                names.CANCEL,
                names.DETAILS,
            ],
        ),
        (RunState.SUCCEEDED, "Done", _AFTER),
        (RunState.FAILED, "Failed", [names.RETRY, *_AFTER]),
        (RunState.DENIED, "Denied", _AFTER),
        (RunState.EXPIRED, "Expired", _AFTER),
        (RunState.CANCELLED, "Cancelled", _AFTER),
        (RunState.BLOCKED, "Stopped by a guardrail", _AFTER),
    ],
)
def test_each_state_has_its_title_and_its_buttons(
    state: RunState, title: str, actions: list[str]
) -> None:
    card = run_card(run(state, "x"), CARD)

    assert card.blocks[0]["text"]["text"] == f"{title}: Revert a commit"
    assert card.text.startswith(title)
    assert [o["action_id"] for o in objects(card.blocks) if o.get("type") == "button"] == actions
    if state.final:
        assert "Because x" in shown(card.blocks)


def test_progress_has_times_and_a_finished_step_its_result() -> None:
    running = shown(run_card(run(RunState.RUNNING, "x"), CARD).blocks)
    done = run_card(run(RunState.SUCCEEDED, "x"), CARD)

    assert "Running\n since \n2026-11-25 11:58 UTC" in running
    assert "✓ Done\n, 1 min 10 s" in shown(done.blocks)
    assert "Did x" in shown(done.blocks)
    assert "$ program" in shown(done.blocks)
    assert "In short: \n2 of 2 steps done in 1 min 10 s" in shown(done.blocks)
    assert links(done.blocks) == {"https://ci.example/job/1"}
    assert "Approved by " in shown(done.blocks)
    assert "2 of 2 steps done" in done.text


@pytest.mark.parametrize("state", list(RunState))
def test_hostile_text_is_shown_and_never_live(state: RunState) -> None:
    card = run_card(run(state), CARD)

    assert_inert(card.blocks, card.text)
    assert people(card.blocks) <= {"U0ALICE", "U0BOB"}
    assert "<!channel>" in shown(card.blocks)


@pytest.mark.parametrize("state", list(RunState))
def test_a_plan_of_fifty_long_steps_fits_into_one_message(state: RunState) -> None:
    long = run(state, "word " * 60, plan=plan("word " * 60, steps=50))
    card = run_card(long, CARD)

    blocks = fitted(card.blocks)
    assert total(blocks) <= TEXT_LIMIT
    assert len(blocks) <= 50
    if state is RunState.AWAITING:
        assert "the signature covers all of them" in shown(card.blocks)
        assert blocks[-1]["type"] == "actions"


def test_a_requester_who_is_no_person_is_text() -> None:
    card = run_card(run(RunState.AWAITING, "x", requester="trigger:ci-failed"), CARD)

    assert "trigger:ci-failed" in shown(card.blocks)
    assert people(card.blocks) == {"U0BOB"}


def test_where_the_policy_allows_it_the_menu_offers_to_break_the_glass() -> None:
    card = run_card(run(RunState.AWAITING, "x"), replace(CARD, glass=True))

    menu = next(o for o in objects(card.blocks) if o.get("type") == "overflow")
    values = [option["value"] for option in menu["options"]]
    assert values == ["details:a1b2c3d4e5f6", "glass:a1b2c3d4e5f6"]


def test_who_must_still_sign_goes_by_what_is_missing() -> None:
    both = (Need(roles=("approver",)), Need(roles=("lead",)))
    made = plan("x", guardrails=(Approval(needs=both),))
    waiting = run(RunState.AWAITING, "x", plan=made)

    at_first = shown(run_card(waiting, CARD).blocks)
    then = shown(run_card(waiting, replace(CARD, missing=both[1:])).blocks)

    assert "1 person with the role approver (@oncall), not the requester" in at_first
    assert "1 person with the role lead (@leads), not the requester" in at_first
    assert "approver (@oncall)" not in then
    assert "Who may countersign: \n1 person with the role lead (@leads)" in then


def test_in_a_sequence_the_card_says_who_comes_after() -> None:
    needs = (Need(roles=("approver",)), Need(roles=("lead",)))
    made = plan("x", guardrails=(Approval(needs=needs, sequential=True),))
    waiting = run(RunState.AWAITING, "x", plan=made)

    words = shown(run_card(waiting, replace(CARD, missing=needs[:1])).blocks)

    assert words.index("role approver (@oncall)") < words.index("then 1 person with the role lead")


def test_a_broken_glass_is_told_with_its_reason_and_what_gave_way() -> None:
    made = plan("x")
    broken = Signature(
        user="U0CAROL",
        digest=made.digest,
        decision=Decision.BREAK_GLASS,
        comment="the shop is down",
        at=NOW,
    )
    over = GuardrailResult(
        description="No freeze", state=GuardrailState.OVERRIDDEN, evidence="Frozen until Monday."
    )
    card = run_card(
        run(RunState.RUNNING, "x", plan=made, signatures=(broken,), guardrails=(over,)), CARD
    )
    words = shown(card.blocks)

    assert "Glass broken by " in words
    assert "the shop is down" in words
    assert "! Overridden by breaking the glass" in words
    assert people(card.blocks) == {"U0ALICE", "U0CAROL"}


def test_a_signature_on_behalf_names_both() -> None:
    made = plan("x")
    given = Signature(
        user="U0BOB", on_behalf="U0CAROL", digest=made.digest, decision=Decision.APPROVE, at=NOW
    )
    card = run_card(run(RunState.AWAITING, "x", plan=made, signatures=(given,)), CARD)

    assert " on behalf of " in shown(card.blocks)
    assert people(card.blocks) == {"U0ALICE", "U0BOB", "U0CAROL"}


def test_escalation_says_who_is_called_and_when() -> None:
    made = plan("x", escalation=PlannedEscalation(after_s=1800, roles=("lead", "cto")))

    words = shown(run_card(run(RunState.AWAITING, "x", plan=made), CARD).blocks)

    assert "lead after 30 min, cto after 1 h" in words


def test_a_model_written_value_that_somebody_confirmed_is_not_untrusted() -> None:
    confirmed = Provenance(kind="model", detail="summary", confirmed_by="U0BOB")
    made = plan("x", arguments={"commit": PlannedArgument(value="x", provenance=confirmed)})
    card = run_card(run(RunState.AWAITING, "x", plan=made, signatures=()), CARD)

    assert "model output, summary\n · confirmed by " in shown(card.blocks)
    assert "untrusted" not in shown(card.blocks).replace("Untrusted values", "")


def test_short_output_stands_on_the_card_and_makes_no_file() -> None:
    printed = outputs(_printing("one line\n"))

    assert printed.shown["s0"] == "one line"
    assert printed.file == ""


def test_long_output_is_short_on_the_card_and_whole_in_a_file() -> None:
    done = _printing("line\n" * 900 + "the end")
    printed = outputs(done)
    words = shown(run_card(done, replace(CARD, file=True)).blocks)

    assert printed.file.count("line") == 900
    assert "$ program" in printed.file
    assert words.count("\nline") < 12
    assert "… 889 lines left out …" in words
    assert "the end" in words
    assert f"The whole output is in this thread: {printed.name}" in words


def test_while_a_run_goes_on_there_is_no_file_yet() -> None:
    long = _printing("line\n" * 900).model_copy(update={"state": RunState.ATTENTION})

    assert outputs(long).shown
    assert outputs(long).file == ""


def test_a_file_with_other_content_has_another_name() -> None:
    assert outputs(_printing("a\n" * 99)).name != outputs(_printing("b\n" * 99)).name


def test_a_failed_run_from_which_something_was_taken_back_cannot_be_retried() -> None:
    made = plan("x")
    undone = made.steps[0].model_copy(update={"id": "s0.undo", "name": "Undo: Revert"})
    first = made.steps[0].model_copy(update={"undo": 2})
    made = made.model_copy(update={"steps": (first, made.steps[1], undone)})
    failed = run(RunState.FAILED, "x", plan=made)

    actions = [o.get("action_id") for o in objects(run_card(failed, CARD).blocks)]

    assert "Taken back" in shown(run_card(failed, CARD).blocks)
    assert names.RETRY not in actions
    assert names.RERUN in actions


def _printing(output: str) -> Run:
    """A run whose first step has printed that."""
    done = run(RunState.SUCCEEDED, "x")
    first = done.steps[0].model_copy(update={"output": output})
    second = done.steps[1].model_copy(update={"output": "$ program"})
    return done.model_copy(update={"steps": (first, second)})
