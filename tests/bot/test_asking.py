"""Who is called when a run waits for a person, and how often its card changes."""

from __future__ import annotations

from datetime import timedelta

from bot.slack.asking import askings
from bot.slack.presenter import pause_s
from core.workflows.run import Run, RunState, StepState
from tests.bot.blocks.samples import NOW, progressed, run, staged
from tests.bot.handlers.world import policy


def waiting(state: RunState, **states: StepState) -> Run:
    """A run with steps in these states, by id."""
    made = staged(1)
    return run(state, "x", plan=made, steps=progressed(made, states))


def test_a_manual_step_calls_its_roles_with_what_is_to_be_done() -> None:
    (asked,) = askings(waiting(RunState.ATTENTION, look=StepState.WAITING), policy())

    assert asked.groups == ("sre-leads",)
    assert asked.text.startswith("Look: Look at the dashboard.")


def test_it_calls_while_other_branches_still_go_on() -> None:
    assert list(askings(waiting(RunState.RUNNING, look=StepState.WAITING), policy()))


def test_a_step_that_was_cut_off_calls_those_who_countersign() -> None:
    (asked,) = askings(waiting(RunState.ATTENTION, build=StepState.UNKNOWN), policy())

    assert (asked.groups, asked.users) == (("oncall",), ("U0ALICE",))
    assert "Build was cut off" in asked.text


def test_the_same_question_has_the_same_key_and_the_next_attempt_another() -> None:
    asked = waiting(RunState.ATTENTION, look=StepState.WAITING)
    again = asked.model_copy(
        update={"steps": tuple(s.model_copy(update={"attempts": 2}) for s in asked.steps)}
    )

    keys = [next(askings(one, policy())).key for one in (asked, asked, again)]

    assert keys[0] == keys[1]
    assert keys[1] != keys[2]


def test_a_run_that_has_ended_calls_nobody() -> None:
    assert not list(askings(waiting(RunState.CANCELLED, look=StepState.WAITING), policy()))


def test_the_card_of_a_long_run_changes_at_most_every_three_seconds() -> None:
    going = run(RunState.RUNNING, "x")  # since 75 s before NOW
    early = NOW - timedelta(seconds=73)

    assert pause_s(going, NOW) == 3.0
    assert pause_s(going, early) == 0.25
    assert pause_s(run(RunState.SUCCEEDED, "x"), NOW) == 0.0
    assert pause_s(run(RunState.AWAITING, "x"), NOW) == 0.0
