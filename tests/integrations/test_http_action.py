"""http.request: a real server on loopback, and addresses that may not be reached."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import web

from core.errors import ConfigurationError, CountersignError, InvalidRequestError
from core.records import Idempotency, Risk
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action, ActionError, OutcomeUnknownError
from integrations.http import HttpIntegration
from integrations.http.addresses import PinningResolver, is_allowed
from tests.support.intake import attempt
from tests.support.processes import free_port

SECRET = "header-value-for-tests"


class Server:
    """A server that remembers what it was asked, and misbehaves on demand."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.hanging = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        self.bodies.append(await request.read())
        match request.path:
            case "/redirect":
                raise web.HTTPFound("http://169.254.169.254/latest/meta-data")
            case "/broken":
                return web.Response(text="{", content_type="application/json")
            case "/large":
                return web.Response(body=b"x" * 3_000_000)
            case "/echo":
                return web.Response(text=str(dict(request.headers)))
            case "/drop":
                assert request.transport
                request.transport.abort()
            case "/hang":
                await self.hanging.wait()
            case "/gateway":
                return web.Response(status=504, text="upstream timed out")
            case "/missing":
                return web.Response(status=404, text="no such thing")
        return web.json_response({"state": "fine"})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.port = runner.addresses[0][1]
    yield found
    found.hanging.set()
    await runner.cleanup()


def integration(host: str = "localhost", **settings: Any) -> HttpIntegration:
    common = {key: settings.pop(key) for key in ("timeout_s", "max_bytes") if key in settings}
    record = AIIntegration(
        id="web",
        kind="http",
        settings={"hosts": {host: settings}, **common},
        secrets={"key": "API_KEY"} if "secret_headers" in settings else {},
    )
    return HttpIntegration.create(record, Secrets({"API_KEY": SECRET}))


@asynccontextmanager
async def allowed(server: Server, **settings: Any) -> AsyncIterator[Action[Any]]:
    """The action, allowed to ask this server by its name."""
    found = integration(
        plain=True,
        ports=[server.port],
        **{
            "networks": ["127.0.0.0/8", "::1/128"],
            "methods": ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"],
        }
        | settings,
    )
    await found.start()
    (action,) = found.actions()
    yield action
    await found.close()


def request(server: Server, path: str = "/", method: str = "GET", **more: Any) -> dict[str, Any]:
    return {"url": f"http://localhost:{server.port}{path}", "method": method, **more}


async def test_reads_json(server: Server) -> None:
    async with allowed(server) as action:
        arguments = action.read(request(server, "/status?verbose=1"))
        result = await action.execute(arguments, attempt())

    assert result.values["status"] == 200
    assert result.values["json"] == {"state": "fine"}
    assert server.seen[0].query_string == "verbose=1"
    assert action.risk_of(arguments) is Risk.READ


async def test_sends_json_with_the_steps_key(server: Server) -> None:
    async with allowed(server) as action:
        arguments = action.read(
            request(server, "/deploy", "POST", json={"version": "1.2"}, headers={"X-Team": "a"})
        )
        await action.execute(arguments, attempt("run-3/deploy"))

    (seen,) = server.seen
    assert seen.headers["Idempotency-Key"] == "run-3/deploy"
    assert seen.headers["X-Team"] == "a"
    assert seen.content_type == "application/json"
    assert json.loads(server.bodies[0]) == {"version": "1.2"}


async def test_secret_headers_are_sent_and_not_shown(server: Server) -> None:
    async with allowed(server, secret_headers={"Authorization": "key"}) as action:
        arguments = action.read(request(server, "/echo"))
        preview = await action.preview(arguments)
        result = await action.execute(arguments, attempt())

    assert server.seen[0].headers["Authorization"] == SECRET
    assert SECRET not in result.model_dump_json()
    assert "[secret]" in result.output
    assert SECRET not in str(preview)


