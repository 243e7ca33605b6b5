"""What the intake does not take now, it says so: 429 over a sender's limits, 503 where too much
is in hand. Nothing that was answered 2xx is missing, and nothing else was stored."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from core.bucket import Bucket
from core.inbox import Backlog
from core.security.secrets import Secrets
from core.state import AIIntegration, IntakeLimits
from core.store.inbox import SqlInbox
from integrations import intake as module
from integrations.github import GitHubIntegration
from integrations.intake import LINGERING_S, intake_routes
from integrations.limits import BusyError, Pressure
from integrations.registry import Integrations, load
from tests.support.intake import GITHUB_SECRET, signed
from tests.support.until import until

BODY = json.dumps({"zen": "Keep it logically awesome."}).encode()


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def limited(**limits: float) -> Integrations:
    """One sender with limits, and another without its own."""
    secrets = Secrets({"GITHUB_SECRET": GITHUB_SECRET})
    records = [
        AIIntegration(id=name, kind="github", secrets={"webhook": "GITHUB_SECRET"})
        for name in ("github", "other")
    ]
    return Integrations(
        {record.id: GitHubIntegration.create(record, secrets) for record in records},
        {"github": IntakeLimits.model_validate(limits)},
    )


class Sender:
    """Sends to one running intake."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def send(self, to: str = "github", body: bytes = BODY) -> tuple[int, int | None]:
        """The status, and the seconds of `Retry-After`."""
        async with self._session.post(
            f"{self._url}/webhooks/{to}", data=body, headers=signed(body)
        ) as response:
            await response.read()
            after = response.headers.get("Retry-After")
            return response.status, None if after is None else int(after)


@asynccontextmanager
async def serving(integrations: Integrations, inbox: Backlog) -> AsyncIterator[Sender]:
    async def ready() -> dict[str, str | None]:
        return {}

    app = web.Application()
    app.add_routes(intake_routes(integrations, inbox, ready))
    runner = web.AppRunner(app, access_log=None, lingering_time=LINGERING_S)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Sender(f"http://127.0.0.1:{runner.addresses[0][1]}", session)
    await runner.cleanup()


async def stored(inbox: SqlInbox) -> int:
    return len(await inbox.claim(1000, ["webhook"]))


