"""Running git itself, safely: nothing of the user's or the repository's own is executed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from core.workflows.actions import ActionError
from integrations.text import tidy

_MAX_OUTPUT = 4 * 1024 * 1024
_CONFIGURATION = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.pager": "cat",
    "commit.gpgSign": "false",
    "tag.gpgSign": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "protocol.ext.allow": "never",
    "submodule.recurse": "false",
}


class GitFailedError(ActionError):
    """git ended with an error.

    Attributes:
        exit_code: git's.
    """

    def __init__(self, message: str, exit_code: int = 128) -> None:
        super().__init__(message)
        self.exit_code = exit_code


async def git(
    folder: Path,
    *arguments: str,
    text: str | None = None,
    environment: Mapping[str, str] | None = None,
    time_limit_s: float = 60.0,
) -> str:
    """Run `git` in `folder`; return its standard output.

    Hooks, signing, prompts and the user's and the system's configuration are off. ssh keys are
    the user's own, without prompts.

    Args:
        text: standard input.
        environment: variables to add.

    Raises:
        GitFailedError: git says no; the message is git's.
        ActionError: git is missing, or took longer than the limit and was killed.
    """
    settings = {**_CONFIGURATION, "safe.directory": str(folder)}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    # Files, not pipes: a process that is cancelled while asyncio connects its pipes is waited for
    # without end (CPython 3.11 and 3.12), and a file takes output of any size.
    with TemporaryFile() as given, TemporaryFile() as output, TemporaryFile() as problem:
        given.write((text or "").encode())
        given.seek(0)
        try:
            process = await asyncio.create_subprocess_exec(
                "git",
                *options,
                "-C",
                str(folder),
                *arguments,
                stdin=given,
                stdout=output,
                stderr=problem,
                env={**_environment(), **(environment or {})},
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise ActionError("git is not installed: install the package `git`.") from error
        await _finish(process, arguments[0], time_limit_s)
        said = _read(output, _MAX_OUTPUT)
        if process.returncode:
            message = tidy(_read(problem, 4000) + said, 2000)
            raise GitFailedError(f"git {arguments[0]}: {message}", process.returncode)
        return said


async def _finish(process: Process, verb: str, time_limit_s: float) -> None:
    try:
        async with asyncio.timeout(time_limit_s):
            await process.wait()
    except TimeoutError as error:
        raise ActionError(f"git {verb} took longer than {time_limit_s:g} s.") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(process.wait())


def _read(file: IO[bytes], limit: int) -> str:
    file.seek(0)
    return file.read(limit).decode("utf-8", "replace")


def _environment() -> dict[str, str]:
    inherited = {n: os.environ[n] for n in ("PATH", "HOME", "SSH_AUTH_SOCK") if n in os.environ}
    return {
        **inherited,
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "false",
        "SSH_ASKPASS": "false",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
        "GIT_EDITOR": "true",
        "GIT_OPTIONAL_LOCKS": "0",
    }
