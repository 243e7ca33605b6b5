"""The workspace's HTTP server: one port for the Web API, Socket Mode, hooks, uploads and page."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from aiohttp import web
from pydantic import SecretStr

from bot.workspace.delivery import DeliveryPolicy
from bot.workspace.dev_api import DevApi
from bot.workspace.errors import MethodError, PageError, WorkspaceError
from bot.workspace.guard import LOOPBACK, add_headers, guard, problems
from bot.workspace.http_delivery import RequestUrl
from bot.workspace.page_api import PageApi
from bot.workspace.page_records import Shortcut, SlashCommand
from bot.workspace.recorder import Recorder
from bot.workspace.records import SecretsRecord
from bot.workspace.seed import WorkspaceSeed, default_seed
from bot.workspace.state import Workspace, WorkspaceOptions
from bot.workspace.web_api.endpoint import WebApi

_BODY_LIMIT = 1024 * 1024
_STATIC = Path(__file__).with_name("static")


class WorkspaceServer:
    """A local stand-in for Slack, on loopback.

    Args:
        storage: the SQLite file; files lie in a folder beside it. Everything survives a crash.
        seed: what a new file starts with; the default has four people and three channels.
        host: a loopback address or name; there is no log-in, so nothing else is allowed.
        port: 0 takes a free one.
        commands, shortcuts: the bot's, as in its manifest.
        bot_token, app_token, signing_secret: None: made at the first start and kept in the file.
        request_url: deliver over signed HTTP to this address instead of Socket Mode.
        policy: acknowledgement time, redelivery and subscribed events.
        stream_seconds: after which a streamed message is ended.

    Raises:
        WorkspaceError: the host is not loopback.
        StorageError: the file cannot be used.
    """

    def __init__(
        self,
        storage: Path,
        seed: WorkspaceSeed | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        commands: Sequence[SlashCommand] = (),
        shortcuts: Sequence[Shortcut] = (),
        bot_token: SecretStr | None = None,
        app_token: SecretStr | None = None,
        signing_secret: SecretStr | None = None,
        request_url: str | None = None,
        policy: DeliveryPolicy | None = None,
        stream_seconds: float = 300.0,
    ) -> None:
        if host not in LOOPBACK:
            raise WorkspaceError(
                f"The workspace has no log-in, so it listens on loopback only, not on {host}; "
                "use 127.0.0.1, localhost or ::1"
            )
        self._host = host
        self._port = port
        self._wanted_url = request_url

        def given(stored: SecretsRecord) -> SecretsRecord:
            chosen = {
                "bot_token": bot_token,
                "app_token": app_token,
                "signing_secret": signing_secret,
            }
            return stored.model_copy(
                update={k: v.get_secret_value() for k, v in chosen.items() if v is not None}
            )

        options = WorkspaceOptions(
            commands=tuple(commands),
            shortcuts=tuple(shortcuts),
            policy=policy or DeliveryPolicy(),
            stream_seconds=stream_seconds,
        )
        self.workspace = Workspace(storage, seed or default_seed(), options, given)
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    # --- what callers need to know ---

    @property
    def base_url(self) -> str:
        """Address of the page, without a slash at the end; empty before `start`."""
        return self.workspace.address.base_url

    @property
    def api_url(self) -> str:
        """`base_url` for Slack's clients; ends in `/api/`."""
        return f"{self.base_url}/api/"

    @property
    def bot_token(self) -> SecretStr:
        """Token for the Web API (`xoxb-…`)."""
        return SecretStr(self.workspace.secrets.bot_token)

    @property
    def app_token(self) -> SecretStr:
        """Token for Socket Mode (`xapp-…`)."""
        return SecretStr(self.workspace.secrets.app_token)

    @property
    def signing_secret(self) -> SecretStr:
        """What HTTP deliveries are signed with."""
        return SecretStr(self.workspace.secrets.signing_secret)

    @property
    def recorder(self) -> Recorder:
        """Recorded calls and deliveries."""
        return self.workspace.recorder

    # --- life ---

    async def start(self) -> None:
        """Begins to listen.

        Raises:
            WorkspaceError: the port is taken.
        """
        web_api = WebApi(self.workspace)
        app = web.Application(middlewares=[problems, guard], client_max_size=_BODY_LIMIT)
        app.on_response_prepare.append(add_headers)
        app.add_routes(PageApi(self.workspace).routes())
        app.add_routes(DevApi(self.workspace, self.use_request_url).routes())
        app.add_routes(
            [
                web.get("/api/{method}", web_api.handle),
                web.post("/api/{method}", web_api.handle),
                web.get("/link", self.workspace.delivery.sockets.serve),
                web.post("/hooks/{key}", self._hook),
                web.post("/upload/{id}", self._upload),
                web.get("/files/{id}", self._file),
                web.get("/", self._index),
                web.get(r"/archives/{channel:\w+}/p{seconds:\d+}{fraction:\d{6}}", self._permalink),
            ]
        )
        if _STATIC.is_dir():
            app.router.add_static("/static/", _STATIC)
        self._session = aiohttp.ClientSession(auto_decompress=False)
        self._runner = web.AppRunner(app, shutdown_timeout=2.0, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            await self.close()
            raise WorkspaceError(
                f"The workspace cannot listen on {self._host}:{self._port}: {error.strerror}; "
                "choose another port (COUNTERSIGN_WORKSPACE_PORT)"
            ) from error
        port = self._runner.addresses[0][1]
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.workspace.address.base_url = f"http://{host}:{port}"
        self.workspace.streams.resume()
        self.workspace.scheduled.start(web_api.post)
        self.use_request_url(self._wanted_url)

    async def close(self) -> None:
        """Stops listening and closes the file; what is stored stays."""
        await self.workspace.end()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._session is not None:
            await self._session.close()
            self._session = None
        self.workspace.storage.close()

    def use_request_url(self, url: str | None) -> None:
        """Delivers over signed HTTP to this address; None: over Socket Mode."""
        if url is None or self._session is None:
            self.workspace.delivery.use_request_url(None)
        else:
            self.workspace.delivery.use_request_url(
                RequestUrl(url, self.signing_secret, self._session)
            )

    # --- routes that are no one else's ---

    async def _index(self, _: web.Request) -> web.StreamResponse:
        index = _STATIC / "index.html"
        if not await asyncio.to_thread(index.is_file):
            raise PageError(
                404, "no_page", "bot/workspace/static/index.html is missing: build the page"
            )
        return web.FileResponse(index, headers={"Cache-Control": "no-cache"})

    async def _permalink(self, request: web.Request) -> web.StreamResponse:
        """Leads a permalink to its thread on the page, as whoever looks at it."""
        found = request.match_info
        channel, ts = found["channel"], f"{found['seconds']}.{found['fraction']}"
        message = self.workspace.storage.message(channel, ts)
        thread = (message.thread_ts or message.ts) if message is not None else ""
        raise web.HTTPFound(f"/#//{channel}/{thread}")

    async def _hook(self, request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.read())
        except ValueError:
            return web.Response(status=400, text="invalid_payload")
        if not isinstance(body, dict):
            return web.Response(status=400, text="invalid_payload")
        try:
            self.workspace.responses.use(request.match_info["key"], body)
        except MethodError as error:
            status = 404 if error.code in ("expired_url", "used_url") else 400
            answer = {"ok": False, "error": error.code}
            if error.messages:
                answer["response_metadata"] = {"messages": list(error.messages)}
            return web.json_response(answer, status=status)
        return web.Response(text="ok")

    async def _upload(self, request: web.Request) -> web.Response:
        record = self.workspace.files.get(request.match_info["id"])
        if record is None or record.size is not None:
            return web.Response(status=404, text="unknown or finished upload")
        try:
            stored = await self.workspace.files.receive(
                record, request.content.iter_chunked(64 * 1024)
            )
        except MethodError as error:
            return web.Response(status=413, text=error.code)
        return web.Response(text=f"OK - {stored.size}")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(token.encode(), self.workspace.secrets.bot_token.encode()):
            raise web.HTTPForbidden(text="files need the bot's token")
        record = self.workspace.files.get(request.match_info["id"])
        if record is None or record.size is None:
            raise web.HTTPNotFound(text="no such file")
        return web.FileResponse(
            self.workspace.files.path(record.id), headers={"Content-Type": record.mimetype}
        )
