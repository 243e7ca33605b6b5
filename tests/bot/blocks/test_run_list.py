"""Lists of runs: what narrows them, a page, and opening one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot import names
from bot.blocks.run_filter import PAGE, RunFilter
from bot.blocks.run_list import run_list
from core.errors import InvalidRequestError
from core.workflows.run import RunState
from tests.bot.blocks.inspection import assert_inert, objects, people, shown
from tests.bot.blocks.samples import NOW, run

EVERYTHING = RunFilter()


def test_what_follows_runs_is_read() -> None:
    typed = "mine state=failed,blocked workflow=revert-commit target=web-1 since=7d"

    assert RunFilter.typed(typed, "U0BOB") == RunFilter(
        requester="U0BOB",
        states=(RunState.FAILED, RunState.BLOCKED),
        workflow="revert-commit",
        target="web-1",
        since=timedelta(days=7),
    )
    assert RunFilter.typed("", "U0BOB") == EVERYTHING


def test_open_and_ended_stand_for_their_states() -> None:
    opened = RunFilter.typed("state=open", "U0BOB").states
    ended = RunFilter.typed("state=ended", "U0BOB").states

    assert RunState.AWAITING in opened
    assert RunState.FAILED in ended
    assert {*opened, *ended} == set(RunState)
    assert not {*opened} & {*ended}
    assert RunFilter(states=ended).describe() == "ended"
    assert RunFilter(states=(RunState.FAILED, RunState.DENIED)).describe() == "failed or denied"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("state=happy", "There is no state 'happy'. There are: open, ended, awaiting"),
        ("since=week", "write a duration such as"),
        ("since=0d", "write a duration such as"),
        ("failed", "'failed' is not understood: runs \\[mine\\]"),
        ("workflow=", "is not understood"),
        (f"workflow={'x' * 90}", "Too long"),
    ],
)
def test_what_is_not_understood_says_what_would_be(typed: str, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        RunFilter.typed(typed, "U0BOB")


def test_a_page_can_be_opened_and_turned() -> None:
    wanted = RunFilter(workflow="revert-commit")
    found = [
        run(RunState.SUCCEEDED, id=f"a1b2c3d4e5{n:02x}", created_at=NOW - timedelta(hours=n))
        for n in range(PAGE)
    ]
    content = run_list(found, wanted, more=True, command="/ops")
    menu = next(o for o in objects(content.blocks) if o.get("type") == "static_select")
    (older,) = [o for o in objects(content.blocks) if o.get("type") == "button"]

    assert_inert(content.blocks, content.text)
    assert people(content.blocks) == {"U0ALICE"}
    assert menu["action_id"] == names.OPEN_RUN
    assert [option["value"] for option in menu["options"]] == [one.id for one in found]
    assert older["action_id"] == names.RUNS_OLDER
    assert RunFilter.read(older["value"]) == wanted.older_than(found[-1].created_at)
    assert "Latest runs" in shown(content.blocks)
    assert "of the workflow revert-commit" in shown(content.blocks)


def test_the_last_page_leads_back_to_the_newest() -> None:
    wanted = RunFilter(before=NOW)
    content = run_list([run(RunState.RUNNING, "x")], wanted, more=False, command="/ops")
    (newest,) = [o for o in objects(content.blocks) if o.get("type") == "button"]

    assert RunFilter.read(newest["value"]) == EVERYTHING
    assert "Older runs" in shown(content.blocks)
    assert "0 of 2 steps done" in shown(content.blocks)


def test_nothing_says_what_was_looked_for() -> None:
    failed = RunFilter(states=(RunState.FAILED,), since=timedelta(days=7))

    words = shown(run_list([], failed, more=False, command="/ops").blocks)

    assert words == "No run that you may see is failed, of the last 7 d."
    nothing = shown(run_list([], EVERYTHING, more=False, command="/ops").blocks)
    assert "/ops workflows lists what can be run" in nothing


def test_a_button_that_is_not_ours_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="too old"):
        RunFilter.read('{"sudo": true}')


def test_a_run_that_can_be_signed_is_told_as_waiting_in_the_list() -> None:
    content = run_list([run(RunState.AWAITING, "x")], EVERYTHING, more=False, command="/ops")
    assert " · Waits for countersignatures · " in shown(content.blocks)
