"""Running one program with limits: no shell, a process group of its own, nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_CHUNK = 64 * 1024
_TERM_GRACE_S = 2.0
_DRAIN_S = 1.0


@dataclass(frozen=True)
class Finished:
    """How a program ended.

    Attributes:
        exit_code: negative is the signal that ended it; None where the time limit did.
        output: standard output and error together, as they came.
    """

    exit_code: int | None
    output: str


class HeadAndTail:
    """The beginning and the end of a stream, in bounded memory."""

    def __init__(self, limit: int) -> None:
        """Keep at most `limit` bytes, half of them from each end."""
        self._half = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, chunk: bytes) -> None:
        """The next piece."""
        room = self._half - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        if (excess := len(self._tail) - self._half) > 0:
            del self._tail[:excess]
            self._dropped += excess

    def text(self) -> str:
        """What was kept, as text without control characters, with a mark where it was cut."""
        mark = f"\n… {self._dropped} bytes left out …\n".encode() if self._dropped else b""
        text = (bytes(self._head) + mark + bytes(self._tail)).decode("utf-8", "replace")
        text = text.replace("\r\n", "\n")
        return "".join(c for c in text if c in "\n\t" or c.isprintable())


async def run(
    program: Path,
    arguments: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str],
    time_limit_s: float,
    output_limit: int,
) -> Finished:
    """Run a program to its end, or to its limit, or until this call is cancelled.

    Its whole process group is killed in the last two cases, first gently (SIGTERM).

    Args:
        environment: all of it; nothing is inherited.
        output_limit: bytes of output to keep.

    Raises:
        OSError: it could not be started.
    """
    async with _pipe() as (stream, theirs):
        process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=DEVNULL,
            stdout=theirs,
            stderr=STDOUT,
            cwd=directory,
            env=dict(environment),
            start_new_session=True,
        )
        theirs.close()
        kept = HeadAndTail(output_limit)
        reader = asyncio.create_task(_read(stream, kept))
        exit_code = await _finish(process, reader, time_limit_s)
        return Finished(exit_code, kept.text())


@asynccontextmanager
async def _pipe() -> AsyncIterator[tuple[asyncio.StreamReader, IO[bytes]]]:
    """A pipe: our end as a stream, the program's end as a file.

    Not asyncio's own: a process that is cancelled while asyncio connects its pipes is waited for
    without end (CPython 3.11 and 3.12).
    """
    readable, writable = os.pipe()
    with os.fdopen(writable, "wb", 0) as theirs:
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(readable, "rb", 0)
        )
        try:
            yield stream, theirs
        finally:
            transport.close()


async def _read(stream: asyncio.StreamReader, kept: HeadAndTail) -> None:
    while chunk := await stream.read(_CHUNK):
        kept.add(chunk)


async def _finish(process: Process, reader: asyncio.Task[None], time_limit_s: float) -> int | None:
    """The exit code, or None where the time limit came first."""
    try:
        async with asyncio.timeout(time_limit_s):
            return await process.wait()
    except TimeoutError:
        await _end(process)
        return None
    except asyncio.CancelledError:
        await asyncio.shield(_end(process))
        raise
    finally:
        await _drain(process, reader)


async def _drain(process: Process, reader: asyncio.Task[None]) -> None:
    """Take what is still in the pipe; kill what still holds it open in the background."""
    done, _ = await asyncio.wait({reader}, timeout=_DRAIN_S)
    if not done:
        # Somebody has the pipe, so the group is not empty and its id is not anybody else's.
        _signal(process, signal.SIGKILL)
        await asyncio.wait({reader}, timeout=_DRAIN_S)
    if not reader.done():
        reader.cancel()  # a descendant left the group and took the pipe with it
        with contextlib.suppress(asyncio.CancelledError):
            await reader


async def _end(process: Process) -> None:
    _signal(process, signal.SIGTERM)
    try:
        async with asyncio.timeout(_TERM_GRACE_S):
            await process.wait()
    except TimeoutError:
        _signal(process, signal.SIGKILL)
        await process.wait()


def _signal(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