async def test_what_is_over_a_sender_s_rate_is_to_be_sent_again_later(
    inbox: SqlInbox, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(limited(per_second=0.01, burst=3), inbox) as sender:
        answers = [await sender.send() for _ in range(6)]
        assert await sender.send("other") == (202, None), "other senders are not held up"
    assert [status for status, _ in answers] == [202] * 3 + [429] * 3
    assert all(after is not None and 90 <= after <= 100 for _, after in answers[3:])
    assert await stored(inbox) == 4
    busy = [r for r in caplog.records if "429" in r.getMessage()]
    assert len(busy) == 1, "a storm does not fill the log"
    assert "intake.per_second" in busy[0].getMessage()


async def test_the_limits_stand_in_the_integration_s_file(integrations: Integrations) -> None:
    record = AIIntegration.model_validate(
        {
            "id": "github",
            "kind": "github",
            "secrets": {"webhook": "GITHUB_SECRET"},
            "intake": {"per_second": 5, "waiting": 7},
        }
    )
    loaded = load({"github": record}, Secrets({"GITHUB_SECRET": GITHUB_SECRET}))
    assert loaded.limits("github") == IntakeLimits(per_second=5, burst=1000, waiting=7)
    assert integrations.limits("github") == IntakeLimits()


async def test_what_nobody_signed_takes_nothing_of_the_rate(inbox: SqlInbox) -> None:
    async with serving(limited(per_second=0.01, burst=1), inbox) as sender:
        for _ in range(5):
            async with sender._session.post(
                f"{sender._url}/webhooks/github",
                data=BODY,
                headers=signed(BODY) | {"X-Hub-Signature-256": "sha256=" + "0" * 64},
            ) as response:
                assert response.status == 401
        assert await sender.send() == (202, None)


async def test_no_more_wait_to_be_processed_than_the_sender_may(
    inbox: SqlInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integrations.limits._RECOUNT_S", 0.05)
    async with serving(limited(waiting=2), inbox) as sender:
        assert [await sender.send() for _ in range(3)] == [(202, None), (202, None), (429, 30)]
        for delivery in await inbox.claim(10, ["webhook"]):
            await inbox.finish(delivery)

        async def taken() -> bool:
            return (await sender.send())[0] == 202

        await until(taken, "what was processed makes room", 30)


class _SlowInbox:
    """A database that answers when the test lets it."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.asked = 0

    async def accept(
        self, source: str, key: str, body: bytes, headers: Mapping[str, str], subject: str = ""
    ) -> bool:
        self.asked += 1
        await self.gate.wait()
        return True

    async def waiting(self) -> Mapping[str, int]:
        return {}


async def test_a_database_that_is_slow_gets_no_more_than_it_can_bear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "Pressure", lambda: Pressure(most_storing=5))
    slow = _SlowInbox()
    async with serving(limited(), slow) as sender:
        taken = [asyncio.create_task(sender.send()) for _ in range(5)]
        await until(lambda: slow.asked == 5, "five are with the database")
        assert await sender.send() == (503, 10)
        slow.gate.set()
        assert await asyncio.gather(*taken) == [(202, None)] * 5
        assert await sender.send() == (202, None)


async def test_a_database_that_does_not_answer_is_asked_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(module, "Pressure", lambda: Pressure(late_s=5, clock=clock))
    slow = _SlowInbox()
    async with serving(limited(), slow) as sender:
        first = asyncio.create_task(sender.send())
        await until(lambda: slow.asked == 1, "it is with the database")
        clock.now += 5.1
        assert await sender.send() == (503, 10)
        slow.gate.set()
        assert await first == (202, None)
        assert await sender.send() == (202, None)


async def test_bodies_in_memory_are_limited_all_together(
    inbox: SqlInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Pressure", lambda: Pressure(most_bytes=100_000))
    large = json.dumps({"zen": "x" * 200_000}).encode()
    async with serving(limited(), inbox) as sender:
        assert await sender.send(body=large) == (503, 10)
        assert await sender.send() == (202, None), "and are given back"


async def test_a_storm_is_answered_and_what_was_answered_2xx_is_there(
    inbox: SqlInbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    monkeypatch.setattr(module, "Pressure", lambda: Pressure(most_storing=20))
    async with serving(limited(burst=100, per_second=1), inbox) as sender:
        answers = await asyncio.gather(*(sender.send() for _ in range(300)))
    statuses = [status for status, _ in answers]
    assert set(statuses) <= {202, 429, 503}
    assert all((after is None) == (status == 202) for status, after in answers)
    assert 0 < statuses.count(202) < 300
    assert await stored(inbox) == statuses.count(202)


class TestBucket:
    """A burst at once, then the rate."""

    def test_a_burst_and_then_the_rate(self) -> None:
        clock = Clock()
        bucket = Bucket(per_second=2, burst=3, clock=clock)
        assert [bucket.take() for _ in range(4)] == [0, 0, 0, 0.5]
        clock.now += 0.5
        assert [bucket.take(), bucket.take()] == [0, 0.5]

    def test_it_never_holds_more_than_its_burst(self) -> None:
        clock = Clock()
        bucket = Bucket(per_second=10, burst=2, clock=clock)
        clock.now += 3600
        assert [bucket.take() == 0 for _ in range(3)] == [True, True, False]


def test_what_was_refused_is_not_counted() -> None:
    pressure = Pressure(most_bytes=10)
    pressure.hold(6)
    with pytest.raises(BusyError):
        pressure.begin(5)
    pressure.end(pressure.begin(4))
    pressure.drop(6)
    pressure.hold(10)
