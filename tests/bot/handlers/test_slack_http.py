"""What reaches `/slack/events` without being Slack's, or twice."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from slack_sdk.signature import SignatureVerifier
from sqlalchemy import func, select

from core.store.tables import deliveries
from tests.bot.handlers.world import ALICE, DEPLOYS, World, running_world

BODY = {
    "type": "event_callback",
    "team_id": "T0ACME",
    "api_app_id": "A0COUNTER",
    "event_id": "Ev1",
    "event": {
        "type": "app_mention",
        "user": ALICE,
        "channel": DEPLOYS,
        "text": "<@U0COUNTER> help",
        "ts": "1700000000.000100",
    },
    "authorizations": [{"team_id": "T0ACME", "user_id": "U0COUNTER", "is_bot": True}],
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def over_http(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A world that is reached over HTTP."""
    folder: Path = tmp_path_factory.mktemp("http")
    async with running_world(folder, "http") as world:
        yield world


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_body_with_a_wrong_or_old_or_no_signature_is_refused_and_not_kept(
    over_http: World,
) -> None:
    body = json.dumps(BODY)
    old = str(int(time.time()) - 600)

    assert await _post(over_http, body, {}) == 401
    assert await _post(over_http, body, _signed(body, "another secret")) == 401
    assert await _post(over_http, body, _signed(body, _secret(over_http), old)) == 401
    assert (
        await _post(over_http, body.replace("help", "run"), _signed(body, _secret(over_http)))
        == 401
    )
    assert await _kept(over_http) == 0


async def test_what_is_no_json_is_no_server_error(over_http: World) -> None:
    for body in ("{not json", '{"type": "event_callback"}', "[]"):
        status = await _post(over_http, body, _signed(body, _secret(over_http)))
        assert 400 <= status < 500, (body, status)
    headers = {"X-Slack-Request-Timestamp": "soon", "X-Slack-Signature": "v0=x"}
    assert await _post(over_http, "{}", headers) == 401
    raw = b"\xff\xfe"
    assert await _post(over_http, raw, {}) == 400


async def test_a_replayed_event_is_acknowledged_and_kept_once(over_http: World) -> None:
    body = json.dumps(BODY)
    headers = _signed(body, _secret(over_http))

    for _ in range(3):
        assert await _post(over_http, body, headers) == 200

    assert await _kept(over_http) == 1


async def test_an_event_with_odd_values_is_acknowledged_and_dropped(over_http: World) -> None:
    before = await _kept(over_http)
    odd = {**BODY, "event_id": "Ev2", "event": {**BODY["event"], "channel": "../etc"}}  # type: ignore[dict-item]
    body = json.dumps(odd)

    assert await _post(over_http, body, _signed(body, _secret(over_http))) == 200
    assert await _kept(over_http) == before


async def _post(world: World, body: str | bytes, headers: dict[str, str]) -> int:
    headers = {"Content-Type": "application/json", **headers}
    async with (
        aiohttp.ClientSession() as session,
        session.post(world.request_url, data=body, headers=headers) as answer,
    ):
        return answer.status


def _signed(body: str, secret: str, at: str | None = None) -> dict[str, str]:
    at = at or str(int(time.time()))
    signature = SignatureVerifier(secret).generate_signature(timestamp=at, body=body) or ""
    return {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": signature}


def _secret(world: World) -> str:
    return world.server.signing_secret.get_secret_value()


async def _kept(world: World) -> int:
    async with world.database.read() as connection:
        count = await connection.execute(select(func.count()).select_from(deliveries))
        return int(count.scalar_one())
