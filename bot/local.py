"""Trying Countersign without Slack: the local workspace takes Slack's place."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bot.workspace.page_records import SlashCommand
from bot.workspace.server import WorkspaceServer
from core.errors import ConfigurationError
from core.settings import Settings
from core.starter import starter_commits

_log = logging.getLogger(__name__)


@asynccontextmanager
async def local_workspace(settings: Settings) -> AsyncIterator[tuple[Settings, str | None]]:
    """The settings to go on with, and the address of the page.

    Where no Slack token is set, a workspace is started and its tokens are put into the settings;
    otherwise the settings stay as they are and there is no page.

    Raises:
        ConfigurationError: the workspace's port is taken.
    """
    if settings.slack_bot_token is not None:
        yield settings, None
        return
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    command = SlashCommand(
        command=settings.command,
        description="Run, countersign and ask",
        usage_hint="help | ask | run | runs | approve | deny | workflows",
        should_escape=True,
    )
    server = WorkspaceServer(
        settings.data_dir / "workspace.db", port=settings.workspace_port, commands=[command]
    )
    try:
        await server.start()
    except OSError as error:
        raise ConfigurationError(
            f"127.0.0.1:{settings.workspace_port} cannot be listened on ({error.strerror}); "
            "set COUNTERSIGN_WORKSPACE_PORT to a free port."
        ) from error
    try:
        yield (
            settings.model_copy(
                update={
                    "slack_bot_token": server.bot_token,
                    "slack_app_token": server.app_token,
                    "slack_api_url": server.api_url,
                }
            ),
            server.base_url,
        )
    finally:
        await server.close()


def welcome(settings: Settings) -> str:
    """What a new user can try first, as Markdown; its commands fit this home."""
    commits = starter_commits(settings.home)
    commit, subject = commits[0] if commits else ("HASH", "the latest commit")
    command = settings.command
    return (
        "**Welcome to Countersign.** This page stands in for Slack; everything behind it is real. "
        "Try, in any channel:\n\n"
        "1. Ask: `@countersign how do I renew a certificate before it expires?`\n"
        f"2. As Alice, take back “{subject}” in the shop repository: "
        f'`{command} run revert-commit commit={commit} reason="payments time out"`\n'
        "3. Press *Approve* on the card that appears: Alice asked, so she is refused.\n"
        "4. Become Bob (bottom left), who is on call, and approve. The card says what was done.\n\n"
        f"`{command} help` lists the rest."
    )
