"""Running one program with limits: no shell, a process group of its own, nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        cwd=directory,
        env=dict(environment),
        start_new_session=True,
    )
    kept = HeadAndTail(output_limit)
    reader = asyncio.create_task(_read(process, kept))
    exit_code: int | None = None
    try:
        async with asyncio.timeout(time_limit_s):
            exit_code = await process.wait()
    except TimeoutError:
        await _end(process)
    except asyncio.CancelledError:
        await asyncio.shield(_end(process))
        raise
    finally:
        await _drain(process, reader)
    return Finished(exit_code, kept.text())


async def _read(process: Process, kept: HeadAndTail) -> None:
    stream = process.stdout
    while stream is not None and (chunk := await stream.read(_CHUNK)):
        kept.add(chunk)


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
