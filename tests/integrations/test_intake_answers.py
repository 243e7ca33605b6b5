"""Answers that are made once and given to all: each client reads a whole answer of HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from aiohttp import ClientSession, web

from integrations.answers import Answer

ACCEPTED = Answer(HTTPStatus.ACCEPTED, "accepted")


@asynccontextmanager
async def served() -> AsyncIterator[int]:
    """A server that answers so, and its port."""

    async def receive(request: web.Request) -> web.StreamResponse:
        await request.read()
        return ACCEPTED.to(request)

    app = web.Application()
    app.router.add_post("/", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def said(port: int, asked: bytes) -> bytes:
    """What is answered until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(asked)
    answered = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    return answered


async def test_it_is_json_with_a_date_and_many_share_a_connection() -> None:
    async with served() as port, ClientSession() as session:
        for _ in range(3):
            async with session.post(f"http://127.0.0.1:{port}/", data=b"x") as response:
                assert response.status == 202
                assert response.reason == "Accepted"
                assert response.content_type == "application/json"
                assert await response.json() == {"status": "accepted"}
                assert parsedate_to_datetime(response.headers["Date"]).tzinfo is not None


async def test_requests_sent_at_once_are_answered_one_after_the_other() -> None:
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n%s\r\nx"
    async with served() as port:
        answered = await said(port, (request % b"") * 2 + request % b"Connection: close\r\n")

    heads = [part for part in answered.split(b"HTTP/1.1 ") if part]
    assert [head[:12] for head in heads] == [b"202 Accepted"] * 3
    assert [b"\r\nConnection: close\r\n" in head for head in heads] == [False, False, True]


async def test_who_speaks_an_older_http_is_answered_in_it() -> None:
    async with served() as port:
        answered = await said(port, b"POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\nx")

    head, _, body = answered.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 202 ")
    assert json.loads(body) == {"status": "accepted"}


async def test_a_sender_that_has_gone_leaves_the_others_answered() -> None:
    async with served() as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
        writer.transport.abort()
        answered = await said(
            port, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"
        )

    assert answered.startswith(b"HTTP/1.1 202 Accepted\r\n")
