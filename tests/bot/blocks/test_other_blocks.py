"""Announcements, answers, forms, the home and lists."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bot import names
from bot.blocks import lists
from bot.blocks.announcement import announcement
from bot.blocks.answer import Answer, answer, closing_blocks, opening_blocks
from bot.blocks.help import VERBS, overview
from bot.blocks.home import WaitingRun, home
from bot.blocks.layout import TEXT_LIMIT, total
from bot.blocks.phrase_form import phrase_form, read_phrase
from bot.blocks.run_form import FormState, run_form
from bot.blocks.run_form_values import read_form, read_ticks, with_provenance
from bot.slack.escaping import LinkPolicy
from bot.slack.fitting import fitted
from core.errors import InvalidRequestError
from core.knowledge import Passage
from core.ports import Announcement, OfferedWorkflow
from core.records import Place, Provenance
from core.services.health import SystemHealth
from core.state import AIWorkflow
from core.workflows.definition import Parameter, StepDefinition
from core.workflows.plan import PlannedArgument
from core.workflows.run import RunState
from tests.bot.blocks.inspection import assert_inert, links, objects, people, shown
from tests.bot.blocks.samples import HOSTILE, run

OWN = LinkPolicy(bases=("http://127.0.0.1:8800/",))
WEBHOOK = Provenance(kind="webhook", detail="github head_sha")


def passage(text: str = HOSTILE, title: str = "Pods restart") -> Passage:
    """A runbook's section."""
    return Passage(
        document="pods.md",
        title=title,
        heading_path=(title, "Look"),
        anchor="look",
        text=text,
        start_line=1,
        end_line=9,
        link="http://127.0.0.1:8800/runbooks/pods.md#look",
        score=1.0,
    )


def offered(count: int = 2) -> tuple[OfferedWorkflow, ...]:
    """Buttons."""
    return tuple(
        OfferedWorkflow(
            offer=f"offer:{n}",
            workflow="revert-commit",
            name="Revert a commit " + "x" * 60,
            arguments={"commit": HOSTILE},
        )
        for n in range(count)
    )


def workflow() -> AIWorkflow:
    """One with an input of every kind."""
    return AIWorkflow(
        id="revert-commit",
        name="Revert a commit that broke main",
        objective="The commit is reverted.",
        parameters={
            "commit": Parameter(description="which", pattern=r"[0-9a-f]{7,40}"),
            "count": Parameter(type="integer", description="how many", minimum=1, maximum=9),
            "ratio": Parameter(
                type="number", description="share", minimum=0, maximum=1, default=0.5
            ),
            "loud": Parameter(type="boolean", description="tell all", default=False),
            "where": Parameter(description="place", choices=("eu " + "x" * 200, "us")),
            "hosts": Parameter(
                type="list", description="hosts", pattern=r"[a-z0-9-]+", default=("web-1",)
            ),
            "zones": Parameter(type="list", description="zones", choices=("a", "b"), default=()),
        },
        steps=(StepDefinition.model_validate({"id": "a", "name": "A", "action": "git.revert"}),),
    )


def test_an_announcement_shows_what_outsiders_wrote_and_nothing_of_it_is_live() -> None:
    record = Announcement(
        key="k",
        place=Place(channel="#deploys"),
        title=f"CI failed {HOSTILE}",
        text=HOSTILE,
        facts={"Branch": HOSTILE, HOSTILE[:100]: "x"},
        link="https://ci.example/job/1",
        passages=(passage(),),
        offers=offered(),
        tone="bad",
    )
    content = announcement(record, OWN)

    assert_inert(content.blocks, content.text)
    assert people(content.blocks) == set()
    assert links(content.blocks) == {"https://ci.example/job/1", passage().link}
    buttons = [o for o in objects(content.blocks) if o.get("type") == "button"]
    assert [button["value"] for button in buttons] == ["offer:0", "offer:1"]
    assert all(button["action_id"].startswith(names.OPEN_OFFER) for button in buttons)


def test_an_announcement_with_everything_long_fits() -> None:
    record = Announcement(
        key="k",
        place=Place(channel="#deploys"),
        title="t" * 900,
        text="word " * 4_000,
        facts={f"fact {n}": "v" * 2_000 for n in range(60)},
        passages=tuple(passage("word " * 3_000) for _ in range(5)),
        offers=offered(5),
    )
    content = announcement(record, OWN)

    assert total(fitted(content.blocks)) <= TEXT_LIMIT
    assert content.blocks[-1]["type"] == "actions"


@pytest.mark.parametrize("link", ["javascript:alert(1)", "https://a@evil.example/", "x"])
def test_an_odd_address_in_a_webhook_is_text(link: str) -> None:
    record = Announcement(key="k", place=Place(channel="#deploys"), title="t", facts={}, link=link)

    assert links(announcement(record, OWN).blocks) == set()