@pytest.mark.parametrize(
    ("method", "keyed", "risk", "idempotency"),
    [
        ("GET", False, Risk.READ, Idempotency.NATURAL),
        ("HEAD", False, Risk.READ, Idempotency.NATURAL),
        ("PUT", False, Risk.CHANGE, Idempotency.NATURAL),
        ("DELETE", False, Risk.DESTRUCTIVE, Idempotency.NATURAL),
        ("POST", False, Risk.CHANGE, Idempotency.NONE),
        ("POST", True, Risk.CHANGE, Idempotency.KEYED),
        ("PATCH", True, Risk.CHANGE, Idempotency.KEYED),
    ],
)
async def test_risk_and_idempotency_follow_the_method(
    server: Server, method: str, keyed: bool, risk: Risk, idempotency: Idempotency
) -> None:
    async with allowed(server, keyed=keyed) as action:
        arguments = action.read(request(server, method=method))
        assert (action.risk_of(arguments), action.idempotency_of(arguments)) == (risk, idempotency)


class TestFailures:
    async def test_a_status_that_is_not_expected(self, server: Server) -> None:
        async with allowed(server) as action:
            with pytest.raises(ActionError, match=r"(?s)answers 404.*no such thing"):
                await action.execute(action.read(request(server, "/missing")), attempt())
            expected = action.read(request(server, "/missing", expect=[404]))
            assert (await action.execute(expected, attempt())).values["status"] == 404

    async def test_a_redirect_is_not_followed(self, server: Server) -> None:
        async with allowed(server) as action:
            with pytest.raises(ActionError, match=r"169\.254\.169\.254.*not followed"):
                await action.execute(action.read(request(server, "/redirect")), attempt())
        assert len(server.seen) == 1

    async def test_a_large_answer_is_cut(self, server: Server) -> None:
        async with allowed(server, max_bytes=2048) as action:
            result = await action.execute(action.read(request(server, "/large")), attempt())
        assert len(result.output) <= 2050
        assert result.output.endswith("…")

    async def test_what_is_called_json_and_is_not(self, server: Server) -> None:
        async with allowed(server) as action:
            with pytest.raises(ActionError, match="not with the JSON it says"):
                await action.execute(action.read(request(server, "/broken")), attempt())

    async def test_what_was_changed_is_done_even_if_the_answer_is_no_json(
        self, server: Server
    ) -> None:
        async with allowed(server) as action:
            result = await action.execute(
                action.read(request(server, "/broken", "POST")), attempt()
            )
        assert "not with the JSON it says" in result.summary
        assert "json" not in result.values

    @pytest.mark.parametrize("path", ["/drop", "/hang", "/gateway"])
    async def test_after_sending_the_outcome_of_a_post_is_unknown(
        self, server: Server, path: str
    ) -> None:
        async with allowed(server, timeout_s=0.3) as action:
            with pytest.raises(OutcomeUnknownError):
                await action.execute(action.read(request(server, path, "POST")), attempt())
            with pytest.raises(ActionError):
                await action.execute(action.read(request(server, path, "GET")), attempt())

    async def test_a_server_that_is_not_there(self, server: Server) -> None:
        server.port = free_port()
        async with allowed(server) as action:
            with pytest.raises(ActionError, match="cannot be reached"):
                await action.execute(action.read(request(server, method="POST")), attempt())


