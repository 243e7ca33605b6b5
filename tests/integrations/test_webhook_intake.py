"""The intake: what each kind of sender is answered, what is logged, and what is stored."""

import asyncio
import json
import logging
from collections.abc import Mapping

import pytest
from aiohttp import web
from sqlalchemy.exc import OperationalError

from integrations.intake import intake_routes
from integrations.registry import Integrations
from tests.support.intake import (
    ALERTMANAGER_TOKEN,
    GITHUB_SECRET,
    Intake,
    Serve,
    post,
    signed,
)

PING = {"zen": "Keep it logically awesome.", "hook_id": 1}


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger="integrations.intake")
    return caplog


def lines(log: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in log.records if r.name == "integrations.intake"]


async def test_a_signed_delivery_is_stored_with_its_bytes_before_it_is_accepted(
    intake: Intake, log: pytest.LogCaptureFixture
) -> None:
    body = json.dumps(PING, indent=3).encode()
    status, answer = await post(intake, body, signed(body, "72d3162e-cc78-11e3-81ab-4c9367dc0958"))

    assert (status, answer) == (202, {"status": "accepted"})
    (delivery,) = await intake.stored()
    assert delivery.source == "webhook:github"
    assert delivery.key == "72d3162e-cc78-11e3-81ab-4c9367dc0958"
    assert delivery.body == body
    assert delivery.headers["x-github-event"] == "ping"
    (line,) = lines(log)
    assert "202" in line
    assert "accepted" in line


async def test_credentials_are_not_stored(intake: Intake) -> None:
    body = json.dumps(PING).encode()
    secrets = {"Authorization": "Bearer abc", "Cookie": "session=abc", "Proxy-Authorization": "abc"}
    status, _ = await post(intake, body, signed(body) | secrets)

    assert status == 202
    (delivery,) = await intake.stored()
    assert not {"authorization", "cookie", "proxy-authorization"} & set(delivery.headers)


class TestHostileBodies:
    """Each gets the right status and one log line, and nothing else happens."""

    async def test_a_wrong_signature(self, intake: Intake, log: pytest.LogCaptureFixture) -> None:
        body = json.dumps(PING).encode()
        headers = signed(body) | {"X-Hub-Signature-256": "sha256=" + "0" * 64}
        status, answer = await post(intake, body, headers)

        assert status == 401
        assert answer["status"] == "refused"
        (line,) = lines(log)
        assert "401" in line
        assert "signature" in line
        assert GITHUB_SECRET not in line
        assert await intake.stored() == []

    @pytest.mark.parametrize(
        "signature",
        [
            None,
            "",
            "sha256=",
            "sha1=" + "0" * 40,
            "é" * 10,
            "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        ],
    )
    async def test_a_missing_or_odd_signature(self, intake: Intake, signature: str | None) -> None:
        body = b"Hello, World!"
        headers = signed(body)
        del headers["X-Hub-Signature-256"]
        if signature is not None:
            headers["X-Hub-Signature-256"] = signature
        status, _ = await post(intake, body, headers)

        assert status == 401
        assert await intake.stored() == []

    async def test_an_altered_body(self, intake: Intake) -> None:
        headers = signed(b'{"amount": 1}')
        status, _ = await post(intake, b'{"amount": 2}', headers)

        assert status == 401
        assert await intake.stored() == []

    async def test_a_replayed_delivery(self, intake: Intake, log: pytest.LogCaptureFixture) -> None:
        body = json.dumps(PING).encode()
        headers = signed(body)
        first = await post(intake, body, headers)
        assert len(await intake.stored()) == 1
        second = await post(intake, body, headers)

        assert first == (202, {"status": "accepted"})
        assert second == (200, {"status": "duplicate"})
        assert ["accepted" in line for line in lines(log)] == [True, False]
        assert "duplicate" in lines(log)[1]
        assert await intake.stored() == []

    async def test_a_delivery_that_comes_twice_at_once(self, intake: Intake) -> None:
        body = json.dumps(PING).encode()
        headers = signed(body)
        answers = await asyncio.gather(*(post(intake, body, headers) for _ in range(8)))

        assert sorted(status for status, _ in answers) == [200] * 7 + [202]
        assert len(await intake.stored()) == 1

    async def test_30_megabytes(self, intake: Intake, log: pytest.LogCaptureFixture) -> None:
        body = b" " * (30 * 1024 * 1024)
        status, _ = await post(intake, body, signed(body))

        assert status == 413
        (line,) = lines(log)
        assert "413" in line
        assert await intake.stored() == []

    async def test_invalid_utf_8(self, intake: Intake, log: pytest.LogCaptureFixture) -> None:
        body = b'{"title": "\xff\xfe"}'
        status, answer = await post(intake, body, signed(body))

        assert status == 400
        assert "UTF-8" in answer["error"]
        (line,) = lines(log)
        assert "400" in line
        assert await intake.stored() == []

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"not json",
            b'{"a": 1',
            b'{"a": NaN}',
            b'{"a": "\\ud800"}',
            b"[" * 100_000,
        ],
    )
    async def test_invalid_json(
        self, intake: Intake, log: pytest.LogCaptureFixture, body: bytes
    ) -> None:
        status, answer = await post(intake, body, signed(body))

        assert status == 400
        assert "JSON" in answer["error"]
        (line,) = lines(log)
        assert "400" in line
        assert await intake.stored() == []


async def test_the_sender_is_checked_before_the_body_is_parsed(intake: Intake) -> None:
    headers = signed(b"x") | {"X-Hub-Signature-256": "sha256=" + "0" * 64}
    assert (await post(intake, b'{"a": "\xff', headers))[0] == 401


