"""One life of the model server's process: start it, read where it listens, end it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from typing import TypeVar

from pydantic import ValidationError

from core.orchestrator.wire import ServerConfig, ServerReady
from core.services.ai import OrchestratorError, OrchestratorUnavailableError

logger = logging.getLogger(__name__)

T = TypeVar("T")

_STOP_S = 8.0
_MAX_LOG_LINE = 8192
_LEVELS = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}


class ModelServerProcess:
    """A running `python -m core.orchestrator.server`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._forwarding = asyncio.create_task(self._forward_log())

    @classmethod
    async def spawn(cls, config: ServerConfig) -> ModelServerProcess:
        """Start the process and hand it its configuration on standard input."""
        environment = os.environ | {
            "GOMP_SPINCOUNT": "1000",  # threads that spin take the core from whom they wait for
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "TRANSFORMERS_VERBOSITY": "error",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "core.orchestrator.server",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            # Linux shares the processors among sessions first (sched(7), autogroup): in ours, the
            # server keeps the programs that we start from coming to life, and us waiting for them.
            start_new_session=True,
        )
        child = cls(process)
        stdin = _present(process.stdin)
        with contextlib.suppress(ConnectionError):  # it died at once: `ready` says so
            stdin.write(config.model_dump_json().encode() + b"\n")
            await stdin.drain()
        return child

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    async def ready(self, timeout_s: float) -> str:
        """Wait until it serves; its base URL.

        Raises:
            OrchestratorError: a model cannot be loaded; the message is the server's.
            OrchestratorUnavailableError: it ended, or took longer than `timeout_s`.
        """
        try:
            async with asyncio.timeout(timeout_s):
                line = await _present(self._process.stdout).readline()
        except TimeoutError as error:
            raise OrchestratorUnavailableError(
                f"The model server did not load its models within {timeout_s:g} s."
            ) from error
        if not line:
            status = await self.wait()
            raise OrchestratorUnavailableError(
                f"The model server ended with status {status} before it was ready; "
                "the log has its last words."
            )
        try:
            ready = ServerReady.model_validate_json(line)
        except ValidationError as error:
            raise OrchestratorUnavailableError(
                "The model server said something else than its address."
            ) from error
        if ready.base_url is None:
            raise OrchestratorError(ready.error or "The model server gave no reason.")
        return ready.base_url

    async def wait(self) -> int:
        """Wait for its end; the exit status, negative for a signal."""
        status = await self._process.wait()
        await self._forwarding
        return status

    async def stop(self) -> None:
        """End it: by closing its standard input, after some seconds by force."""
        _present(self._process.stdin).close()
        try:
            async with asyncio.timeout(_STOP_S):
                await self._process.wait()
        except TimeoutError:
            logger.warning("The model server does not stop; it is killed.")
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self.wait()

    async def _forward_log(self) -> None:
        """Pass the server's log lines on, at their level."""
        stream = _present(self._process.stderr)
        level, rest = logging.INFO, b""
        while data := await stream.read(_MAX_LOG_LINE):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                level = _log_line(line, level)
            if len(rest) > _MAX_LOG_LINE:
                level, rest = _log_line(rest, level), b""
        if rest:
            _log_line(rest, level)


def _log_line(line: bytes, level: int) -> int:
    """Log one line; a line without a level, as in a traceback, has that of the line before."""
    text = line.decode("utf-8", "replace").rstrip()
    word, _, message = text.partition(" ")
    if word in _LEVELS:
        level, text = logging.getLevelNamesMapping()[word], message
    if text:
        logger.log(level, "model server: %s", text)
    return level


def _present(stream: T | None) -> T:
    """A pipe that was asked for."""
    if stream is None:
        raise OrchestratorUnavailableError("The model server was started without its pipes.")
    return stream
