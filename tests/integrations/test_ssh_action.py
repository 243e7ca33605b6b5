"""ssh.run: a real OpenSSH server and client; what may be run, and what cannot be told."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from core.errors import ConfigurationError, InvalidRequestError
from core.records import Idempotency, Risk
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action, ActionError, ActionResult, OutcomeUnknownError
from integrations.ssh import SshIntegration
from tests.support.intake import attempt
from tests.support.sshd import SshServer, ssh_server
from tests.support.until import until

PROGRAMS: dict[str, Any] = {
    "say": {"path": "/bin/echo", "arguments": [".*"], "risk": "read", "repeat_last": True},
    "key": {"path": "/usr/bin/printenv", "arguments": ["COUNTERSIGN_KEY"], "risk": "read"},
    "fail": {"path": "/bin/false"},
    "write": {"path": "/usr/bin/touch", "arguments": ["/.*"], "idempotency": "natural"},
    "wait": {"path": "/bin/sleep", "arguments": ["[0-9.]+"], "time_limit": "1s"},
    "look": {"path": "/bin/sleep", "arguments": ["[0-9.]+"], "time_limit": "1s", "risk": "read"},
    "list": {"path": "/bin/ls", "arguments": ["/.*"], "dry_run": ["-d"]},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SshServer]:
    async with ssh_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


pytestmark = pytest.mark.asyncio(loop_scope="module")


def integration(server: SshServer, **changed: Any) -> SshIntegration:
    here = {"address": "127.0.0.1", "port": server.port}
    settings = {
        "user": server.user,
        "identity": str(server.identity),
        "known_hosts": str(server.known_hosts),
        "hosts": {"web-1": here, "behind": here | {"jump": "web-1"}, "gone": here | {"port": 1}},
        "programs": PROGRAMS,
    }
    record = AIIntegration(id="machines", kind="ssh", settings=settings | changed)
    return SshIntegration.create(record, Secrets({}))


def action(server: SshServer, **changed: Any) -> Action[Any]:
    (only,) = integration(server, **changed).actions()
    return only


async def run(
    server: SshServer, program: str, *arguments: str, host: str = "web-1", **changed: Any
) -> ActionResult:
    ssh = action(server, **changed)
    given = ssh.read({"host": host, "program": program, "arguments": list(arguments)})
    return await ssh.execute(given, attempt("run-7/tag"))


async def test_what_a_shell_would_understand_arrives_as_it_is(server: SshServer) -> None:
    hostile = ["$(id)", "; id", "'", '"', "`id`", "a  b", "*", "&& id", "\\", "-n", "é"]
    result = await run(server, "say", *hostile)
    assert result.output == " ".join(hostile) + "\n"
    assert result.values == {
        "host": "web-1",
        "exit_code": 0,
        "output": " ".join(hostile),
    }


async def test_the_program_knows_the_steps_key(server: SshServer) -> None:
    assert (await run(server, "key", "COUNTERSIGN_KEY")).output == "run-7/tag\n"


async def test_through_another_host(server: SshServer) -> None:
    assert (await run(server, "say", "there", host="behind")).output == "there\n"


async def test_a_failure_is_one(server: SshServer) -> None:
    with pytest.raises(ActionError, match="fail on web-1 ended with exit code 1"):
        await run(server, "fail")


async def test_after_its_time_limit_it_is_ended_on_the_other_side(server: SshServer) -> None:
    with pytest.raises(OutcomeUnknownError, match="time limit of 1 s"):
        await run(server, "wait", "987.5")
    assert not _processes("987.5")
    with pytest.raises(ActionError, match="time limit of 1 s"):
        await run(server, "look", "987.25")


async def test_a_connection_that_is_lost_leaves_the_outcome_open(server: SshServer) -> None:
    slow = PROGRAMS["wait"] | {"time_limit": "60s"}
    running = asyncio.create_task(run(server, "wait", "34.5", programs={"wait": slow}))
    await until(lambda: _processes("34.5", "timeout"), "it runs on the other side")
    for pid in _processes("34.5", "ssh"):
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(OutcomeUnknownError, match="signal 9"):
        await running
    for pid in _processes("34.5"):
        os.kill(pid, signal.SIGKILL)


async def test_a_host_that_is_away_has_run_nothing(server: SshServer) -> None:
    with pytest.raises(ActionError, match="gone cannot be reached, nothing was run"):
        await run(server, "write", "/nowhere", host="gone")


async def test_a_host_with_another_key_is_refused(server: SshServer, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    stranger = (server.identity.parent / "stranger.pub").read_text().split()
    known.write_text(f"[127.0.0.1]:{server.port} {stranger[0]} {stranger[1]}\n")
    with pytest.raises(ActionError, match="nothing was run"):
        await run(server, "write", str(tmp_path / "effect"), known_hosts=str(known))
    assert not (tmp_path / "effect").exists()
    assert not (await integration(server, known_hosts=str(known)).health()).ready


async def test_a_key_that_is_not_let_in(server: SshServer) -> None:
    stranger = str(server.identity.parent / "stranger")
    with pytest.raises(ActionError, match=r"(?s)nothing was run.*Permission denied"):
        await run(server, "say", "x", identity=stranger)


async def test_health(server: SshServer) -> None:
    assert "gone" in (await integration(server).health()).detail
    here = {"web-1": {"address": "127.0.0.1", "port": server.port}}
    assert (await integration(server, hosts=here).health()).ready


async def test_the_dry_run_is_the_preview(server: SshServer, tmp_path: Path) -> None:
    ssh = action(server)
    given = ssh.read({"host": "web-1", "program": "list", "arguments": [str(tmp_path)]})
    assert await ssh.preview(given) == f"{tmp_path}\n"
    given = ssh.read({"host": "web-1", "program": "list", "arguments": ["/no/such"]})
    with pytest.raises(ActionError, match="dry run on web-1 ended with exit code 2"):
        await ssh.preview(given)


async def test_only_what_is_listed(server: SshServer) -> None:
    ssh = action(server)
    for host, program, arguments in (
        ("web-2", "say", ["x"]),
        ("-oProxyCommand=id", "say", ["x"]),
        ("web-1", "sh", ["x"]),
        ("web-1", "write", ["relative"]),
        ("web-1", "fail", ["more"]),
    ):
        given = ssh.read({"host": host, "program": program, "arguments": arguments})
        with pytest.raises(InvalidRequestError):
            ssh.describe(given)
    fine = ssh.read({"host": "web-1", "program": "write", "arguments": ["/a b"]})
    assert ssh.describe(fine) == "Run /usr/bin/touch '/a b' on web-1"
    assert (ssh.risk_of(fine), ssh.idempotency_of(fine)) == (Risk.CHANGE, Idempotency.NATURAL)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"identity": "/no/such/key"}, "identity: there is no file /no/such/key"),
        ({"known_hosts": "relative"}, "known_hosts: write the absolute path"),
        ({"user": "-oProxyCommand=id"}, "settings.user"),
        ({"hosts": {"-oProxyCommand=id": {}}}, "not a host's name"),
        ({"hosts": {"a": {"address": "-oProxyCommand=id"}}}, "not a host's name"),
        ({"hosts": {"a": {"jump": "b"}}}, "jumps through b, which is not listed"),
        ({"hosts": {"a": {"jump": "b"}, "b": {"jump": "a"}}}, "two jumps"),
    ],
)
async def test_wrong_settings_are_named(
    server: SshServer, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        integration(server, **changed)
    assert "integrations/machines.yaml" in str(caught.value)


async def test_a_key_that_others_can_read_is_refused(server: SshServer, tmp_path: Path) -> None:
    copy = tmp_path / "key"
    copy.write_bytes(server.identity.read_bytes())
    copy.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        integration(server, identity=str(copy))


def _processes(argument: str, program: str = "sleep") -> list[int]:
    """Processes of that program with that argument."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            named = line[0].rpartition(b"/")[2] == program.encode()
            if named and any(argument.encode() in part for part in line[1:]):
                found.append(int(folder.name))
    return found
