"""An event becomes a message with offers, an incident or a run: once, however often it comes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from core.automation import AITrigger
from core.held import HeldStore
from core.incidents import IncidentStore
from core.knowledge import KnowledgeBase
from core.offers import OfferStore
from core.ports import PresentationError
from core.services.ai import OrchestratorUnavailableError
from core.storms import StormStore
from core.triggers import TriggerService, map_arguments
from core.workflows.run import RunState
from tests.core.automation.events import Room, event
from tests.core.workflows.countersigning import World, workflows
from tests.core.workflows.parts import state

pytestmark = pytest.mark.asyncio(loop_scope="module")

RUNBOOK = """\
---
alerts: [KubePodCrashLooping]
---
# Pods that restart

A container ends again and again.

## What to look at

The last lines of its log.
"""


def trigger(trigger_id: str, **fields: Any) -> AITrigger:
    return AITrigger.model_validate(
        {
            "id": trigger_id,
            "integration": "github",
            "event": "ci.failed",
            "channel": "#deploys",
            **fields,
        }
    )


OFFER = {"workflow": "note", "with": {"line": "${event.branch}"}}
TRIGGERS = (
    trigger("offer", match={"branch": "main"}, workflows=[OFFER, {"workflow": "erase"}]),
    trigger("start", event="push", mode="start", workflows=[OFFER]),
    trigger(
        "wrong",
        event="wrong",
        mode="start",
        workflows=[{"workflow": "note", "with": {"x": "a"}}],
    ),
    trigger(
        "alert",
        integration="alertmanager",
        event="alert.firing",
        channel="#incidents",
        incident=True,
        workflows=[{"workflow": "note", "with": {"line": "restart ${event.pod}"}}],
    ),
)


@dataclass
class Automation:
    """A trigger service and what it works on."""

    service: TriggerService
    room: Room
    incidents: IncidentStore
    offers: OfferStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pod-crash-looping.md").write_text(RUNBOOK)
    return tmp_path


async def automation(world: World, folder: Path, *triggers: AITrigger) -> Automation:
    async def embed(_: object) -> list[list[float]]:
        raise OrchestratorUnavailableError("no model here: found by words only")

    knowledge = KnowledgeBase([folder], "https://runbooks.test", embed)
    await knowledge.refresh()
    room = Room()
    incidents, offers = IncidentStore(world.database), OfferStore(world.database)
    here = state(folder, *workflows(), triggers={t.id: t for t in triggers or TRIGGERS})
    storms, held = StormStore(world.database), HeldStore(world.database)
    service = TriggerService(here, world.service, incidents, offers, knowledge, storms, held, room)
    return Automation(service, room, incidents, offers)


@pytest.mark.parametrize(
    ("fields", "accepted"),
    [
        ({"branch": "main"}, True),
        ({"branch": "main2"}, False),
        ({"branch": "x main"}, False),
        ({"branch": "main\n"}, False),
        ({"branch": None}, False),
        ({"branch": ["main"]}, False),
        ({}, False),
        ({"branch": "main", "kind": "push"}, False),
        ({"branch": "main", "kind": "alert.firing"}, False),
    ],
)
async def test_a_trigger_accepts_what_its_whole_pattern_matches(
    fields: dict[str, Any], accepted: bool
) -> None:
    assert TRIGGERS[0].accepts(event("a1", **fields)) is accepted


@pytest.mark.parametrize(
    ("when", "accepted"),
    [
        ("event.branch == 'main' && event.title.startsWith('CI failed')", True),
        ("event.attempt > 2", False),
        ("event.attempt >= 2 && event.kind == 'ci.failed'", True),
        ("has(event.retried) && event.retried", False),
        ("event.retried", False),  # it lacks that
        ("event.branch", False),  # neither true nor false
        ("event.title.matches('(a+)+$')", False),
    ],
)
async def test_a_trigger_accepts_what_makes_its_condition_true(when: str, accepted: bool) -> None:
    trigger = TRIGGERS[0].model_copy(update={"when": when})
    assert trigger.accepts(event("c1", branch="main", attempt=2)) is accepted


@pytest.mark.parametrize(
    ("value", "mapped", "kind"),
    [
        ("${event.branch}", "main", "webhook"),
        ("release ${event.branch}", "release main", "webhook"),
        ("${event.attempt + 1}", 3, "webhook"),
        ("${has(event.sha) ? event.sha : 'HEAD'}", "HEAD", "webhook"),
        ("${event.hosts}", ("web-1", "web-2"), "webhook"),
        ("${event.hosts.filter(h, h != 'web-1')}", ("web-2",), "webhook"),
        ("main", "main", "definition"),
        (["a", "b"], ("a", "b"), "definition"),
        ("${event.sha}", None, None),
        ("${event.hosts[7]}", None, None),
        ("${event.labels}", None, None),
        ("${[event.attempt]}", None, None),
    ],
)
async def test_arguments_are_expressions_over_the_event_with_its_provenance(
    value: JsonValue, mapped: object, kind: str | None
) -> None:
    happened = event(
        "m1", branch="main", attempt=2, hosts=["web-1", "web-2"], labels={"team": "shop"}
    )
    arguments = map_arguments({"x": value}, happened)
    if kind is None:
        assert arguments == {}, "left for a person to fill in"
    else:
        assert (arguments["x"].value, arguments["x"].provenance.kind) == (mapped, kind)


async def test_an_event_is_announced_with_offers_whose_arguments_are_kept_here(
    world: World, folder: Path
) -> None:
    here = await automation(world, folder)
    failed = event("o1", branch="main", url="https://github.test/run/1", sha="", long="x" * 200)
    await here.service.handle(failed)
    (told,) = here.room.announced.values()
    assert (told.place.channel, told.title) == ("#deploys", "CI failed on main")
    assert told.link == "https://github.test/run/1"
    assert told.facts == {"branch": "main"}
    first, second = told.offers
    assert (first.workflow, first.name, first.arguments) == (
        "note",
        "Write a note",
        {"line": "main"},
    )
    assert second.arguments == {}
    kept = await here.offers.get(first.offer)
    assert kept.arguments["line"].value == "main"
    assert kept.arguments["line"].provenance.detail == "github: event.branch"
    assert not kept.arguments["line"].provenance.trusted
    assert await world.service.latest(1) == [], "an offer starts nothing"


async def test_the_same_event_twice_is_told_once(world: World, folder: Path) -> None:
    here = await automation(world, folder)
    for _ in range(3):
        await here.service.handle(event("twice", branch="main"))
    assert len(here.room.announced) == 1
    (told,) = here.room.announced.values()
    assert len({offer.offer for offer in told.offers}) == 2


async def test_an_event_that_no_trigger_accepts_does_nothing(world: World, folder: Path) -> None:
    here = await automation(world, folder)
    await here.service.handle(event("n1", branch="feature"))
    await here.service.handle(event("n2", kind="pull_request.opened", branch="main"))
    assert (here.room.announced, here.room.said) == ({}, {})


async def test_a_trigger_may_ask_for_a_run_which_waits_for_its_signatures(
    world: World, folder: Path
) -> None:
    here = await automation(world, folder)
    for _ in range(2):
        await here.service.handle(event("s1", kind="push", branch="started"))
    runs = [r for r in await world.service.latest(20) if r.requester == "trigger:start"]
    (run,) = runs
    assert run.state is RunState.AWAITING
    assert (run.origin, run.place.channel) == ("github: CI failed on main", "#deploys")
    assert run.plan.steps[0].untrusted == ("line (webhook field)",)
    assert world.times("started") == 0
    assert here.room.announced == {}


async def test_a_run_that_cannot_be_started_is_told_once_where_people_look(
    world: World, folder: Path
) -> None:
    here = await automation(world, folder)
    for _ in range(2):
        await here.service.handle(event("w" * 190, kind="wrong"))
        await here.service.handle(event("s2", kind="push"))
    wrong, missing = here.room.texts()
    assert wrong == (
        "note could not be started for “CI failed on main”: note has no parameter x; it has line."
    )
    assert "note needs line" in missing
    assert all(len(key) <= 300 for key in here.room.said)


@pytest.mark.parametrize(
    "value", ["${steps.first.line}", "a\x00b", "\ud800", "x" * 4000, ["a"], {"a": 1}, 1e400]
)
async def test_hostile_attributes_start_nothing_and_break_nothing(
    world: World, folder: Path, value: JsonValue
) -> None:
    here = await automation(world, folder)
    key = f"h{abs(hash(str(value)))}"
    await here.service.handle(event(key, kind="push", branch=value))
    await here.service.handle(
        event(key + "a", kind="alert.firing", pod=value, title="\x00\ud800<!channel>", subject=key)
    )
    assert len(here.room.announced) == 1
    (told,) = here.room.announced.values()
    assert told.title == "\ufffd\ufffd<!channel>", "the edge escapes, we store"
    runs = [r for r in await world.service.latest(50) if r.requester == "trigger:start"]
    for run in runs:
        text = str(run.plan.arguments["line"].value)
        assert "${" not in text
        assert "\x00" not in text
        assert len(text) <= 500


async def test_an_alert_opens_one_incident_with_its_runbook_however_many_come(
    world: World, folder: Path
) -> None:
    here = await automation(world, folder)
    labels = {"alertname": "KubePodCrashLooping", "pod": "web-1", "description": "It restarts."}
    for number in range(50):
        await here.service.handle(
            event(f"i{number}", kind="alert.firing", subject="pods", title="Pods", **labels)
        )
    (told,) = here.room.announced.values()
    assert told.place.channel == "#incidents"
    assert (told.tone, told.text) == ("bad", "It restarts.")
    assert told.facts["runbook"] == "Pods that restart"
    assert [p.document for p in told.passages] == ["pod-crash-looping.md"] * len(told.passages)
    assert told.passages
    assert [o.arguments for o in told.offers] == [{"line": "restart web-1"}]
    incident = await here.incidents.open_about("pods")
    assert incident is not None
    assert (incident.events, incident.channel) == (50, "C1")
    assert len(here.room.said) == 49
    places = {place.thread for place, _ in here.room.said.values()}
    assert places == {incident.thread}


async def test_an_incident_is_opened_where_its_owner_is_who_is_called(
    world: World, folder: Path
) -> None:
    (folder / "catalogue.yaml").write_text(
        "services: {pay: {owner: p}}\nowners: {p: {channel: '#payments', on_call: pay-oncall}}\n"
    )
    owner = {"of": "${event.service}", "file": "catalogue.yaml"}
    alert = trigger(
        "owned", integration="alertmanager", event="alert.firing", incident=True, owner=owner
    )
    here = await automation(world, folder, alert)
    for number in range(3):
        await here.service.handle(
            event(f"oc{number}", kind="alert.firing", subject="pay", title="Pay", service="pay")
        )
    (told,) = here.room.announced.values()
    assert told.place.channel == "#payments"
    assert list(here.room.called.values()) == [("pay-oncall",)]


async def test_what_only_machines_need_is_not_shown(world: World, folder: Path) -> None:
    here = await automation(world, folder)
    ids = {"fingerprint": "9ba6bde3dfc9664e", "receiver": "countersign", "group_key": "{}"}
    await here.service.handle(event("f1", kind="alert.firing", subject="f", service="shop", **ids))
    (told,) = here.room.announced.values()
    assert told.facts["service"] == "shop"
    assert not told.facts.keys() & {"fingerprint", "receiver", "group key"}


async def test_an_alert_without_a_runbook_says_so(world: World, folder: Path) -> None:
    (folder / "pod-crash-looping.md").unlink()
    here = await automation(world, folder)
    await here.service.handle(
        event("r1", kind="alert.firing", subject="other", alertname="Unheard", pod="x")
    )
    (told,) = here.room.announced.values()
    assert (told.facts["runbook"], told.passages) == ("none found for this alert", ())


async def test_a_resolved_alert_closes_the_incident_and_is_told_in_its_thread(
    world: World, folder: Path
) -> None:
    here = await automation(world, folder)
    await here.service.handle(event("q1", kind="alert.firing", subject="disk", pod="x"))
    resolved = event("q2", kind="alert.resolved", subject="disk", title="Disk is fine")
    here.room.away = True
    with pytest.raises(PresentationError):
        await here.service.handle(resolved)
    here.room.away = False
    for _ in range(2):
        await here.service.handle(resolved)
    assert here.room.texts() == ["Resolved: Disk is fine, after 1 alert."]
    assert await here.incidents.open_about("disk") is None
    await here.service.handle(event("q3", kind="alert.firing", subject="disk", pod="x"))
    assert len(here.room.announced) == 2, "the next alert is another incident"


async def test_an_incident_whose_channel_is_gone_holds_up_no_trigger(
    world: World, folder: Path
) -> None:
    here = await automation(
        world,
        folder,
        trigger("alert", integration="alertmanager", event="alert.firing", incident=True),
        trigger("over", integration="alertmanager", event="alert.resolved", channel="#over"),
    )
    await here.service.handle(event("g1", kind="alert.firing", subject="disk", pod="x"))
    here.room.lacks = {"C1"}
    with pytest.raises(PresentationError, match="C1"):
        await here.service.handle(event("g2", kind="alert.resolved", subject="disk"))
    channels = {told.place.channel for told in here.room.announced.values()}
    assert "#over" in channels
    assert await here.incidents.open_about("disk") is not None, "it is told later"


async def test_what_was_resolved_before_it_was_heard_of_is_not_told(
    world: World, folder: Path
) -> None:
    here = await automation(world, folder)
    await here.service.handle(event("z1", kind="alert.resolved", subject="never seen"))
    assert here.room.said == {}


async def test_an_incident_that_could_not_be_announced_is_announced_later(
    world: World, folder: Path
) -> None:
    here = await automation(world, folder)
    alert = event("l1", kind="alert.firing", subject="late", pod="x")
    here.room.away = True
    with pytest.raises(PresentationError):
        await here.service.handle(alert)
    here.room.away = False
    await here.service.handle(alert)
    assert len(here.room.announced) == 1
    incident = await here.incidents.open_about("late")
    assert incident is not None
    assert (incident.events, incident.thread is not None) == (1, True)


async def test_a_trigger_whose_channel_is_missing_holds_up_no_other(
    world: World, folder: Path
) -> None:
    here = await automation(
        world,
        folder,
        trigger("first", channel="#gone", incident=True),
        trigger("second", channel="#away", group={"by": "${event.branch}"}),
        trigger("third"),
    )
    here.room.lacks = {"#gone", "#away"}
    with pytest.raises(PresentationError, match=r"trigger first: .*#gone.*trigger second: .*#away"):
        await here.service.handle(event("m1", branch="main"))
    assert [told.place.channel for told in here.room.announced.values()] == ["#deploys"]
    here.room.lacks = set()
    await here.service.handle(event("m1", branch="main"))
    channels = sorted(told.place.channel for told in here.room.announced.values())
    assert channels == ["#away", "#deploys", "#gone"]


async def test_an_event_that_cannot_be_told_holds_up_no_other_of_its_delivery(
    world: World, folder: Path
) -> None:
    here = await automation(
        world,
        folder,
        trigger("closed", event="pull_request.closed", channel="#gone"),
        trigger("merged", event="pull_request.merged"),
    )
    here.room.lacks = {"#gone"}
    events = [event("d1", kind="pull_request.closed"), event("d1:2", kind="pull_request.merged")]
    with pytest.raises(PresentationError, match=r"trigger closed: .*#gone"):
        await here.service.handle_all(events)
    assert [told.place.channel for told in here.room.announced.values()] == ["#deploys"]
    here.room.lacks = set()
    await here.service.handle_all(events)
    assert len(here.room.announced) == 2
