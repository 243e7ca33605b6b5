"""Our own HTTP service: webhooks, health, MCP, Slack over HTTP where it is asked for, runbooks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus

from aiohttp import web
from slack_bolt.async_app import AsyncApp

from bot.mcp.server import McpSite
from bot.transport import mount
from core.errors import ConfigurationError
from core.inbox import Backlog
from core.knowledge import KnowledgeBase, render_document
from core.knowledge.render import CONTENT_SECURITY_POLICY
from core.settings import Settings
from integrations.intake import LINGERING_S, Readiness, intake_routes
from integrations.registry import Integrations

RUNBOOKS = "/runbooks"


def web_app(
    settings: Settings,
    integrations: Integrations,
    inbox: Backlog,
    ready: Readiness,
    knowledge: KnowledgeBase,
    slack: AsyncApp | None,
    mcp: McpSite,
    degraded: Callable[[], Iterable[str]] = tuple,
) -> web.Application:
    """The application; `slack` is given where Slack is to reach it over HTTP."""
    app = web.Application()
    app.add_routes(intake_routes(integrations, inbox, ready, degraded))
    app.add_routes(mcp.routes())
    if settings.on_loopback and settings.runbook_url is None:
        app.router.add_get(RUNBOOKS + "/{path:.+}", _Runbooks(knowledge).show)
        app.router.add_get("/favicon.ico", _no_icon)
    if slack is not None:
        mount(slack, app)
    return app


@asynccontextmanager
async def serving(app: web.Application, settings: Settings) -> AsyncIterator[None]:
    """Serve the application at `http_host` and `http_port`.

    Raises:
        ConfigurationError: the port is taken.
    """
    runner = web.AppRunner(app, access_log=None, lingering_time=LINGERING_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.http_host, settings.http_port).start()
    except OSError as error:
        await runner.cleanup()
        raise ConfigurationError(
            f"{settings.http_host}:{settings.http_port} cannot be listened on "
            f"({error.strerror}); set COUNTERSIGN_HTTP_PORT to a free port."
        ) from error
    try:
        yield
    finally:
        await runner.cleanup()


async def _no_icon(_request: web.Request) -> web.Response:
    return web.Response(status=HTTPStatus.NO_CONTENT)


class _Runbooks:
    """Shows runbooks as pages."""

    def __init__(self, knowledge: KnowledgeBase) -> None:
        self._knowledge = knowledge

    async def show(self, request: web.Request) -> web.Response:
        """One document; only what the index holds can be asked for, whatever the path says."""
        document = self._knowledge.documents.get(request.match_info["path"])
        if document is None:
            return web.Response(status=HTTPStatus.NOT_FOUND, text="There is no such runbook.")
        page = await asyncio.to_thread(render_document, document)
        headers: Mapping[str, str] = {
            "Content-Security-Policy": CONTENT_SECURITY_POLICY,
            "X-Content-Type-Options": "nosniff",
        }
        return web.Response(text=page, content_type="text/html", headers=headers)
