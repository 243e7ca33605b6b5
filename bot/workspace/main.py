"""Runs the workspace as a process of its own: `python -m bot.workspace`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bot.workspace.errors import WorkspaceError
from bot.workspace.page_records import SlashCommand
from bot.workspace.server import WorkspaceServer


async def serve(server: WorkspaceServer, stop: asyncio.Event) -> None:
    """Runs a workspace until `stop` is set; prints one JSON line with addresses and tokens.

    Raises:
        WorkspaceError: it cannot listen.
    """
    await server.start()
    try:
        line = {
            "base_url": server.base_url,
            "api_url": server.api_url,
            "bot_token": server.bot_token.get_secret_value(),
            "app_token": server.app_token.get_secret_value(),
            "signing_secret": server.signing_secret.get_secret_value(),
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        await server.close()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bot.workspace", description="A local stand-in for Slack, on loopback."
    )
    parser.add_argument(
        "--storage", type=Path, required=True, help="SQLite file; made when missing"
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--request-url", help="deliver over signed HTTP instead of Socket Mode")
    parser.add_argument(
        "--command",
        action="append",
        default=[],
        metavar="/NAME",
        help="a slash command of the bot; may be repeated",
    )
    return parser.parse_args(argv)


async def _main(args: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_ in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_, stop.set)
    server = WorkspaceServer(
        args.storage,
        host=args.host,
        port=args.port,
        request_url=args.request_url,
        commands=[SlashCommand(command=name) for name in args.command],
    )
    await serve(server, stop)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; 1 when the workspace cannot start."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    try:
        asyncio.run(_main(_arguments(argv)))
    except WorkspaceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0
