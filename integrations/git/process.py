"""Running git itself, safely: nothing of the user's or the repository's own is executed."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from pathlib import Path

from core.workflows.actions import ActionError
from integrations.webhooks import tidy

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
    options = [f"-c{name}={value}" for name, value in _CONFIGURATION.items()]
    try:
        process = await asyncio.create_subprocess_exec(
            "git",
            *options,
            f"-csafe.directory={folder}",
            "-C",
            str(folder),
            *arguments,
            stdin=PIPE if text is not None else DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            env={**_environment(), **(environment or {})},
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise ActionError("git is not installed: install the package `git`.") from error
    try:
        async with asyncio.timeout(time_limit_s):
            output, problem = await process.communicate(text.encode() if text else None)
    except TimeoutError as error:
        raise ActionError(f"git {arguments[0]} took longer than {time_limit_s:g} s.") from error
    finally:
        if process.returncode is None:
            process.kill()
            await asyncio.shield(process.wait())
    if process.returncode:
        message = tidy((problem + output).decode("utf-8", "replace"), 2000)
        raise GitFailedError(f"git {arguments[0]}: {message}", process.returncode)
    return output[:_MAX_OUTPUT].decode("utf-8", "replace")


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
