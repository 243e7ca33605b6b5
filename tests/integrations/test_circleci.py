"""CircleCI: the signatures that it publishes, its payloads, and running a workflow again."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from core.records import Event
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action, ActionError, OutcomeUnknownError
from integrations.circleci import CircleCIIntegration
from integrations.circleci.webhook import CircleCIWebhook
from integrations.webhooks import MalformedDeliveryError
from tests.support.intake import attempt
from tests.support.source_cases import SourceCase, SourceChecks

PAYLOADS = Path(__file__).parent / "payloads" / "circleci"
WORKFLOW = "fda08377-fe7e-46b1-8992-3a7aaecac9c3"
NEW = "0e53027b-521a-4c40-9042-47e72b3c63a3"


def sign(secret: str, body: bytes, _at: datetime) -> dict[str, str]:
    """As https://circleci.com/docs/outbound-webhooks/ says; the vectors below are from there."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "Circleci-Event-Type": "workflow-completed",
        "Circleci-Signature": f"v1={digest},v2=something-newer",
    }


class TestDelivery(SourceChecks):
    case = SourceCase(
        integration=CircleCIIntegration,
        sign=sign,
        body=(PAYLOADS / "workflow_completed.json").read_bytes(),
        proofs=("Circleci-Signature",),
        kinds=("ci.failed",),
    )


@pytest.mark.parametrize(
    ("body", "secret", "signature"),
    [
        (
            "hello world",
            "secret",
            "734cc62f32841568f45715aeb9f4d7891324e6d948e4c6c60c0621cdac48623a",
        ),
        (
            "lalala",
            "another-secret",
            "daa220016c8f29a8b214fbfc3671aeec2145cfb1e6790184ffb38b6d0425fa00",
        ),
        (
            "an-important-request-payload",
            "hunter123",
            "9be2242094a9a8c00c64306f382a7f9d691de910b4a266f67bd314ef18ac49fa",
        ),
    ],
)
def test_the_vectors_that_circleci_publishes(body: str, secret: str, signature: str) -> None:
    webhook = CircleCIWebhook("circleci", (SecretStr(secret),))
    with pytest.raises(MalformedDeliveryError):  # the signature holds, and it is no event
        webhook.verify({"circleci-signature": f"v1={signature}"}, body.encode(), datetime.now(UTC))


def events(name: str, **changed: Any) -> list[Event]:
    payload = json.loads((PAYLOADS / f"{name}.json").read_text())
    body = json.dumps(payload | changed).encode()
    return CircleCIWebhook("circleci", ()).normalise({}, body)


def test_a_failed_workflow() -> None:
    (event,) = events("workflow_completed")
    assert (event.kind, event.subject) == ("ci.failed", "acme/shop")
    assert event.title == "build-test-deploy failed on main of acme/shop"
    assert event.occurred_at == datetime(2026, 9, 1, 22, 49, 34, 317000, UTC)
    assert event.attributes == {
        "repository": "acme/shop",
        "project": "gh/acme/shop",
        "branch": "main",
        "tag": "",
        "sha": "1dc6aa69429bff4806ad6afe58d3d8f57e25973e",
        "commit_title": "Shorter timeouts for payments",
        "actor": "Ada Lovelace",
        "workflow": "build-test-deploy",
        "run_id": WORKFLOW,
        "run_number": 130,
        "job": "",
        "trigger": "webhook",
        "conclusion": "failed",
        "url": f"https://app.circleci.com/pipelines/github/acme/shop/130/workflows/{WORKFLOW}",
    }


def test_a_job_of_a_gitlab_project() -> None:
    (event,) = events("job_completed_gitlab")
    assert event.kind == "ci.job_succeeded"
    assert event.title == "test succeeded on main of abc/def"
    assert (event.attributes["branch"], event.attributes["job"]) == ("main", "test")


def test_what_is_neither_success_nor_failure_is_no_event() -> None:
    workflow = {"id": WORKFLOW, "name": "build", "status": "canceled"}
    assert events("workflow_completed", workflow=workflow) == []
    assert events("workflow_completed", type="something-new") == []


