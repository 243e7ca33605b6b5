"""The client for other systems' APIs, against a server on loopback that fails in every way."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import chain, repeat
from typing import Any

import pytest
import pytest_asyncio
import trustme
from aiohttp import web
from pydantic import BaseModel

from core.workflows.actions import ActionError, OutcomeUnknownError
from integrations import calling
from integrations.calling import RefusedError, SystemClient, UnavailableError
from tests.support.processes import free_port
from tests.support.until import until

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Version(BaseModel):
    version: str
    builds: list[int]


class System:
    """A system that answers what a test has put down, the last again and again."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""
        self._replies: Any = repeat(says(200, "{}"))

    def answers(self, *replies: Reply) -> None:
        self._replies = chain(replies, repeat(replies[-1]))

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = (await request.read()).decode()
        self.asked.append((request.method, request.raw_path, body))
        self.headers.append(dict(request.headers))
        reply: Reply = next(self._replies)
        return await reply(request)


def says(status: int, text: str = "", **headers: str) -> Reply:
    async def reply(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=text, headers=named)

    return reply


async def hangs_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def breaks_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b'{"version":')
    assert request.transport is not None
    request.transport.close()
    return response


async def stalls(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(3600)
    return web.Response()


async def floods(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        while True:
            await response.write(b"x" * 65536)
    except ConnectionError:
        return response


@pytest_asyncio.fixture
async def system() -> AsyncIterator[System]:
    served = System()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", served.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield served
    await runner.cleanup()


def made(url: str, timeout_s: float = 20.0) -> SystemClient:
    return SystemClient("forge", "Forge", url, {"Authorization": "Bearer s3cret"}, timeout_s)


@pytest_asyncio.fixture
async def client(system: System) -> AsyncIterator[SystemClient]:
    opened = made(f"{system.url}/api/")
    await opened.start()
    yield opened
    await opened.close()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Retry-After asks for is still waited for."""
    monkeypatch.setattr(calling, "_PAUSE", lambda _: 0.0)


async def test_a_call_carries_the_credential_and_only_what_was_given(
    system: System, client: SystemClient
) -> None:
    system.answers(says(201, '{"version": "1", "builds": [7]}'))
    answer = await client.call(
        "POST", "/jobs/a%2Fb/build", params={"q": "ä b"}, data={"branch": "main"}
    )
    assert answer.read(Version) == Version(version="1", builds=[7])
    assert system.asked == [
        ("POST", "/api/jobs/a%2Fb/build?q=%C3%A4+b", '{"branch": "main"}'),
    ]
    assert system.headers[0]["Authorization"] == "Bearer s3cret"
    assert system.headers[0]["Content-Type"] == "application/json"


async def test_a_form_is_sent_as_a_form(system: System, client: SystemClient) -> None:
    await client.call("POST", "/build", form={"BRANCH": "main", "N": "1"})
    assert system.asked == [("POST", "/api/build", "BRANCH=main&N=1")]
    assert system.headers[0]["Content-Type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize("failure", [says(500), says(503), says(520), hangs_up, breaks_off])
@pytest.mark.parametrize(
    ("method", "idempotent"), [("GET", None), ("PUT", None), ("DELETE", None), ("POST", True)]
)
async def test_what_is_harmless_is_repeated_until_it_succeeds(
    system: System,
    client: SystemClient,
    failure: Reply,
    method: str,
    idempotent: bool | None,
) -> None:
    system.answers(failure, says(502), says(200, "{}"))
    answer = await client.call(method, "/x", idempotent=idempotent)
    assert answer.status == 200
    assert len(system.asked) == 3


@pytest.mark.parametrize(
    "failure", [says(500), says(502), says(504), says(520), hangs_up, breaks_off, floods]
)
@pytest.mark.parametrize(
    ("method", "idempotent"), [("POST", None), ("PATCH", None), ("PUT", False)]
)
async def test_what_may_have_been_done_is_not_repeated_and_said_to_be_unknown(
    system: System,
    client: SystemClient,
    failure: Reply,
    method: str,
    idempotent: bool | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calling, "MAX_ANSWER_BYTES", 1_000_000)
    system.answers(failure, says(200, "{}"))
    with pytest.raises(OutcomeUnknownError, match="Forge"):
        await client.call(method, "/x", data={}, idempotent=idempotent)
    assert len(system.asked) == 1


async def test_a_call_that_may_have_been_done_and_is_not_answered_in_time_is_unknown(
    system: System,
) -> None:
    client = made(system.url, timeout_s=0.3)
    await client.start()
    system.answers(stalls)
    with pytest.raises(OutcomeUnknownError, match=r"no answer in 0\.3 s"):
        await client.call("POST", "/x")
    assert len(system.asked) == 1
    with pytest.raises(UnavailableError, match=r"no answer in 0\.3 s"):
        await client.get("/x")
    assert len(system.asked) == 4, "reading is tried three times"
    await client.close()


@pytest.mark.parametrize(
    ("status", "headers"),
    [(408, {}), (425, {}), (429, {}), (503, {"Retry_After": "60"})],
)
async def test_what_was_refused_before_it_was_done_is_unavailable_and_not_repeated(
    system: System, client: SystemClient, status: int, headers: dict[str, str]
) -> None:
    system.answers(says(status, **headers))
    with pytest.raises(UnavailableError, match=f"answers {status} "):
        await client.call("POST", "/x")
    assert len(system.asked) == 1


async def test_a_proxys_503_says_nothing_about_what_it_passed_on(
    system: System, client: SystemClient
) -> None:
    system.answers(says(503))
    with pytest.raises(OutcomeUnknownError, match="answers 503 "):
        await client.call("POST", "/x")
    assert len(system.asked) == 1


async def test_what_cannot_be_reached_was_not_done() -> None:
    client = made(f"http://127.0.0.1:{free_port()}")
    await client.start()
    with pytest.raises(UnavailableError, match="Forge cannot be reached at http://127"):
        await client.call("POST", "/x")
    await client.close()


async def test_a_certificate_that_is_not_trusted_is_named() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    served = System()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", served.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    client = made(f"https://127.0.0.1:{runner.addresses[0][1]}")
    await client.start()
    with pytest.raises(UnavailableError, match="certificate"):
        await client.call("POST", "/x")
    assert served.asked == []
    await client.close()
    await runner.cleanup()


async def test_a_pause_that_the_system_asks_for_is_kept(
    system: System, client: SystemClient
) -> None:
    system.answers(says(429, Retry_After="1"), says(200, "{}"))
    began = time.monotonic()
    await client.get("/x")
    assert time.monotonic() - began >= 1
    assert len(system.asked) == 2


@pytest.mark.parametrize(
    "retry_after",
    ["3600", "99999999999", format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)],
)
async def test_a_long_pause_is_told_and_not_waited_for(
    system: System, client: SystemClient, retry_after: str
) -> None:
    system.answers(says(503, Retry_After=retry_after))
    with pytest.raises(UnavailableError, match=r"It asks to wait \d{4,5} s"):
        await client.get("/x")
    assert len(system.asked) == 1


@pytest.mark.parametrize(
    "retry_after",
    ["soon", "-1", "Wed, 21 Oct 2015 07:28:00 GMT", "٣"],  # the last is a digit too
)
async def test_a_pause_that_says_nothing_is_none(
    system: System, client: SystemClient, retry_after: str
) -> None:
    headers = retry_after.encode().decode("latin-1")
    system.answers(says(503, Retry_After=headers), says(200, "{}"))
    assert (await client.get("/x")).status == 200


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed_since_the_credential_would_go_with_it(
    system: System, client: SystemClient, status: int
) -> None:
    system.answers(says(status, Location="https://elsewhere.test/x"))
    with pytest.raises(RefusedError, match=r"elsewhere.test/x, which is not followed"):
        await client.get("/x")
    assert len(system.asked) == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, r"refuses: 400 Bad Request \(no such branch\)"),
        (401, r"integrations/forge\.yaml"),
        (403, r"forbids it \(no such branch\)"),
        (404, r"finds no such thing"),
        (409, "409 Conflict"),
        (501, "501 Not Implemented"),
    ],
)
async def test_a_refusal_says_what_the_system_said_and_is_not_repeated(
    system: System, client: SystemClient, status: int, words: str
) -> None:
    system.answers(says(status, "no such\nbranch"))
    with pytest.raises(RefusedError, match=words) as caught:
        await client.get("/x")
    assert caught.value.status == status
    assert "s3cret" not in str(caught.value)
    assert len(system.asked) == 1


async def test_an_answer_that_is_too_large_is_not_read_to_its_end(
    system: System, client: SystemClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "MAX_ANSWER_BYTES", 1_000_000)
    system.answers(floods)
    with pytest.raises(ActionError, match="larger than 1000000 bytes"):
        await client.get("/x")
    assert len(system.asked) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("<html>", "not JSON"),
        ('{"version": NaN}', "not JSON"),
        ('{"version": 1}', "version: .*builds: "),
        ("[]", "the answer: "),
    ],
)
async def test_an_answer_that_is_not_what_was_documented_names_each_field(
    system: System, client: SystemClient, body: str, words: str
) -> None:
    system.answers(says(200, body))
    answer = await client.get("/x")
    with pytest.raises(ActionError, match=words):
        answer.read(Version)


async def test_a_system_that_fails_again_and_again_is_left_alone_for_a_while(
    system: System,
    client: SystemClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "integrations.calling")
    system.answers(says(500))
    for _ in range(5):
        with pytest.raises(OutcomeUnknownError):
            await client.call("POST", "/x")
    with pytest.raises(UnavailableError, match=r"failed 5 times in a row .* for (30|29) s more"):
        await client.call("POST", "/x")
    with pytest.raises(UnavailableError):
        await client.get("/x")
    assert len(system.asked) == 5, "nothing more was sent"
    health = await client.health("/health", "answers")
    assert (health.ready, "left alone" in health.detail) == (False, True)
    assert health.detail.startswith("Forge answers 500 Internal Server Error."), "it says why"

    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + 31)
    with pytest.raises(OutcomeUnknownError):
        await client.call("POST", "/x")
    with pytest.raises(UnavailableError, match="left alone"):
        await client.call("POST", "/x")
    assert len(system.asked) == 6, "it was tried once, and left alone again"

    monkeypatch.setattr(time, "time", lambda: clock() + 62)
    system.answers(says(200, "{}"))
    for _ in range(3):
        await client.call("POST", "/x")
    assert len(system.asked) == 9
    told = "Forge fails again and again and is left alone for a while"
    assert [record.getMessage() for record in caplog.records] == [
        told,
        told,
        "Forge answers again",
    ]


async def test_a_system_for_which_callers_stop_waiting_is_left_alone_too(
    system: System, client: SystemClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.answers(stalls)
    for number in range(1, 6):
        call = asyncio.create_task(client.get("/x"))
        await until(lambda: len(system.asked) == number, "it is asked")  # noqa: B023
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    with pytest.raises(UnavailableError, match=r"Forge did not answer as long as.* left alone"):
        await client.get("/x")
    assert len(system.asked) == 5

    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + 31)
    system.answers(says(200, "{}"))
    assert (await client.get("/x")).status == 200


@pytest.mark.parametrize("reply", [says(404), says(429), says(503, Retry_After="60"), floods])
async def test_a_system_that_answers_is_not_left_alone(
    system: System, client: SystemClient, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "MAX_ANSWER_BYTES", 100_000)
    system.answers(reply)
    for _ in range(8):
        with pytest.raises((ActionError, OutcomeUnknownError)):
            await client.call("POST", "/x")
    assert len(system.asked) == 8


async def test_a_missing_credential_is_said_and_is_no_fault_of_the_system(system: System) -> None:
    client = SystemClient("forge", "Forge", system.url, None)
    await client.start()
    for _ in range(8):
        with pytest.raises(ActionError, match=r"without a credential: add `token: NAME`"):
            await client.get("/x")
    assert system.asked == []
    await client.close()


async def test_health_says_what_is_wrong_and_raises_nothing(
    system: System, client: SystemClient
) -> None:
    system.answers(says(200, "{}"), says(401))
    well = await client.health("/version", "answers as Forge 1")
    ill = await client.health("/version", "answers as Forge 1")
    assert (well.ready, well.detail) == (True, "answers as Forge 1")
    assert (ill.ready, "does not take the credential" in ill.detail) == (False, True)
    await client.close()
    closed = await client.health("/version", "answers")
    assert "not started, or closed already" in closed.detail