def test_an_answer_quotes_first_labels_the_model_and_links_its_source() -> None:
    record = Answer(
        assistant="Incident helper",
        how="nearest examples",
        passages=(passage("Run `kubectl logs`."),),
        written=HOSTILE,
        model="smol-135m",
        offers=offered(1),
        hints=("Revert still needs: count.",),
    )
    content = answer(record, OWN)
    words = shown(content.blocks)

    assert_inert(content.blocks, content.text)
    assert words.index("kubectl logs") < words.index("<!channel>")
    assert links(content.blocks) == {passage().link}
    assert "AI-generated by smol-135m on your own machine; check before acting." in words
    assert "Incident helper, nearest examples" in words
    assert "Revert still needs: count." in words


def test_what_no_model_wrote_has_no_label() -> None:
    record = Answer(assistant="Planner", how="", passages=(passage(),))

    assert "AI-generated" not in shown(answer(record, OWN).blocks)
    assert "AI-generated" not in shown(closing_blocks(record))
    assert_inert(opening_blocks((passage(),), OWN))


def test_a_form_begins_with_what_was_offered_and_says_where_that_came_from() -> None:
    given = {"commit": PlannedArgument(value="4f2a1c9", provenance=WEBHOOK)}
    state = FormState(workflow="revert-commit", channel="C1", thread="1.2", offer="o")
    view = run_form(workflow(), state, given)

    inputs = {b["block_id"]: b for b in view["blocks"] if b["type"] == "input"}
    assert inputs["parameter:commit"]["element"]["initial_value"] == "4f2a1c9"
    hint = inputs["parameter:commit"]["hint"]["text"]
    assert "webhook field, github head_sha (untrusted)" in hint
    assert inputs["parameter:ratio"]["element"]["is_decimal_allowed"]
    assert inputs["parameter:ratio"]["optional"]
    assert "nobody of the team wrote them: commit" in shown(view)
    assert FormState.read(view["private_metadata"]) == state
    assert len(view["title"]["text"]) <= 24


def test_a_submitted_form_is_read_by_the_parameters_types() -> None:
    values = {
        "parameter:commit": {"value": {"value": "4f2a1c9"}},
        "parameter:count": {"value": {"value": "3"}},
        "parameter:ratio": {"value": {"value": None}},
        "parameter:loud": {"value": {"selected_option": {"value": "yes"}}},
        "parameter:where": {"value": {"selected_option": {"value": "1"}}},
        "parameter:hosts": {"value": {"value": "web-1\nweb-2, db-1\n\n"}},
        "parameter:zones": {"value": {"selected_options": [{"value": "1"}]}},
    }

    found, errors = read_form(workflow(), values)

    assert errors == {}
    assert found == {
        "commit": "4f2a1c9",
        "count": 3,
        "loud": True,
        "where": "us",
        "hosts": ("web-1", "web-2", "db-1"),
        "zones": ("b",),
    }


def test_each_wrong_field_says_what_to_change() -> None:
    values = {
        "parameter:commit": {"value": {"value": "main"}},
        "parameter:count": {"value": {"value": "12"}},
        "parameter:loud": {"value": {"selected_option": {"value": "perhaps"}}},
        "parameter:where": {"value": {"selected_option": {"value": "7"}}},
        "parameter:hosts": {"value": {"value": "web-1\nWEB 2"}},
        "parameter:zones": {"value": {"selected_options": [{"value": "9"}]}},
    }

    found, errors = read_form(workflow(), values)

    assert found == {}
    assert "must match" in errors["parameter:commit"]
    assert "between 1 and 9" in errors["parameter:count"]
    assert "boolean" in errors["parameter:loud"]
    assert "not known any more" in errors["parameter:where"]
    assert "must match" in errors["parameter:hosts"]
    assert "not known any more" in errors["parameter:zones"]
    assert "count is needed" in read_form(workflow(), {})[1]["parameter:count"]


def test_what_a_person_changed_is_theirs_and_what_they_left_is_not() -> None:
    given = {
        "commit": PlannedArgument(value="4f2a1c9", provenance=WEBHOOK),
        "count": PlannedArgument(value=3, provenance=WEBHOOK),
    }

    arguments = with_provenance({"commit": "4f2a1c9", "count": 4}, given, "U0ALICE")

    assert arguments["commit"].provenance == WEBHOOK
    assert arguments["count"].provenance.kind == "person"


def test_a_list_is_filled_in_one_a_line_or_chosen() -> None:
    given = {"hosts": PlannedArgument(value=("web-1", "web-2"), provenance=WEBHOOK)}
    view = run_form(workflow(), FormState(workflow="revert-commit", channel="C1"), given)

    inputs = {b["block_id"]: b["element"] for b in view["blocks"] if b["type"] == "input"}
    assert inputs["parameter:hosts"]["initial_value"] == "web-1\nweb-2"
    assert inputs["parameter:hosts"]["multiline"]
    assert inputs["parameter:zones"]["type"] == "multi_static_select"