class Api:
    """The two calls of CircleCI's API v2, as strict as its documentation says."""

    def __init__(self) -> None:
        self.status = "failed"
        self.reruns: list[Any] = []
        self.broken = False

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        app = web.Application(middlewares=[self._authenticate])
        app.router.add_get("/api/v2/me", self._me)
        app.router.add_get("/api/v2/workflow/{id}", self._workflow)
        app.router.add_post("/api/v2/workflow/{id}/rerun", self._rerun)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/api/v2"
        await runner.cleanup()

    @web.middleware
    async def _authenticate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.headers.get("Circle-Token") != "cci-token":
            return web.json_response({"message": "You must log in first."}, status=401)
        return await handler(request)

    async def _me(self, _request: web.Request) -> web.Response:
        return web.json_response({"id": NEW, "login": "countersign", "name": "Countersign"})

    async def _workflow(self, request: web.Request) -> web.Response:
        if request.match_info["id"] != WORKFLOW:
            return web.json_response({"message": "Workflow not found"}, status=404)
        return web.json_response(
            {
                "id": WORKFLOW,
                "name": "build-test-deploy",
                "status": self.status,
                "project_slug": "gh/acme/shop",
                "pipeline_number": 130,
                "pipeline_id": NEW,
                "created_at": "2026-09-01T22:49:03Z",
            }
        )

    async def _rerun(self, request: web.Request) -> web.StreamResponse:
        self.reruns.append(await request.json())
        if self.broken:
            assert request.transport is not None
            request.transport.close()
        return web.json_response({"workflow_id": NEW}, status=202)


@asynccontextmanager
async def rerunning(
    api: Api, token: str = "cci-token", **settings: Any
) -> AsyncIterator[tuple[CircleCIIntegration, Action[Any]]]:
    async with api.serve() as url:
        record = AIIntegration(
            id="circleci",
            kind="circleci",
            settings={"api_url": url} | settings,
            secrets={"token": "TOKEN"},
        )
        made = CircleCIIntegration.create(record, Secrets({"TOKEN": token}))
        await made.start()
        (action,) = made.actions()
        yield made, action
        await made.close()


async def test_a_workflow_is_run_again_from_what_failed() -> None:
    api = Api()
    async with rerunning(api, projects=["gh/acme/*"]) as (made, action):
        arguments = action.read({"workflow_id": WORKFLOW})
        shown = await action.preview(arguments)
        assert shown == "build-test-deploy of gh/acme/shop, pipeline 130: failed"
        assert api.reruns == []
        result = await action.execute(arguments, attempt())
        assert (await made.health()).ready
    assert api.reruns == [{"from_failed": True}]
    assert result.values["workflow_id"] == NEW
    assert result.link == f"https://app.circleci.com/pipelines/gh/acme/shop/130/workflows/{NEW}"


async def test_what_may_not_or_cannot_be_run_again() -> None:
    api = Api()
    async with rerunning(api, projects=["gh/other/*"]) as (_, action):
        with pytest.raises(ActionError, match="may not be touched"):
            await action.execute(action.read({"workflow_id": WORKFLOW}), attempt())
    api.status = "running"
    async with rerunning(api) as (_, action):
        with pytest.raises(ActionError, match="has not ended"):
            await action.preview(action.read({"workflow_id": WORKFLOW}))
        with pytest.raises(ActionError, match="no such thing"):
            await action.preview(action.read({"workflow_id": NEW}))
    async with rerunning(api, token="another") as (made, action):
        with pytest.raises(ActionError, match="renew it"):
            await action.preview(action.read({"workflow_id": WORKFLOW}))
        assert not (await made.health()).ready
    assert api.reruns == []


async def test_a_connection_that_breaks_after_it_was_asked_leaves_it_open() -> None:
    api = Api()
    api.broken = True
    async with rerunning(api) as (_, action):
        with pytest.raises(OutcomeUnknownError):
            await action.execute(action.read({"workflow_id": WORKFLOW}), attempt())
    assert len(api.reruns) == 1, "it must not be asked twice"
