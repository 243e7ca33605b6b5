"""Buildkite: its two ways to prove a delivery, its payloads, rebuilding and retrying."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from core.errors import InvalidRequestError
from core.records import Event
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action, ActionError, OutcomeUnknownError
from integrations.buildkite import BuildkiteIntegration
from integrations.buildkite.webhook import BuildkiteWebhook
from integrations.webhooks import SignatureError
from tests.support.intake import attempt
from tests.support.source_cases import SourceCase, SourceChecks

PAYLOADS = Path(__file__).parent / "payloads" / "buildkite"
JOB = "b63254c0-3271-4a98-8270-7cfbd6c2f14e"
NEW_JOB = "0e53027b-521a-4c40-9042-47e72b3c63a3"


def sign(secret: str, body: bytes, at: datetime) -> dict[str, str]:
    """Written from https://buildkite.com/docs/apis/webhooks/pipelines#webhook-signature; a vector
    of Buildkite's own is below."""
    now = str(int(at.timestamp()))
    digest = hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-Buildkite-Event": "build.finished",
        "X-Buildkite-Signature": f"timestamp={now},signature={digest}",
    }


class TestSignedDelivery(SourceChecks):
    case = SourceCase(
        integration=BuildkiteIntegration,
        settings={"organization": "acme"},
        sign=sign,
        body=(PAYLOADS / "build_finished.json").read_bytes(),
        proofs=("X-Buildkite-Signature",),
        signs_time=True,
        kinds=("ci.failed",),
    )


class TestDeliveryWithToken(SourceChecks):
    case = SourceCase(
        integration=BuildkiteIntegration,
        settings={"organization": "acme", "verification": "token"},
        sign=lambda secret, _body, _at: {
            "Content-Type": "application/json",
            "X-Buildkite-Event": "build.finished",
            "X-Buildkite-Token": secret,
        },
        body=(PAYLOADS / "build_finished.json").read_bytes(),
        proofs=("X-Buildkite-Token",),
        signs_body=False,
        kinds=("ci.failed",),
    )


def test_the_vector_of_buildkites_own_client() -> None:
    """The ping, secret and signature of `TestValidatePayload` in buildkite/go-buildkite (MIT)."""
    body = (
        b'{"event":"ping","service":{"id":"c9f8372d-c0cd-43dc-9274-768a875cf6ca","provider":"webho'
        b'ok","settings":{"url":"https://server.com/webhooks"}},"organization":{"id":"49801950-1df0'
        b'-474f-bb56-ad6a930c5cb9","graphql_id":"T3JnYW5pemF0aW9uLS0tZTBmMzk3MgsTksGkxOWYtZTZjNzczZ'
        b'TJiYjEy","url":"https://api.buildkite.com/v2/organizations/acme-inc","web_url":"https://b'
        b'uildkite.com/acme-inc","name":"ACME Inc","slug":"acme-inc","agents_url":"https://api.buil'
        b'dkite.com/v2/organizations/acme-inc/agents","emojis_url":"https://api.buildkite.com/v2/or'
        b'ganizations/acme-inc/emojis","created_at":"2021-02-03T20:34:10.486Z","pipelines_url":"htt'
        b'ps://api.buildkite.com/v2/organizations/acme-inc/pipelines"},"sender":{"id":"c9f8372d-c0c'
        b'd-43dc-9269-bcbb7f308e3f","name":"ACME Man"}}'
    )
    signature = "582d496ac2d869dd97a3101c4cda346288c49a742592daf582ec64c86449f79c"
    headers = {"x-buildkite-signature": f"timestamp=1642080837,signature={signature}"}
    sent = datetime.fromtimestamp(1642080837, UTC)
    webhook = BuildkiteWebhook(
        "buildkite", (SecretStr("29b1ff5779c76bd48ba6705eb99ff970"),), signed=True
    )
    assert webhook.verify(headers, body, sent).subject == ""
    assert webhook.normalise(headers, body) == []
    with pytest.raises(SignatureError, match="clock"):
        webhook.verify(headers, body, sent + timedelta(minutes=6))
    with pytest.raises(SignatureError, match="wrong"):
        webhook.verify(headers, body.replace(b"ACME Man", b"ACME Men"), sent)


