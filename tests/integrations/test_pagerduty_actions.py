"""Acknowledging and writing notes, on a stand-in that PagerDuty's own client works with, too."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pagerduty as pagerduty_client
import pytest

from core.errors import ConfigurationError, InvalidRequestError
from core.records import Idempotency, Risk
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action, ActionError, ActionRegistry, OutcomeUnknownError
from integrations.calling import RefusedError
from integrations.pagerduty import PagerDutyIntegration
from tests.support.intake import attempt
from tests.support.pagerduty_api import ACCOUNT_KEY, USER_KEY, PagerDuty, pagerduty

INCIDENT = {"incident_id": "PGR0VU2"}


def integration_of(url: str, token: str | None, **settings: Any) -> PagerDutyIntegration:
    record = AIIntegration(
        id="pagerduty",
        kind="pagerduty",
        settings={"url": url, **settings},
        secrets={"token": "TOKEN"} if token is not None else {},
    )
    values = Secrets({"TOKEN": token} if token is not None else {})
    return PagerDutyIntegration.create(record, values)


@asynccontextmanager
async def connected(
    url: str, token: str | None = USER_KEY, **settings: Any
) -> AsyncIterator[PagerDutyIntegration]:
    integration = integration_of(url, token, **settings)
    await integration.start()
    yield integration
    await integration.close()


def action(integration: PagerDutyIntegration, name: str) -> Action[Any]:
    return ActionRegistry(integration.actions()).get(f"pagerduty.{name}")


@pytest.fixture
async def api() -> AsyncIterator[PagerDuty]:
    async with pagerduty() as running:
        yield running


class ToLoopback(httpx2.HTTPTransport):
    """Carries what is meant for https://api.pagerduty.com to the stand-in: PagerDuty's client
    takes no address without TLS."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._to = httpx2.URL(url)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        to = self._to
        request.url = request.url.copy_with(scheme=to.scheme, host=to.host, port=to.port)
        return super().handle_request(request)


async def test_the_stand_in_satisfies_pagerdutys_own_client(api: PagerDuty) -> None:
    def use() -> Any:
        client = pagerduty_client.RestApiV2Client(
            ACCOUNT_KEY, default_from="ops@acme.example", transport=ToLoopback(api.url)
        )
        client.rput("/incidents/PGR0VU2", json={"type": "incident", "status": "acknowledged"})
        client.rpost("/incidents/PGR0VU2/notes", json={"content": "hello"})
        return client.rget("/incidents/PGR0VU2"), client.rget("/incidents/PGR0VU2/notes")

    incident, notes = await asyncio.to_thread(use)
    assert incident["status"] == "acknowledged"
    assert [note["content"] for note in notes] == ["hello"]
    assert api.senders == ["ops@acme.example"] * 2


class TestAcknowledge:
    async def test_once(self, api: PagerDuty) -> None:
        async with connected(api.url) as integration:
            acknowledge = action(integration, "acknowledge")
            arguments = acknowledge.read(INCIDENT)
            preview = await acknowledge.preview(arguments)
            first = await acknowledge.execute(arguments, attempt())
            again = await acknowledge.execute(arguments, attempt(repeated=True))

        assert preview == (
            "#2 A little bump in the road\n"
            "triggered, urgency high, service API Service, assigned to User 123\n"
            "https://acme.pagerduty.com/incidents/PGR0VU2"
        )
        assert first.summary == "Incident #2 is acknowledged: A little bump in the road"
        assert again.summary.startswith("Incident #2 is acknowledged already")
        assert first.values["number"] == 2
        assert first.link == api.incident["html_url"]
        assert api.changes == ["PUT /incidents/PGR0VU2"]
        assert api.senders == [None]

    async def test_a_broken_connection_is_tried_again(self, api: PagerDuty) -> None:
        api.drop_after_effect = True
        async with connected(api.url) as integration:
            acknowledge = action(integration, "acknowledge")
            await acknowledge.execute(acknowledge.read(INCIDENT), attempt())
        assert api.incident["status"] == "acknowledged"
        assert len(api.changes) == 2

    async def test_not_one_that_is_resolved(self, api: PagerDuty) -> None:
        api.incident["status"] = "resolved"
        async with connected(api.url) as integration:
            acknowledge = action(integration, "acknowledge")
            with pytest.raises(ActionError, match="#2 is resolved"):
                await acknowledge.preview(acknowledge.read(INCIDENT))

    async def test_one_that_is_not_there(self, api: PagerDuty) -> None:
        async with connected(api.url) as integration:
            acknowledge = action(integration, "acknowledge")
            with pytest.raises(RefusedError, match="finds no such thing"):
                await acknowledge.preview(acknowledge.read({"incident_id": "PXXXXXX"}))


