"""HTTP answers that end: of limited size, and not compressed, which would hide their size."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2

MAX_BYTES = 16 * 1024 * 1024


class BoundedTransport(httpx2.AsyncHTTPTransport):
    """As its base, but an answer that is larger than `MAX_BYTES`, or compressed, is an error."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """See the base.

        Raises:
            httpx2.DecodingError: the answer is compressed.
        """
        request.headers["Accept-Encoding"] = "identity"
        response = await super().handle_async_request(request)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            await response.aclose()
            raise httpx2.DecodingError("the answer is compressed, which was not asked for")
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101 - httpx2 says so
        response.stream = _BoundedStream(response.stream, request)
        return response


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, request: httpx2.Request) -> None:
        self._stream = stream
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        taken = 0
        async for chunk in self._stream:
            taken += len(chunk)
            if taken > MAX_BYTES:
                raise httpx2.ReadError(
                    f"the answer is larger than {MAX_BYTES} bytes", request=self._request
                )
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