def events(name: str, **changed: dict[str, Any]) -> list[Event]:
    payload = json.loads((PAYLOADS / f"{name}.json").read_text())
    for part, values in changed.items():
        payload[part] |= values
    return BuildkiteWebhook("buildkite", (), signed=True).normalise(
        {}, json.dumps(payload).encode()
    )


def test_a_failed_build() -> None:
    (event,) = events("build_finished")
    assert (event.kind, event.subject) == ("ci.failed", "shop")
    assert event.title == "shop #27 failed on main"
    assert event.occurred_at == datetime(2026, 9, 1, 7, 59, 35, tzinfo=UTC)
    assert event.attributes == {
        "repository": "git@github.com:acme/shop.git",
        "pipeline": "shop",
        "workflow": "Shop",
        "run_id": "f62a1b4d-10f9-4790-bc1c-e2c3a0c80983",
        "run_number": 27,
        "branch": "main",
        "tag": "",
        "sha": "1dc6aa69429bff4806ad6afe58d3d8f57e25973e",
        "commit_title": "Shorter timeouts for payments",
        "actor": "Ada Lovelace",
        "trigger": "webhook",
        "conclusion": "failed",
        "url": "https://buildkite.com/acme/shop/builds/27",
    }


def test_a_failed_job() -> None:
    (event,) = events("job_finished")
    assert (event.kind, event.title) == ("ci.job_failed", "Tests in shop #27 failed on main")
    assert event.attributes["job_id"] == JOB


def test_what_may_fail_is_no_failure() -> None:
    assert events("job_finished", job={"state": "finished", "soft_failed": True}) == []
    (event,) = events("job_finished", job={"state": "passed", "exit_status": 0})
    assert event.kind == "ci.job_succeeded"


@pytest.mark.parametrize("state", ["canceled", "blocked", "skipped", "something-new"])
def test_what_is_neither_success_nor_failure_is_no_event(state: str) -> None:
    assert events("build_finished", build={"state": state}) == []


class Api:
    """Buildkite's REST API, as strict as its documentation says."""

    def __init__(self) -> None:
        self.state = "failed"
        self.retried: str | None = None
        self.calls: list[str] = []
        self.broken = False
        self.fails_after_retry = False

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        app = web.Application(middlewares=[self._authenticate])
        build = "/v2/organizations/acme/pipelines/shop/builds/27"
        app.router.add_get("/v2/access-token", self._token)
        app.router.add_get(build, self._build)
        app.router.add_put(f"{build}/rebuild", self._rebuild)
        app.router.add_put(f"{build}/jobs/{JOB}/retry", self._retry)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v2"
        await runner.cleanup()

    @web.middleware
    async def _authenticate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.headers.get("Authorization") != "Bearer bkua_token":
            return web.json_response({"message": "Authentication required."}, status=401)
        return await handler(request)

    async def _token(self, _request: web.Request) -> web.Response:
        return web.json_response({"uuid": NEW_JOB, "scopes": ["read_builds", "write_builds"]})

    async def _build(self, _request: web.Request) -> web.Response:
        if self.fails_after_retry and self.retried:
            return web.json_response({"message": "Forbidden"}, status=403)
        return web.json_response(self._shown(27))

    async def _rebuild(self, request: web.Request) -> web.StreamResponse:
        self._called(request, "rebuild")
        return web.json_response(self._shown(28))

    async def _retry(self, request: web.Request) -> web.StreamResponse:
        if self.retried:
            message = "Jobs can only be retried once"
            return web.json_response({"message": message}, status=400)
        self.retried = NEW_JOB
        self._called(request, "retry")
        return web.json_response({"id": NEW_JOB, "type": "script", "state": "scheduled"})

    def _called(self, request: web.Request, what: str) -> None:
        self.calls.append(what)
        if self.broken:
            assert request.transport is not None
            request.transport.close()

    def _shown(self, number: int) -> dict[str, Any]:
        job = {
            "id": JOB,
            "type": "script",
            "name": "Tests",
            "state": "failed",
            "retried": self.retried is not None,
            "retried_in_job_id": self.retried,
        }
        payload = json.loads((PAYLOADS / "build_finished.json").read_text())["build"]
        changed = {"number": number, "state": self.state, "jobs": [job, {"type": "waiter"}]}
        return payload | changed | {"web_url": f"https://buildkite.com/acme/shop/builds/{number}"}


