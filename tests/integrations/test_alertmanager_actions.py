"""Silences and alerts through the API of Debian's real Alertmanager, and a rule of Debian's real
Prometheus that fires all the way into our intake."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from core.errors import ConfigurationError, InvalidRequestError
from core.inbox import Delivery
from core.records import Idempotency, Risk
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action, ActionError, ActionRegistry, OutcomeUnknownError
from integrations.alertmanager import AlertmanagerIntegration
from integrations.alertmanager.matchers import parse_matcher
from integrations.calling import RefusedError
from integrations.events import events_of
from tests.support.alertmanager import Alertmanager, alertmanager
from tests.support.intake import ALERTMANAGER_TOKEN, Intake, attempt
from tests.support.prometheus import prometheus
from tests.support.until import until

CHECKOUT = {"alertname": "QueueBacklog", "service": "checkout", "instance": "web-1"}
SEARCH = {"alertname": "QueueBacklog", "service": "search", "instance": "web-2"}
NOBODY = "http://127.0.0.1:9"


def integration_of(
    url: str | None, secrets: dict[str, str] | None = None, **settings: Any
) -> AlertmanagerIntegration:
    named = {name: name.upper() for name in secrets or {}}
    values = Secrets({name.upper(): value for name, value in (secrets or {}).items()})
    if url:
        settings["url"] = url
    record = AIIntegration(id="am", kind="alertmanager", settings=settings, secrets=named)
    return AlertmanagerIntegration.create(record, values)


@asynccontextmanager
async def connected(url: str, **settings: Any) -> AsyncIterator[AlertmanagerIntegration]:
    integration = integration_of(url, **settings)
    await integration.start()
    yield integration
    await integration.close()


def action(integration: AlertmanagerIntegration, name: str) -> Action[Any]:
    return ActionRegistry(integration.actions()).get(f"alertmanager.{name}")


def silence(**more: Any) -> dict[str, Any]:
    labels = {"alertname": "QueueBacklog", "service": "checkout"}
    return {"labels": labels, "duration": "2h", "comment": "deploying", **more}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Alertmanager]:
    async with alertmanager(tmp_path, f"{NOBODY}/nobody", "token") as started:
        await started.fire(CHECKOUT, {})
        await started.fire(SEARCH, {})
        yield started


async def silences(running: Alertmanager) -> list[dict[str, Any]]:
    """As the program itself shows them."""
    async with running.session.get(f"{running.url}/api/v2/silences") as response:
        found: list[dict[str, Any]] = await response.json()
        return found


class TestSilence:
    async def test_mutes_what_it_names_and_nothing_else(self, running: Alertmanager) -> None:
        async with connected(running.url) as integration:
            create, alerts = action(integration, "silence"), action(integration, "alerts")
            arguments = create.read(silence(matchers=['instance=~"web-.*"', "severity!=none"]))
            preview = await create.preview(arguments)
            result = await create.execute(arguments, attempt())

            async def muted() -> Any:
                found = await alerts.execute(alerts.read({}), attempt())
                return found if any(a["silenced"] for a in found.values["alerts"]) else None

            found = await until(muted, "the alert is silenced")
            after = await create.preview(arguments)

        assert preview is not None
        assert preview.startswith("It would mute 1 alert fires now:\n")
        assert 'service="checkout"' in preview
        assert "search" not in preview
        assert after == "No alert fires now that it would mute."
        assert found.values["count"] == 2
        states = {a["labels"]["service"]: a["silenced"] for a in found.values["alerts"]}
        assert states == {"checkout": True, "search": False}
        assert found.summary == "2 alerts fire in Alertmanager"
        assert "silenced" in found.output
        (made,) = await silences(running)
        assert made["id"] == result.values["silence_id"]
        assert result.link == f"{running.url}/#/silences/{made['id']}"
        assert made["createdBy"] == "Countersign for U1"
        assert made["comment"] == "deploying [countersign:run-1/step-1]"
        lasts = datetime.fromisoformat(made["endsAt"]) - datetime.fromisoformat(made["startsAt"])
        assert abs(lasts.total_seconds() - 7200) < 5
        assert result.summary.startswith(
            'Alerts with alertname="QueueBacklog", service="checkout", instance=~"web-.*", '
            'severity!="none" are muted until 20'
        )

    async def test_an_attempt_that_is_repeated_finds_its_own(self, running: Alertmanager) -> None:
        async with connected(running.url) as integration:
            create = action(integration, "silence")
            conditions = ["severity!=none", 'instance=~"web-1|web-2"', "service!=other"]
            arguments = create.read(silence(matchers=conditions))
            first = await create.execute(arguments, attempt())
            again = await create.execute(arguments, attempt(repeated=True))
            assert again.values["silence_id"] == first.values["silence_id"]
            assert "are muted already until" in again.summary

            other = await create.execute(arguments, attempt("run-2/step-1", repeated=True))
            assert other.values["silence_id"] != first.values["silence_id"]
        assert len(await silences(running)) == 2

    async def test_a_comment_from_outside_does_not_pass_for_our_mark(
        self, running: Alertmanager
    ) -> None:
        async with connected(running.url) as integration:
            create = action(integration, "silence")
            forged = create.read(silence(comment="[countersign:run-2/step-1]"))
            first = await create.execute(forged, attempt())
            other = await create.execute(
                create.read(silence()), attempt("run-2/step-1", repeated=True)
            )
        assert other.values["silence_id"] != first.values["silence_id"]

    async def test_values_stay_values(self, running: Alertmanager) -> None:
        odd = 'a"b\\c, severity=~".*" é'
        async with connected(running.url) as integration:
            create = action(integration, "silence")
            arguments = create.read(silence(labels={"alertname": odd}))
            await create.preview(arguments)
            await create.execute(arguments, attempt())
            await create.execute(arguments, attempt(repeated=True))
        (made,) = await silences(running)
        assert made["matchers"] == [
            {"name": "alertname", "value": odd, "isRegex": False, "isEqual": True}
        ]

    async def test_a_pattern_that_is_none(self, running: Alertmanager) -> None:
        async with connected(running.url) as integration:
            create = action(integration, "silence")
            with pytest.raises(RefusedError, match="400 Bad Request"):
                await create.preview(create.read(silence(matchers=['instance=~"("'])))

    async def test_only_what_the_settings_allow(self, running: Alertmanager) -> None:
        scope = {"service": ["check*", "cart"]}
        async with connected(running.url, silence_labels=scope, longest_silence="2h") as narrow:
            create = action(narrow, "silence")
            await create.preview(create.read(silence()))
            for arguments, problem in [
                (silence(labels={"service": "search"}), r"this one is for search\."),
                (silence(labels={"alertname": "X"}), r"is not limited to one\."),
                (silence(labels={"alertname": "X"}, matchers=["service=~check.*"]), "not limited"),
                (silence(duration="3h"), "at most 2 h, not 3 h"),
            ]:
                refused = create.read(arguments)
                with pytest.raises(ActionError, match=problem):
                    await create.preview(refused)
                with pytest.raises(ActionError, match=problem):
                    await create.execute(refused, attempt())
        assert await silences(running) == []


class TestExpire:
    async def test_ends_it_once(self, running: Alertmanager) -> None:
        async with connected(running.url) as integration:
            create, expire = action(integration, "silence"), action(integration, "expire")
            made = await create.execute(create.read(silence()), attempt())
            arguments = expire.read({"silence_id": made.values["silence_id"]})
            preview = await expire.preview(arguments)
            first = await expire.execute(arguments, attempt())
            again = await expire.execute(arguments, attempt(repeated=True))

        assert preview is not None
        assert preview.startswith('alertname="QueueBacklog", service="checkout"\nactive, until 20')
        assert preview.endswith("by Countersign for U1: deploying [countersign:run-1/step-1]")
        assert first.summary.endswith("has ended")
        assert again.summary.endswith("had ended already")
        (found,) = await silences(running)
        assert found["status"] == {"state": "expired"}

    async def test_not_of_others(self, running: Alertmanager) -> None:
        async with connected(running.url) as wide:
            create = action(wide, "silence")
            made = await create.execute(create.read(silence()), attempt())
        async with connected(running.url, silence_labels={"service": ["cart"]}) as narrow:
            expire = action(narrow, "expire")
            arguments = expire.read({"silence_id": made.values["silence_id"]})
            with pytest.raises(ActionError, match="this one is for checkout"):
                await expire.execute(arguments, attempt())
        (found,) = await silences(running)
        assert found["status"] == {"state": "active"}

    async def test_one_that_is_not_there(self, running: Alertmanager) -> None:
        async with connected(running.url) as integration:
            expire = action(integration, "expire")
            missing = expire.read({"silence_id": "00000000-0000-0000-0000-000000000000"})
            with pytest.raises(RefusedError, match="finds no such thing"):
                await expire.preview(missing)


class TestAlerts:
    async def test_those_with_labels(self, running: Alertmanager) -> None:
        async with connected(running.url) as integration:
            alerts = action(integration, "alerts")
            some = await alerts.execute(alerts.read({"labels": {"service": "search"}}), attempt())
            none = await alerts.execute(alerts.read({"labels": {"service": "x"}}), attempt())
            health = await integration.health()
        assert (some.values["count"], none.values["count"]) == (1, 0)
        assert some.output.startswith(
            'alertname="QueueBacklog", instance="web-2", service="search" since 20'
        )
        assert none.summary == "No alert fires"
        assert health.ready


@pytest.mark.parametrize(
    "answer",
    [None, web.Response(status=500), web.Response(text="<html>"), web.json_response({"id": "x"})],
    ids=["broken", "error", "page", "another"],
)
async def test_a_silence_that_may_have_been_made(answer: web.Response | None) -> None:
    posts = 0

    async def handle(request: web.Request) -> web.Response:
        nonlocal posts
        posts += 1
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return answer

    app = web.Application()
    app.router.add_post("/api/v2/silences", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with connected(f"http://127.0.0.1:{runner.addresses[0][1]}") as integration:
        create = action(integration, "silence")
        with pytest.raises(OutcomeUnknownError):
            await create.execute(create.read(silence()), attempt())
    await runner.cleanup()
    assert posts == 1


async def test_a_rule_of_the_real_prometheus_opens_and_closes_an_alert(
    intake: Intake, tmp_path: Path
) -> None:
    received: list[Delivery] = []

    async def arrived(count: int) -> bool:
        for delivery in await intake.stored():
            received.append(delivery)
            await intake.inbox.finish(delivery)  # the next of the group waits for that
        return len(received) >= count

    url = f"{intake.url}/webhooks/alertmanager"
    async with (
        alertmanager(tmp_path, url, ALERTMANAGER_TOKEN) as sender,
        prometheus(tmp_path, sender.url) as rules,
    ):
        rules.metrics.lines = ["queue_length 400"]
        await until(lambda: arrived(1), "the rule fires", limit_s=90)
        rules.metrics.lines = ["queue_length 1"]
        await until(lambda: arrived(2), "the rule is resolved", limit_s=90)

    (firing,), (resolved,) = (events_of(d, intake.integrations) for d in received[:2])
    assert (firing.kind, resolved.kind) == ("alert.firing", "alert.resolved")
    assert firing.subject == resolved.subject
    assert firing.title == "QueueBacklog is firing: 400 messages wait"
    expected = {
        "alertname": "QueueBacklog",
        "severity": "critical",
        "service": "checkout",
        "label_job": "shop",
        "summary": "400 messages wait",
        "runbook_url": "https://runbooks.example/queue-backlog",
    }
    assert expected.items() <= firing.attributes.items()
    assert str(firing.attributes["generator_url"]).startswith("http")


class TestArguments:
    @pytest.mark.parametrize(
        "arguments",
        [
            {},
            silence(labels={}),
            silence(labels={"service": ""}),
            silence(labels={"ser vice": "x"}),
            silence(labels={f"l{n}": "x" for n in range(21)}),
            silence(matchers=["service"]),
            silence(matchers=['service="open']),
            silence(duration="30s"),
            silence(duration="32d"),
            silence(comment=""),
            silence(more=1),
        ],
    )
    def test_of_a_silence(self, arguments: Any) -> None:
        with pytest.raises(InvalidRequestError, match=r"alertmanager\.silence"):
            action(integration_of(NOBODY), "silence").read(arguments)

    @pytest.mark.parametrize("silence_id", ["", "../alerts", "a/b", "x" * 65])
    def test_of_its_end(self, silence_id: str) -> None:
        with pytest.raises(InvalidRequestError):
            action(integration_of(NOBODY), "expire").read({"silence_id": silence_id})

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("a=b", 'a="b"'),
            (' a != "b c" ', 'a!="b c"'),
            (r'a=~"b\"c"', r'a=~"b\"c"'),
            ("a!~b.*", 'a!~"b.*"'),
            ("a=", 'a=""'),
        ],
    )
    def test_matchers(self, text: str, shown: str) -> None:
        assert str(parse_matcher(text)) == shown

    def test_what_they_are(self) -> None:
        integration = integration_of(NOBODY)
        assert {one.name: (one.risk, one.idempotency) for one in integration.actions()} == {
            "alertmanager.alerts": (Risk.READ, Idempotency.NATURAL),
            "alertmanager.silence": (Risk.CHANGE, Idempotency.KEYED),
            "alertmanager.expire": (Risk.CHANGE, Idempotency.NATURAL),
        }


class TestSettings:
    def test_without_an_address_there_are_no_actions(self) -> None:
        integration = integration_of(None, {"token": "t"})
        assert integration.webhook is not None
        assert list(integration.actions()) == []

    def test_without_a_token_there_is_no_webhook(self) -> None:
        assert integration_of(NOBODY).webhook is None

    async def test_an_alertmanager_that_is_away(self) -> None:
        async with connected(NOBODY) as integration:
            health = await integration.health()
        assert not health.ready
        assert "cannot be reached" in health.detail

    @pytest.mark.parametrize(
        ("url", "settings", "problem"),
        [
            (None, {}, "add `token: NAME`"),
            (NOBODY, {"silence_labels": {"team": []}}, r"settings\.silence_labels\.team"),
            (NOBODY, {"longest_silence": "60d"}, r"settings\.longest_silence"),
            (NOBODY, {"username": "ops"}, r"secrets\.api_password"),
        ],
    )
    def test_that_cannot_work(self, url: str | None, settings: Any, problem: str) -> None:
        with pytest.raises(ConfigurationError, match=problem):
            integration_of(url, **settings)
