"""Socket Mode: WebSocket connections of the bot, envelopes out, acknowledgements in.

https://docs.slack.dev/apis/events-api/using-socket-mode
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import uuid
from collections.abc import Callable

from aiohttp import WSMsgType, web

from bot.workspace.errors import NotAcknowledgedError
from bot.workspace.ids import Clock
from bot.workspace.records import Json

logger = logging.getLogger(__name__)

_CONNECTION_LIMIT = 10
_TICKET_SECONDS = 30.0
_FRAME_LIMIT = 1024 * 1024
_HEARTBEAT_SECONDS = 15.0


class _Connection:
    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket
        self.waiting: dict[str, asyncio.Future[Json]] = {}

    def acknowledged(self, frame: str) -> None:
        try:
            data = json.loads(frame)
        except ValueError:
            logger.warning("The bot sent a Socket Mode frame that is not JSON")
            return
        if not isinstance(data, dict):
            return
        future = self.waiting.get(str(data.get("envelope_id")))
        if future is not None and not future.done():
            payload = data.get("payload")
            future.set_result(payload if isinstance(payload, dict) else {})

    def lost(self) -> None:
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(NotAcknowledgedError("operation_timeout"))


class SocketHub:
    """The bot's Socket Mode connections; each envelope goes to one of them, in turn.

    Args:
        app_id: told to the bot in `hello`.
        on_change: called when the first connection came or the last one went.
    """

    def __init__(self, app_id: str, clock: Clock, on_change: Callable[[], None]) -> None:
        self._app_id = app_id
        self._clock = clock
        self._on_change = on_change
        self._connections: list[_Connection] = []
        self._tickets: dict[str, float] = {}
        self._turn = 0

    @property
    def count(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    def ticket(self) -> str:
        """Makes a ticket for one connection, good for 30 seconds."""
        now = self._clock()
        self._tickets = {key: until for key, until in self._tickets.items() if until > now}
        ticket = secrets.token_urlsafe(24)
        self._tickets[ticket] = now + _TICKET_SECONDS
        return ticket

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Runs one connection; 401 when its ticket is unknown, used or old."""
        until = self._tickets.pop(request.query.get("ticket", ""), 0.0)
        if until < self._clock():
            raise web.HTTPUnauthorized(text="ticket is unknown, used or expired")
        socket = web.WebSocketResponse(
            timeout=2.0, heartbeat=_HEARTBEAT_SECONDS, max_msg_size=_FRAME_LIMIT
        )
        await socket.prepare(request)
        if self.count >= _CONNECTION_LIMIT:
            await socket.send_json({"type": "disconnect", "reason": "too_many_websockets"})
            await socket.close()
            return socket
        connection = _Connection(socket)
        self._connections.append(connection)
        try:
            await socket.send_json(
                {
                    "type": "hello",
                    "num_connections": self.count,
                    "debug_info": {"host": "workspace", "approximate_connection_time": 18_060},
                    "connection_info": {"app_id": self._app_id},
                }
            )
            if self.count == 1:
                self._on_change()
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    break
                # The SDK's keep-alive comes as text on some of its clients; it is no envelope.
                if not message.data.startswith("sdk-ping-pong:"):
                    connection.acknowledged(message.data)
        finally:
            self._remove(connection)
        return socket

    def _remove(self, connection: _Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            connection.lost()
            if not self._connections:
                self._on_change()

    async def send(self, envelope: Json, timeout: float) -> Json:
        """Sends an envelope and waits for its acknowledgement.

        Args:
            envelope: all but `envelope_id`.
            timeout: seconds.

        Returns:
            The payload of the acknowledgement, `{}` when it has none.

        Raises:
            NotAcknowledgedError: `dispatch_failed` without a connection, else
                `operation_timeout`.
        """
        if not self._connections:
            raise NotAcknowledgedError("dispatch_failed")
        self._turn += 1
        connection = self._connections[self._turn % self.count]
        id_ = str(uuid.uuid4())
        future: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        connection.waiting[id_] = future
        try:
            async with asyncio.timeout(timeout):
                await connection.socket.send_json({"envelope_id": id_, **envelope})
                return await future
        except (TimeoutError, ConnectionError) as error:
            raise NotAcknowledgedError("operation_timeout") from error
        finally:
            connection.waiting.pop(id_, None)
            if future.done() and not future.cancelled():
                future.exception()

    async def disconnect(self, reason: str, *, close: bool = True) -> None:
        """Tells all connections to go (`warning`, `refresh_requested`, `link_disabled`).

        Args:
            close: close them at once; Slack leaves the closing to the client for a while.
        """
        for connection in list(self._connections):
            await connection.socket.send_json({"type": "disconnect", "reason": reason})
            if close:
                self._remove(connection)
                await connection.socket.close()

    async def drop(self) -> None:
        """Closes all connections without a word, as a broken network does."""
        for connection in list(self._connections):
            self._remove(connection)
            await connection.socket.close()