@asynccontextmanager
async def acting(
    api: Api, name: str, token: str = "bkua_token", **settings: Any
) -> AsyncIterator[tuple[BuildkiteIntegration, Action[Any]]]:
    async with api.serve() as url:
        record = AIIntegration(
            id="buildkite",
            kind="buildkite",
            settings={"organization": "acme", "api_url": url} | settings,
            secrets={"token": "TOKEN"},
        )
        made = BuildkiteIntegration.create(record, Secrets({"TOKEN": token}))
        await made.start()
        yield made, next(a for a in made.actions() if a.name == name)
        await made.close()


async def test_a_build_is_built_again() -> None:
    api = Api()
    async with acting(api, "buildkite.rebuild", pipelines=["shop"]) as (made, action):
        arguments = action.read({"pipeline": "shop", "number": 27})
        shown = await action.preview(arguments)
        assert shown == "shop #27, failed, main at 1dc6aa69429…: Shorter timeouts for payments"
        result = await action.execute(arguments, attempt())
        assert (await made.health()).ready
    assert api.calls == ["rebuild"]
    assert result.values["number"] == 28
    assert result.link == "https://buildkite.com/acme/shop/builds/28"


async def test_a_job_is_retried_once_also_by_a_repeated_attempt() -> None:
    api = Api()
    api.broken = True
    async with acting(api, "buildkite.retry_job") as (_, action):
        arguments = action.read({"pipeline": "shop", "number": 27, "job_id": JOB})
        assert "Tests, failed" in (await action.preview(arguments) or "")
        with pytest.raises(OutcomeUnknownError):
            await action.execute(arguments, attempt())
        result = await action.execute(arguments, attempt(repeated=True))
        assert result.values == {"job_id": NEW_JOB}
        with pytest.raises(ActionError, match="retried already"):
            await action.execute(arguments, attempt("another run"))
        with pytest.raises(ActionError, match="retried already"):
            await action.preview(arguments)
    assert api.calls == ["retry"]


async def test_a_retry_that_cannot_be_looked_at_may_have_been_done() -> None:
    api = Api()
    api.fails_after_retry = True
    async with acting(api, "buildkite.retry_job") as (_, action):
        arguments = action.read({"pipeline": "shop", "number": 27, "job_id": JOB})
        with pytest.raises(OutcomeUnknownError, match="runs again, and then"):
            await action.execute(arguments, attempt())
    assert api.calls == ["retry"]


async def test_what_may_not_or_cannot_be_done() -> None:
    api = Api()
    api.state = "running"
    async with acting(api, "buildkite.rebuild") as (_, action):
        with pytest.raises(ActionError, match="has not ended"):
            await action.execute(action.read({"pipeline": "shop", "number": 27}), attempt())
    async with acting(api, "buildkite.rebuild", pipelines=["web-*"]) as (_, action):
        with pytest.raises(InvalidRequestError, match="may not be touched"):
            await action.preview(action.read({"pipeline": "shop", "number": 27}))
    async with acting(api, "buildkite.retry_job") as (_, action):
        given = {"pipeline": "shop", "number": 27, "job_id": NEW_JOB}
        with pytest.raises(ActionError, match="has no job"):
            await action.preview(action.read(given))
    async with acting(api, "buildkite.rebuild", token="wrong") as (made, _):
        assert "renew it" in (await made.health()).detail
    assert api.calls == []