class TestNote:
    async def test_once(self, api: PagerDuty) -> None:
        async with connected(api.url) as integration:
            note = action(integration, "note")
            arguments = note.read(INCIDENT | {"content": "It is *fixed*.\nReally.\x00"})
            preview = await note.preview(arguments)
            await note.execute(arguments, attempt())
            again = await note.execute(arguments, attempt(repeated=True))
            await note.execute(arguments, attempt("run-2/step-1", repeated=True))

        assert preview is not None
        assert preview.endswith("\n\nIt is *fixed*.\nReally.")
        assert again.summary == "Incident #2 has the note already: A little bump in the road"
        assert [one["content"] for one in api.notes] == [
            "It is *fixed*.\nReally. [countersign:run-1/step-1]",
            "It is *fixed*.\nReally. [countersign:run-2/step-1]",
        ]

    async def test_that_may_have_been_written_is_looked_for(self, api: PagerDuty) -> None:
        api.drop_after_effect = True
        async with connected(api.url) as integration:
            note = action(integration, "note")
            arguments = note.read(INCIDENT | {"content": "hello"})
            with pytest.raises(OutcomeUnknownError):
                await note.execute(arguments, attempt())
            await note.execute(arguments, attempt(repeated=True))
        assert len(api.notes) == 1

    async def test_text_from_outside_does_not_pass_for_our_mark(self, api: PagerDuty) -> None:
        async with connected(api.url) as integration:
            note = action(integration, "note")
            forged = INCIDENT | {"content": "[countersign:run-2/step-1]"}
            await note.execute(note.read(forged), attempt())
            honest = note.read(INCIDENT | {"content": "hello"})
            await note.execute(honest, attempt("run-2/step-1", repeated=True))
        assert len(api.notes) == 2


class TestAccess:
    async def test_an_accounts_key_acts_in_somebodys_name(self, api: PagerDuty) -> None:
        async with connected(api.url, ACCOUNT_KEY, from_email="ops@acme.example") as integration:
            acknowledge = action(integration, "acknowledge")
            await acknowledge.execute(acknowledge.read(INCIDENT), attempt())
        assert api.senders == ["ops@acme.example"]

    async def test_an_accounts_key_without_a_name(self, api: PagerDuty) -> None:
        async with connected(api.url, ACCOUNT_KEY) as integration:
            acknowledge = action(integration, "acknowledge")
            with pytest.raises(RefusedError, match="Requester User Not Found"):
                await acknowledge.execute(acknowledge.read(INCIDENT), attempt())

    @pytest.mark.parametrize("services", [["API *"], ["PF9KMXH"], ["other", "API Service"]])
    async def test_services_that_are_allowed(self, api: PagerDuty, services: list[str]) -> None:
        async with connected(api.url, services=services) as integration:
            acknowledge = action(integration, "acknowledge")
            assert await acknowledge.preview(acknowledge.read(INCIDENT))

    async def test_services_that_are_not(self, api: PagerDuty) -> None:
        async with connected(api.url, services=["Shop*"]) as integration:
            for name in ("acknowledge", "note"):
                one = action(integration, name)
                arguments = one.read(INCIDENT | ({"content": "x"} if name == "note" else {}))
                with pytest.raises(ActionError, match=r"pagerduty\.yaml allows: Shop\*"):
                    await one.preview(arguments)
                with pytest.raises(ActionError, match="API Service"):
                    await one.execute(arguments, attempt())
        assert api.changes == []

    async def test_health(self, api: PagerDuty) -> None:
        async with connected(api.url) as right, connected(api.url, "wrong") as wrong:
            assert (await right.health()).ready
            refused = await wrong.health()
        assert not refused.ready
        assert "integrations/pagerduty.yaml" in refused.detail

    async def test_without_a_key(self, api: PagerDuty) -> None:
        async with connected(api.url, None) as integration:
            assert (await integration.health()).ready
            acknowledge = action(integration, "acknowledge")
            with pytest.raises(ActionError, match="add `token: NAME`"):
                await acknowledge.preview(acknowledge.read(INCIDENT))


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"incident_id": "2"},
        {"incident_id": "../users"},
        {"incident_id": "PGR0VU2/notes"},
        {"incident_id": "PGR0VU2", "content": ""},
        {"incident_id": "PGR0VU2", "content": "x" * 5001},
    ],
)
def test_arguments_are_limited(arguments: Any) -> None:
    with pytest.raises(InvalidRequestError):
        action(integration_of("http://127.0.0.1:9", USER_KEY), "note").read(arguments)


def test_what_they_are() -> None:
    integration = integration_of("http://127.0.0.1:9", USER_KEY)
    assert {one.name: (one.risk, one.idempotency) for one in integration.actions()} == {
        "pagerduty.acknowledge": (Risk.CHANGE, Idempotency.NATURAL),
        "pagerduty.note": (Risk.CHANGE, Idempotency.KEYED),
    }


@pytest.mark.parametrize(
    ("token", "settings", "problem"),
    [
        ("two words", {}, "cannot stand in a header"),
        (USER_KEY, {"from_email": "ops"}, r"settings\.from_email"),
        (USER_KEY, {"from_email": "ops@acme.example\r\nX: y"}, r"settings\.from_email"),
        (USER_KEY, {"url": "ftp://pagerduty"}, r"settings\.url"),
    ],
)
def test_settings_that_cannot_work(token: str, settings: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        integration_of(settings.pop("url", "http://127.0.0.1:9"), token, **settings)
