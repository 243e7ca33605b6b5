"""An editor asks over MCP, by the official client; people countersign in Slack."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import aiohttp
import httpx2
import pytest
import pytest_asyncio
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from bot import names
from tests.support.countersign import ALICE, BOB, DEPLOYS, Application, application
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Application]:
    async with application(tmp_path_factory.mktemp("mcp") / "home", None) as running:
        await running.connected()
        yield running


async def countersign(app: Application, *arguments: str) -> str:
    """What `countersign …` prints, errors too."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from bot.cli import main; main()", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=app.environment,
    )
    printed, _ = await asyncio.wait_for(process.communicate(), 60)
    return printed.decode()


async def token_of(app: Application, user: str, *more: str) -> str:
    printed = await countersign(app, "mcp", "token", "--user", user, "--label", "editor", *more)
    return printed.strip()


@asynccontextmanager
async def editor(
    app: Application, token: str, mode: Literal["auto", "legacy"] = "auto"
) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        transport = streamable_http_client(f"{app.http_url}/mcp", http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert isinstance(result.structured_content, dict)
    return result.structured_content


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result
    return str(result.content)


def git(app: Application, *arguments: str) -> str:
    command = ["git", "-C", str(app.home / "repositories" / "shop"), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_an_editor_asks_and_a_person_countersigns(
    app: Application, mode: Literal["auto", "legacy"]
) -> None:
    commit = git(app, "rev-parse", "HEAD").strip()
    wanted = {
        "workflow": "revert-commit",
        "channel": "#deploys",
        "arguments": {"commit": commit, "reason": "payments time out"},
    }
    token = await token_of(app, ALICE)
    async with editor(app, token, mode) as client, app.page(BOB) as bob:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        assert tools == {"list_workflows", "plan", "request_run", "read_run", "list_runs"}

        listed = (await call(client, "list_workflows", channel="#deploys"))["workflows"]
        known = {workflow["id"]: workflow for workflow in listed}
        parameters = {p["name"]: p for p in known["revert-commit"]["parameters"]}
        assert parameters["commit"]["required"]

        plan = await call(client, "plan", **wanted)
        assert (plan["state"], plan["id"], plan["risk"]) == ("planned", "", "change")
        assert "diff" in plan["steps"][0]["preview"]
        assert (await call(client, "list_runs", workflow="revert-commit", state="awaiting")) == {
            "runs": []
        }

        run = await call(client, "request_run", **wanted, key=f"the-only-one-{mode}")
        again = await call(client, "request_run", **wanted, key=f"the-only-one-{mode}")
        assert (run["state"], again["id"]) == ("awaiting", run["id"])
        assert (run["requester"], run["channel"]) == (ALICE, "#deploys")
        assert "model" in str(run["steps"][0]["untrusted"])

        async def card() -> dict[str, Any] | None:
            messages = await bob.messages(DEPLOYS)
            return next((m for m in messages if run["id"] in str(m["blocks"])), None)

        shown = await until(card, "the card")
        assert shown is not None
        await bob.press(shown, names.APPROVE)

        async def done() -> bool:
            return (await call(client, "read_run", run_id=run["id"]))["state"] == "succeeded"

        await until(done, "the run is done", 40)
        runs = (await call(client, "list_runs", workflow="revert-commit"))["runs"]
        assert [line["id"] for line in runs].count(run["id"]) == 1
    assert f"This reverts commit {commit}" in git(app, "log", "-1")


async def test_what_the_person_may_not_do_the_editor_may_not(app: Application) -> None:
    token = await token_of(app, ALICE)
    async with editor(app, token) as client:
        missing = await refused(client, "plan", workflow="no-such", channel="#deploys")
        assert "There is no workflow" in missing
        nowhere = await refused(client, "plan", workflow="revert-commit", channel="#no-such")
        assert "no channel #no-such" in nowhere
        wrong = await refused(
            client,
            "request_run",
            workflow="revert-commit",
            channel="#deploys",
            arguments={"commit": "--all"},
        )
        assert "commit" in wrong
        assert "There is no run" in await refused(client, "read_run", run_id="no-such")
        assert "There is no state" in await refused(client, "list_runs", state="no-such")


async def test_without_a_valid_token_nothing_is_answered(app: Application) -> None:
    good = await token_of(app, ALICE)
    assert good.startswith("cst_")
    listed = await countersign(app, "mcp", "tokens")
    assert good not in listed
    revoked = listed.split()[0]
    assert "is revoked" in await countersign(app, "mcp", "revoke", revoked)
    stranger = await token_of(app, "U0NOBODY")
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    expected = {good: 401, stranger: 403, "cst_wrong": 401, "": 401, "é": 401}
    async with aiohttp.ClientSession() as session:
        for token, status in expected.items():
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
            async with session.post(f"{app.http_url}/mcp", json=message, headers=headers) as answer:
                assert answer.status == status, token
                assert "tools" not in await answer.text()
        async with session.post(f"{app.http_url}/mcp", json=message) as answer:
            assert answer.status == 401
        async with session.get(f"{app.http_url}/mcp") as answer:
            assert answer.status == 405
    assert good not in app.log.read_text()


async def test_what_the_command_line_refuses(app: Application) -> None:
    assert "no member id" in await countersign(
        app, "mcp", "token", "--user", "alice", "--label", "x"
    )
    too_long = await countersign(
        app, "mcp", "token", "--user", ALICE, "--label", "x", "--valid-for", "900d"
    )
    assert "at most 366 days" in too_long
    assert "There is no token" in await countersign(app, "mcp", "revoke", "no-such")
    assert "audit log is whole" in await countersign(app, "audit", "verify")


async def test_a_client_over_standard_input_and_output_reaches_it_by_the_bridge(
    app: Application, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(await token_of(app, ALICE))
    file.chmod(0o600)
    command = ("-c", "from bot.cli import main; main()", "mcp", "serve", "--token-file", str(file))
    bridge = StdioServerParameters(command=sys.executable, args=list(command), env=app.environment)
    async with Client(bridge, read_timeout_seconds=60) as client:
        listed = await call(client, "list_workflows", channel="#deploys")
        assert "revert-commit" in {workflow["id"] for workflow in listed["workflows"]}

    file.write_text("cst_no-such-token")
    with pytest.raises(ExceptionGroup) as caught:
        async with Client(bridge, read_timeout_seconds=60) as client:
            await client.list_tools()
    assert caught.group_contains(MCPError, match="a valid token is needed")

    file.chmod(0o644)
    said = await countersign(app, "mcp", "serve", "--token-file", str(file))
    assert "others can read it" in said
