"""Headers as hostile or broken senders write them: stored on both databases, or refused."""

import asyncio

import pytest

from core.store.database import Database
from core.store.inbox import SqlInbox
from tests.support.intake import Intake, signed


@pytest.fixture
def inbox(database: Database) -> SqlInbox:
    """What the fixture `intake` stores in."""
    return SqlInbox(database)


async def deliver(intake: Intake, key: str, line: bytes) -> int:
    """Post a signed ping with one more header; return the status."""
    body = b"{}"
    headers = b"".join(f"{k}: {v}\r\n".encode() for k, v in signed(body, key).items())
    reader, writer = await asyncio.open_connection("127.0.0.1", intake.port)
    writer.write(
        b"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n"
        + headers
        + line
        + b"\r\n\r\n"
        + body
    )
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    "line",
    [
        b"X-Odd: \xff\xfe",
        "X-Odd: é 😀".encode(),
        b"X-Odd: \\u0000 \\ud800",
        b"X-Odd: " + b"x" * 7000,
        b"X-Odd: a\r\nX-Odd: b",
        b"X-Odd:",
    ],
)
async def test_an_odd_header_is_stored(intake: Intake, line: bytes) -> None:
    assert await deliver(intake, "odd-header", line) == 202
    (delivery,) = await intake.stored()
    assert delivery.key == "odd-header"
    assert "x-odd" in delivery.headers


@pytest.mark.parametrize("line", [b"X-Odd: \x00", b"X Odd: 1", b": 1", b"X-Odd: a\nb"])
async def test_what_is_not_http_is_refused(intake: Intake, line: bytes) -> None:
    assert await deliver(intake, "no-http", line) == 400
    assert await intake.stored() == []
