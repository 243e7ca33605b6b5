"""Keeps foreign websites out: the workspace has no log-in, so only its own page may drive it.

A website that a person visits can send requests to loopback from their browser. Three checks stop
it: the `Host` (against DNS rebinding), `Origin` and `Sec-Fetch-Site` (against cross-site requests),
and JSON bodies only, which a plain form cannot send.
"""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.typedefs import Handler
from yarl import URL

from bot.workspace.errors import PageError
from bot.workspace.protocol import Problem

logger = logging.getLogger(__name__)

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_OWN_SITE = frozenset({"same-origin", "none"})
_JSON_ONLY = ("/page/", "/dev/")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; "
        "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def problem_response(status: int, error: str, message: str) -> web.Response:
    """A 4xx answer of the page's API."""
    body = Problem(error=error, message=message).model_dump()
    return web.json_response(body, status=status)


def _is_own(request: web.Request) -> bool:
    try:
        host = URL(f"http://{request.headers.get('Host', '')}")
        if host.host not in LOOPBACK:
            return False
        origin = request.headers.get("Origin")
        if origin is not None and URL(origin).origin() != host.origin():
            return False
    except ValueError:
        return False
    site = request.headers.get("Sec-Fetch-Site")
    # A link from elsewhere may lead to the page itself; that alone does nothing.
    return site is None or site in _OWN_SITE or _is_entrance(request)


def _is_entrance(request: web.Request) -> bool:
    return request.method == "GET" and (
        request.path == "/" or request.path.startswith("/archives/")
    )


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses what does not come from this machine's own page or programs."""
    if not _is_own(request):
        logger.warning("Refused %s %s from a foreign site", request.method, request.path)
        return problem_response(403, "foreign_origin", "Only this server's own page may ask this")
    if (
        request.method == "POST"
        and request.path.startswith(_JSON_ONLY)
        and request.content_type != "application/json"
    ):
        return problem_response(415, "not_json", "Send Content-Type: application/json")
    return await handler(request)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns `PageError` into its answer."""
    try:
        return await handler(request)
    except PageError as problem:
        return problem_response(problem.status, problem.error, str(problem))


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Puts the security headers on every answer that has not its own."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
