"""`countersign mcp serve`: for clients that speak to a program's standard input and output only.

A bridge to the running application, where the work is done and the token is looked at: each line
is posted to its `/mcp`, each answer is a line
(https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio).
"""

from __future__ import annotations

import asyncio
import json
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

import aiohttp
import typer
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from yarl import URL

from bot.cli.common import read_settings, run_async
from bot.mcp.server import PATH
from core.errors import InvalidRequestError

_THIS_MACHINE = frozenset({"127.0.0.1", "::1", "localhost", "0.0.0.0", "::"})  # noqa: S104 - not bound
_LONGEST_LINE = 256 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=300, connect=10)
_FAILED = -32000  # "server error", https://www.jsonrpc.org/specification#error_object
_PARSE_ERROR = -32700


class _Message(BaseModel):
    """What is needed of a message: a request has an id, and is answered."""

    model_config = ConfigDict(extra="ignore")

    id: str | int | None = None


def serve(
    token_file: Annotated[
        Path, typer.Option(help="A file with your token, which only you can read.")
    ],
    url: Annotated[
        str | None, typer.Option(help="The application's address; by default this machine's.")
    ] = None,
) -> None:
    """Speak MCP over standard input and output, for clients that cannot speak HTTP."""
    base = _encrypted(url or read_settings().base_url)
    run_async(_serve(base.rstrip("/") + PATH, _token(token_file)))


def _encrypted(url: str) -> str:
    """The address, where nobody on the way can read the token."""
    try:
        address = URL(url)
    except ValueError as error:
        raise InvalidRequestError(f"--url: {url[:200]} is no address: {error}.") from error
    near = address.scheme == "http" and address.host in _THIS_MACHINE
    if not near and (address.scheme != "https" or not address.host):
        raise InvalidRequestError(
            f"--url: the token would go to {url[:200]} unencrypted: write https://…"
        )
    return url


def _token(file: Path) -> str:
    try:
        token = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"--token-file: {file} cannot be read: {error}.") from error
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidRequestError(f"--token-file: {file} does not hold one token.")
    if file.stat().st_mode & 0o077:
        raise InvalidRequestError(f"--token-file: others can read it; run `chmod 600 {file}`.")
    return token


async def _serve(url: str, token: str) -> None:
    """Until the client closes its end; what is still being answered then is dropped."""
    lines = asyncio.StreamReader(limit=_LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
    }
    running: set[asyncio.Task[None]] = set()
    async with aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT) as session:
        try:
            while line := await lines.readline():
                task = asyncio.create_task(_pass_on(session, url, line))
                running.add(task)
                task.add_done_callback(running.discard)
        except ValueError as error:
            raise InvalidRequestError(f"A message has at most {_LONGEST_LINE} bytes.") from error
        finally:
            for task in tuple(running):
                task.cancel()


async def _pass_on(session: aiohttp.ClientSession, url: str, line: bytes) -> None:
    """One message, and its answer where it has one."""
    try:
        message = _Message.model_validate_json(line)
    except ValidationError:
        _say(_error(None, _PARSE_ERROR, "this is no message of JSON-RPC"))
        return
    try:
        async with session.post(url, data=line, allow_redirects=False) as answer:
            status, body = answer.status, await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        status, body = 0, {"error": f"{url} cannot be asked: {error or type(error).__name__}"}
    if message.id is None or status == HTTPStatus.ACCEPTED:
        return
    if not (isinstance(body, dict) and "jsonrpc" in body):
        said = body.get("error") if isinstance(body, dict) else None
        body = _error(message.id, _FAILED, f"{said or f'{url} answered {status}'}")
    _say(body)


def _error(message_id: str | int | None, code: int, text: str) -> JsonValue:
    return {"jsonrpc": "2.0", "id": message_id, "error": {"code": code, "message": text}}


def _say(answer: JsonValue) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