async def test_a_body_that_says_it_is_too_large_is_refused_unread(intake: Intake) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", intake.port)
    writer.write(
        b"POST /webhooks/github HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: 31457280\r\n\r\n"
    )
    async with asyncio.timeout(5):
        status_line = await reader.readline()
    writer.close()

    assert b" 413 " in status_line


async def test_a_body_of_unknown_length_is_read_up_to_the_limit_only(intake: Intake) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", intake.port)
    writer.write(
        b"POST /webhooks/github HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    for _ in range(17):  # 17 times 64 KiB is just over the limit of 1 MiB
        writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
    async with asyncio.timeout(5):
        await writer.drain()
        status_line = await reader.readline()
    writer.close()

    assert b" 413 " in status_line


async def test_a_body_that_breaks_off_is_not_stored(intake: Intake) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", intake.port)
    body = json.dumps(PING).encode()
    headers = "".join(f"{name}: {value}\r\n" for name, value in signed(body).items())
    writer.write(
        f"POST /webhooks/github HTTP/1.1\r\nHost: localhost\r\n{headers}"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body[:-1]
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    status, _ = await post(intake, body, signed(body, "the-next-one"))
    assert status == 202
    assert [delivery.key for delivery in await intake.stored()] == ["the-next-one"]


@pytest.mark.parametrize("to", ["gitlab", "tools", "github%2F..", "%F0%9F%92%A9"])
async def test_an_integration_that_takes_no_webhooks(intake: Intake, to: str) -> None:
    body = json.dumps(PING).encode()
    assert (await post(intake, body, signed(body), to))[0] == 404
    assert await intake.stored() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "text/plain"},
        {"Content-Encoding": "gzip"},
    ],
)
async def test_bodies_that_are_not_plain_json(intake: Intake, wrong: dict[str, str]) -> None:
    body = json.dumps(PING).encode()
    assert (await post(intake, body, signed(body) | wrong))[0] == 415
    assert await intake.stored() == []


@pytest.mark.parametrize("delivery", ["", "../../etc", "a b", "x" * 101])
async def test_a_signed_delivery_without_a_usable_id(intake: Intake, delivery: str) -> None:
    body = json.dumps(PING).encode()
    headers = signed(body) | {"X-GitHub-Delivery": delivery}
    assert (await post(intake, body, headers))[0] == 400
    assert await intake.stored() == []


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {ALERTMANAGER_TOKEN}"]
)
async def test_alertmanager_without_its_token(intake: Intake, authorization: str | None) -> None:
    headers = {"Content-Type": "application/json"}
    if authorization is not None:
        headers["Authorization"] = authorization
    assert (await post(intake, b"{}", headers, "alertmanager"))[0] == 401
    assert await intake.stored() == []


@pytest.mark.parametrize("body", [b"{}", b"[]", b"\xff", b"{", b'{"version": "4"}'])
async def test_alertmanager_with_something_else(intake: Intake, body: bytes) -> None:
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {ALERTMANAGER_TOKEN}",
    }
    assert (await post(intake, body, headers, "alertmanager"))[0] == 400
    assert await intake.stored() == []


class _BrokenInbox:
    """A database that is away, as SQLAlchemy says it."""

    async def accept(
        self, source: str, key: str, body: bytes, headers: Mapping[str, str], subject: str = ""
    ) -> bool:
        raise OperationalError("INSERT", {"body": body}, ConnectionError("the server is away"))

    async def waiting(self) -> Mapping[str, int]:
        raise OperationalError("SELECT", {}, ConnectionError("the server is away"))


async def test_what_cannot_be_stored_is_not_accepted(
    serve: Serve, log: pytest.LogCaptureFixture
) -> None:
    async with serve(_BrokenInbox()) as intake:
        body = json.dumps(PING).encode()
        async with intake.session.post(
            f"{intake.url}/webhooks/github", data=body, headers=signed(body)
        ) as response:
            assert response.status == 503
            assert int(response.headers["Retry-After"]) > 0
    (line,) = lines(log)
    assert "503" in line
    assert "zen" not in line


async def test_health(intake: Intake) -> None:
    async with intake.session.get(f"{intake.url}/healthz") as response:
        assert (response.status, await response.json()) == (200, {"status": "ok"})
    async with intake.session.get(f"{intake.url}/readyz") as response:
        assert response.status == 200
        assert await response.json() == {"status": "ready", "parts": {"database": "ready"}}


async def test_readiness_names_the_part_that_is_not_ready(
    intake: Intake, integrations: Integrations
) -> None:
    async def ready() -> dict[str, str | None]:
        return {"database": None, "models": "still loading"}

    app = web.Application()
    app.add_routes(intake_routes(integrations, intake.inbox, ready))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/readyz"
    async with intake.session.get(url) as response:
        assert response.status == 503
        assert (await response.json())["parts"]["models"] == "still loading"
    await runner.cleanup()


async def test_a_system_that_is_down_leaves_the_replica_ready_and_is_named(
    intake: Intake, integrations: Integrations
) -> None:
    async def ready() -> dict[str, str | None]:
        return {"models": None}

    app = web.Application()
    app.add_routes(intake_routes(integrations, intake.inbox, ready, lambda: {"gitlab": "at 10.0"}))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/readyz"
    async with intake.session.get(url) as response:
        assert response.status == 200
        assert await response.json() == {
            "status": "degraded",
            "parts": {"models": "ready"},
            "degraded": ["gitlab"],
        }
    await runner.cleanup()
