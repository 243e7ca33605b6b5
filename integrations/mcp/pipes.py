"""A program's standard input and output as the streams of a session: a message is a line
(https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio).

The SDK has this as well (`mcp.client.stdio`), but keeps a line in memory however long it grows.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
from anyio.abc import AsyncResource, ByteReceiveStream, Process
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.os.posix.utilities import terminate_posix_process_tree
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from integrations.mcp.bounded import MAX_BYTES

Incoming = SessionMessage | Exception
Streams = tuple[MemoryObjectReceiveStream[Incoming], MemoryObjectSendStream[SessionMessage]]

_GRACE_S = 2.0
"""For a program to end by itself, and again after SIGTERM."""
_POLL_S = 0.01
_CLOSED = (anyio.ClosedResourceError, anyio.BrokenResourceError)


@asynccontextmanager
async def spoken_to(
    command: Sequence[str], directory: Path, environment: Mapping[str, str]
) -> AsyncIterator[Streams]:
    """Start a program, in a group of its own, and end it and its children afterwards. What it
    writes to standard error is dropped.

    Raises:
        OSError: it cannot be started.
        ExceptionGroup: a ValueError in it says that a line was longer than `MAX_BYTES`.
    """
    process = await anyio.open_process(
        command,
        cwd=directory,
        env=environment,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    # Nothing is awaited until the program is sure to be ended.
    heard, incoming = anyio.create_memory_object_stream[Incoming](0)
    outgoing, said = anyio.create_memory_object_stream[SessionMessage](0)
    listener = _Listener(process, heard)
    cancelled = False
    async with anyio.create_task_group() as group:
        group.start_soon(listener.run)
        group.start_soon(_speak, process, said, heard)
        try:
            yield incoming, outgoing
        except asyncio.CancelledError:
            cancelled = True
            raise
        finally:
            incoming.close()
            outgoing.close()
            try:
                with anyio.CancelScope(shield=True):
                    await _end(process, at_once=listener.too_long)
                    with anyio.move_on_after(_GRACE_S):
                        await listener.done.wait()
                    await _close(process.stdout)
            except asyncio.CancelledError:  # a second time, against which no shield helps
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
            group.cancel_scope.cancel()
            if listener.too_long and not cancelled:
                raise ValueError(f"it sends a line of more than {MAX_BYTES} bytes")


class _Listener:
    """Hands over each line. What is not wanted any more is read as well, and dropped: a program
    that waits to be read does not end, and its pipe would stay open.

    Attributes:
        too_long: a line was, and nothing after it was heard.
        done: set when there is no more.
    """

    def __init__(self, process: Process, heard: MemoryObjectSendStream[Incoming]) -> None:
        self._process = process
        self._heard = heard
        self.too_long = False
        self.done = anyio.Event()

    async def run(self) -> None:
        """Until the program has ended, or its output is closed."""
        assert self._process.stdout is not None  # noqa: S101 - `open_process` has opened it
        with suppress(*_CLOSED):
            async with self._heard:
                await self._hand_over(self._process.stdout)
        with suppress(*_CLOSED):
            async for _ in self._process.stdout:
                pass
        self.done.set()

    async def _hand_over(self, output: ByteReceiveStream) -> None:
        line = bytearray()
        async for chunk in output:
            first, *more = chunk.split(b"\n")
            line += first
            for begun in more:
                await self._heard.send(_message(line))
                line = bytearray(begun)
            if len(line) > MAX_BYTES:
                self.too_long = True
                return


def _message(line: bytearray) -> Incoming:
    """What a line says; an error that the session tells where it is no message."""
    try:
        message = jsonrpc_message_adapter.validate_json(line.decode(errors="replace"))
    except ValueError as error:
        return error
    return SessionMessage(message)


async def _speak(
    process: Process,
    said: MemoryObjectReceiveStream[SessionMessage],
    heard: MemoryObjectSendStream[Incoming],
) -> None:
    """Write each message; where the program does not listen any more, it is heard no more."""
    assert process.stdin is not None  # noqa: S101 - `open_process` has opened it
    try:
        async with said:
            async for one in said:
                text = one.message.model_dump_json(by_alias=True, exclude_unset=True)
                await process.stdin.send(text.encode() + b"\n")
    except (*_CLOSED, OSError):
        await heard.aclose()


async def _end(process: Process, *, at_once: bool) -> None:
    """Close its input, and end what has not ended then: it, and all that it has started."""
    await _close(process.stdin)
    if not at_once:
        await _wait(process)
    await terminate_posix_process_tree(process, _GRACE_S)
    await _wait(process)


async def _wait(process: Process) -> None:
    """Wait a little for its end. `Process.wait` would wait for all who have its output."""
    with anyio.move_on_after(_GRACE_S):
        while process.returncode is None:  # noqa: ASYNC110 - it has no event for that alone
            await anyio.sleep(_POLL_S)


async def _close(pipe: AsyncResource | None) -> None:
    if pipe is not None:
        with suppress(OSError, *_CLOSED):
            await pipe.aclose()
