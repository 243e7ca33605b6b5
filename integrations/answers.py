"""Answers that say the same to everybody, made once.

aiohttp makes a response header by header, for each request anew, which takes as long as checking
a signature does.
"""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from http import HTTPStatus

from aiohttp import ClientConnectionResetError, HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

_JSON = {"Content-Type": "application/json"}


def json_answer(status: HTTPStatus, body: bytes) -> web.Response:
    """An answer with a JSON body."""
    return web.Response(body=body, status=int(status), headers=_JSON)


class Answer:
    """`{"status": WORD}` for any number of requests.

    Args:
        status: of HTTP.
        word: what the sender reads.
    """

    def __init__(self, status: HTTPStatus, word: str) -> None:
        self._status = status
        self._word = word
        self._body = json.dumps({"status": word}).encode()
        self._shared = _SharedResponse(status, self._body)

    def to(self, request: web.Request) -> web.StreamResponse:
        """The response to return for `request`."""
        if request.keep_alive and request.version == HttpVersion11:
            return self._shared
        return json_answer(self._status, self._body)

    def __str__(self) -> str:
        return f"{self._status}, {self._word}"


class _SharedResponse(web.StreamResponse):
    """Written whole by `prepare`, which aiohttp calls once for each request; nothing of a request
    is kept. For HTTP/1.1 and connections that stay open. `on_response_prepare` is not called."""

    def __init__(self, status: HTTPStatus, body: bytes) -> None:
        super().__init__(status=int(status))
        self._constant = body
        self._second = 0
        self._bytes = b""

    @property
    def keep_alive(self) -> bool:
        """The connection stays open."""
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write it.

        Raises:
            ClientConnectionResetError: the client has gone.
        """
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ClientConnectionResetError("the connection is closed")
        transport.write(self._whole(int(time.time())))
        await request.writer.drain()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""

    def _whole(self, second: int) -> bytes:
        if second != self._second:
            head = (
                f"HTTP/1.1 {self.status} {self.reason}\r\n"
                "Content-Type: application/json\r\n"
                f"Content-Length: {len(self._constant)}\r\n"
                f"Date: {formatdate(second, usegmt=True)}\r\n\r\n"
            )
            self._bytes = head.encode() + self._constant
            self._second = second
        return self._bytes