def test_what_a_model_wrote_can_be_ticked_and_is_then_confirmed() -> None:
    model = Provenance(kind="model", detail="planner")
    given = {
        "commit": PlannedArgument(value="4f2a1c9", provenance=model),
        "count": PlannedArgument(value=3, provenance=WEBHOOK),
    }
    view = run_form(workflow(), FormState(workflow="revert-commit", channel="C1"), given)
    (boxes,) = [o for o in objects(view) if o.get("type") == "checkboxes"]
    ticks = {"confirm": {"value": {"selected_options": [{"value": "commit"}]}}}

    assert [option["value"] for option in boxes["options"]] == ["commit"]
    assert read_ticks(ticks) == ("commit",)
    assert read_ticks({}) == ()
    same = {"commit": "4f2a1c9", "count": 3}
    ticked = with_provenance(same, given, "U0BOB", ("commit", "count"))
    assert ticked["commit"].provenance == model.model_copy(update={"confirmed_by": "U0BOB"})
    assert ticked["count"].provenance == WEBHOOK
    assert with_provenance(same, given, "U0BOB")["commit"].provenance == model


def test_a_form_without_model_output_has_no_boxes() -> None:
    given = {"commit": PlannedArgument(value="4f2a1c9", provenance=WEBHOOK)}
    view = run_form(workflow(), FormState(workflow="revert-commit", channel="C1"), given)

    assert not [o for o in objects(view) if o.get("type") == "checkboxes"]


def test_metadata_that_is_not_ours_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="open it again"):
        FormState.read('{"workflow": "x", "channel": "C1", "sudo": true}')


def test_the_phrase_form_says_what_is_signed() -> None:
    view = phrase_form(run(RunState.AWAITING))

    assert "Type revert-commit to countersign" in shown(view)
    assert view["private_metadata"] == "a1b2c3d4e5f6"
    assert_inert(view["blocks"])
    assert read_phrase({"phrase": {"value": {"value": "revert-commit"}}}) == "revert-commit"
    assert read_phrase({}) == ""


def test_the_home_links_the_waiting_runs_and_has_its_empty_states() -> None:
    waiting = WaitingRun(run=run(RunState.AWAITING), link="https://acme.slack.example/p1")
    view = home([waiting], [run(RunState.RUNNING)], [workflow()], [], [], {})
    empty = shown(home([], [], [], [], [], {}))

    assert_inert(view["blocks"])
    assert links(view) == {"https://acme.slack.example/p1"}
    assert "Nothing waits for you." in empty
    assert "No workflow is configured." in empty
    many = home([waiting] * 40, [], [workflow()], [], [], {})
    assert "… and 25 more" in shown(many)


def test_the_home_names_the_systems_that_are_not_ready_and_since_when() -> None:
    at = datetime(2026, 11, 25, 9, tzinfo=UTC)
    well = SystemHealth(name="gitlab", ready=True, detail="answers", since=at)
    down = SystemHealth(name="github", ready=False, detail=HOSTILE, since=at)
    view = home([], [], [], [], [], {}, systems=[well, down])

    assert_inert(view["blocks"])
    assert "github\n · not ready: " in shown(view["blocks"])
    assert "1 of 2 ready." in shown(view["blocks"])
    assert "1 of 1 ready." in shown(home([], [], [], [], [], {}, systems=[well])["blocks"])


def test_lists_are_inert_and_say_when_there_is_nothing() -> None:
    assert "There is no workflow that you may see" in shown(lists.workflows([], "/ops").blocks)
    problem = lists.workflow(workflow(), "/ops", problem=HOSTILE)
    assert_inert(problem.blocks, problem.text)
    assert "/ops run revert-commit commit=" in shown(problem.blocks)


def test_a_workflow_tells_the_inputs_of_every_kind_with_examples_as_they_are_typed() -> None:
    lists_without_default = {"targets": Parameter(type="list", description="which")}
    known = workflow().model_copy(
        update={"parameters": {**workflow().parameters, **lists_without_default}}
    )
    words = shown(lists.workflow(known, "/ops").blocks)

    assert "tell all (boolean), no if left out" in words
    assert "hosts (list), web-1 if left out" in words
    assert "zones (list) one of: a, b, empty if left out" in words
    assert " loud=no " in words
    assert " hosts=web-1 " in words
    assert " targets=…,…" in words


def test_help_lists_every_verb() -> None:
    words = shown(overview("/sre").blocks)

    assert all(f"/sre {verb.usage}" in words for verb in VERBS)


def test_fitting_leaves_the_buttons_where_there_are_too_many_blocks() -> None:
    many = [{"type": "divider"} for _ in range(70)] + [{"type": "actions", "block_id": "b"}]

    blocks = fitted(many)

    assert len(blocks) == 50
    assert blocks[-1] == {"type": "actions", "block_id": "b"}
    assert "22 parts left out" in shown(blocks)