class TestAllowList:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"url": "https://example.org/"}, "host example.org is not allowed"),
            ({"url": "https://localhost.example.org/"}, "not allowed"),
            ({"url": "https://localhost@example.org/"}, "passwords do not belong"),
            ({"url": "https://user:pw@localhost/"}, "passwords do not belong"),
            ({"url": "ftp://localhost/"}, "not an http"),
            ({"url": "file:///etc/passwd"}, "not an http"),
            ({"url": "https:///nowhere"}, "not a"),
            ({"url": "http://localhost/api/x"}, "https only"),
            ({"url": "https://localhost:22/api/x"}, "Port 22"),
            ({"url": "https://localhost:99999/"}, "not a"),
            ({"url": "https://localhost/admin"}, "path must match"),
            ({"url": "https://localhost/api/../admin"}, "path must match"),
            ({"url": "https://localhost/api/%2e%2e/admin"}, "path must match"),
            ({"url": "https://localhost/api/x", "method": "DELETE"}, "DELETE is not allowed"),
            ({"url": "https://localhost/api/x", "headers": {"Host": "x"}}, "Host"),
            (
                {"url": "https://localhost/api/x", "headers": {"authorization": "x"}},
                "authorization",
            ),
            ({"url": "https://localhost/api/x", "headers": {"A": "b\r\nC: d"}}, "headers"),
            ({"url": "https://localhost/api/x", "body": "x"}, "has no body"),
            (
                {"url": "https://localhost/api/x", "method": "POST", "body": "x", "json": 1},
                "not both",
            ),
        ],
    )
    def test_what_is_not_allowed_is_refused_when_it_is_planned(
        self, wrong: dict[str, Any], message: str
    ) -> None:
        (action,) = integration(paths="/api/[a-z]+", methods=["GET", "POST"]).actions()
        with pytest.raises(InvalidRequestError, match=message):
            action.risk_of(action.read(wrong))

    async def test_a_name_for_a_private_address(self, server: Server) -> None:
        async with allowed(server, networks=["10.0.0.0/8"]) as action:
            with pytest.raises(ActionError, match=r"localhost stands for .*web\.yaml"):
                await action.execute(action.read(request(server)), attempt())
        assert server.seen == []

    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:7f00:1]", "10.0.0.1"]
    )
    async def test_a_private_address(self, host: str) -> None:
        found = integration(host.strip("[]"))
        await found.start()
        (action,) = found.actions()
        with pytest.raises(CountersignError, match="not a public address"):
            await action.execute(action.read({"url": f"https://{host}/"}), attempt())
        await found.close()

    @pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost"])
    async def test_other_ways_to_write_loopback(self, server: Server, host: str) -> None:
        """The system's resolver takes all of these for 127.0.0.1."""
        found = integration(host, plain=True, ports=[server.port])
        await found.start()
        (action,) = found.actions()
        with pytest.raises(CountersignError):
            await action.execute(action.read({"url": f"http://{host}:{server.port}/"}), attempt())
        await found.close()
        assert server.seen == []


class TestAddresses:
    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.100.100.200",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fe80::1%eth0",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ],
    )
    def test_not_public(self, address: str) -> None:
        assert not is_allowed(address, ())

    @pytest.mark.parametrize(
        "address", ["93.184.215.14", "2606:2800:21f:cb07::1", "::ffff:93.184.215.14"]
    )
    def test_public(self, address: str) -> None:
        assert is_allowed(address, ())

    def test_a_network_that_is_allowed_by_name_and_no_other(self) -> None:
        networks = (ip_network("10.2.0.0/16"),)
        assert is_allowed("10.2.3.4", networks)
        assert is_allowed("::ffff:10.2.3.4", networks)
        assert not is_allowed("10.3.0.1", networks)

    async def test_one_private_answer_spoils_the_name(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A rebinding name server mixes public and private answers."""

        async def answers(*_: object, **__: object) -> list[Any]:
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 443)),
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 443)),
            ]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answers)
        with pytest.raises(OSError, match=r"evil\.example stands for 127\.0\.0\.1"):
            await PinningResolver(()).resolve("evil.example", 443)


async def test_the_name_is_resolved_once_for_a_request(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, asked = asyncio.get_running_loop(), []
    real = loop.getaddrinfo

    async def counted(host: Any, *more: Any, **named: Any) -> Any:
        asked.append(host)
        return await real(host, *more, **named)

    monkeypatch.setattr(loop, "getaddrinfo", counted)
    async with allowed(server) as action:
        await action.execute(action.read(request(server)), attempt())
    assert asked.count("localhost") == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"host": "*.example.org"}, "no wildcard"),
        ({"host": "https://example.org"}, "bare host name"),
        ({"methods": ["TRACE"]}, "methods"),
        ({"networks": ["everything"]}, "networks"),
        ({"paths": "("}, "not a regular expression"),
        ({"secret_headers": {"Authorization": "other"}}, "no secret key; known: other"),
    ],
)
def test_a_wrong_configuration(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"(?s)web\.yaml.*{message}"):
        integration(**settings)
