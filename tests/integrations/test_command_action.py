"""command.run: real processes, their limits, and nothing left behind."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigurationError, InvalidRequestError
from core.records import Idempotency, Risk
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action, ActionError, OutcomeUnknownError
from integrations.command import CommandIntegration
from tests.support.intake import attempt
from tests.support.until import until

SHELL = {"path": "/bin/sh", "arguments": ["-c", "(?s).*"]}


def integration(**programs: dict[str, Any]) -> CommandIntegration:
    record = AIIntegration(id="tools", kind="command", settings={"programs": programs})
    return CommandIntegration.create(record, Secrets({}))


def command(**programs: dict[str, Any]) -> Action[Any]:
    (action,) = integration(**programs).actions()
    return action


async def shell(script: str, key: str = "run-1/step-1", **settings: Any) -> Any:
    """Run a script by a program that happens to be a shell; ours never starts one by itself."""
    action = command(sh=SHELL | settings)
    arguments = action.read({"program": "sh", "arguments": ["-c", script]})
    return await action.execute(arguments, attempt(key))


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def pids(file: Path, count: int) -> list[int]:
    def written() -> list[str]:
        return file.read_text().split() if file.exists() else []

    await until(lambda: len(written()) == count, "the processes have started")
    return [int(pid) for pid in written()]


async def test_runs_the_program_and_keeps_its_output() -> None:
    action = command(echo={"path": "/bin/echo", "arguments": ["[a-z ;$()]+"], "risk": "read"})
    arguments = action.read({"program": "echo", "arguments": ["$(id); hello"]})
    result = await action.execute(arguments, attempt())

    assert result.output == "$(id); hello\n"
    assert result.values == {"exit_code": 0, "output": "$(id); hello"}
    assert action.describe(arguments) == "Run /bin/echo '$(id); hello' in /"


async def test_inherits_nothing_but_what_is_configured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COUNTERSIGN_SLACK_BOT_TOKEN", "xoxb-secret")
    action = command(
        env={"path": "/usr/bin/env", "environment": {"REGION": "eu"}, "directory": str(tmp_path)}
    )
    result = await action.execute(action.read({"program": "env"}), attempt("run-7/tag"))
    variables = dict(line.split("=", 1) for line in result.output.splitlines())

    assert set(variables) == {"PATH", "LANG", "HOME", "REGION", "COUNTERSIGN_KEY"}
    assert variables["COUNTERSIGN_KEY"] == "run-7/tag"
    assert variables["HOME"] == str(tmp_path)


class TestAllowList:
    kubectl = {"path": "/bin/echo", "arguments": ["get", "pods|nodes", "[a-z][a-z-]*"]}  # noqa: RUF012

    @pytest.mark.parametrize(
        "given",
        [
            ["get", "pods"],
            ["get", "pods", "web", "more"],
            ["delete", "pods", "web"],
            ["get", "pods,secrets", "web"],
            ["get", "pods", "--all"],
            ["get", "pods", "web\n"],
            ["get", "pods", ""],
        ],
    )
    def test_every_argument_must_match_in_full(self, given: list[str]) -> None:
        action = command(kubectl=self.kubectl)
        with pytest.raises(InvalidRequestError, match="kubectl"):
            action.risk_of(action.read({"program": "kubectl", "arguments": given}))

    def test_the_last_pattern_can_hold_for_any_number(self) -> None:
        action = command(rm={"path": "/bin/echo", "arguments": ["-v", "/tmp/.*"], "repeat_last": 1})
        for count in range(3):
            arguments = action.read({"program": "rm", "arguments": ["-v", *["/tmp/x"] * count]})
            assert action.describe(arguments).endswith("-v" + " /tmp/x" * count + " in /")
        with pytest.raises(InvalidRequestError):
            action.describe(action.read({"program": "rm", "arguments": ["-v", "/tmp/x", "/etc"]}))
        with pytest.raises(InvalidRequestError, match="at least 1"):
            action.describe(action.read({"program": "rm"}))

    async def test_other_programs(self) -> None:
        action = command(kubectl=self.kubectl)
        with pytest.raises(InvalidRequestError, match=r"tools\.yaml\); allowed: kubectl"):
            await action.execute(action.read({"program": "/bin/sh"}), attempt())

    def test_nul_characters(self) -> None:
        with pytest.raises(InvalidRequestError, match="NUL"):
            command(sh=SHELL).read({"program": "sh", "arguments": ["-c", "a\0b"]})

    def test_risk_and_idempotency_are_the_programs(self) -> None:
        action = command(
            look={"path": "/bin/ls", "risk": "read", "idempotency": "natural"},
            wipe={"path": "/bin/ls", "risk": "destructive"},
            other={"path": "/bin/ls"},
        )
        seen = {
            name: (action.risk_of(found), action.idempotency_of(found))
            for name in ("look", "wipe", "other")
            if (found := action.read({"program": name}))
        }
        assert seen == {
            "look": (Risk.READ, Idempotency.NATURAL),
            "wipe": (Risk.DESTRUCTIVE, Idempotency.NONE),
            "other": (Risk.CHANGE, Idempotency.NONE),
        }


class TestEndings:
    async def test_an_exit_code(self) -> None:
        with pytest.raises(ActionError, match=r"(?s)exit code 3.*out\nerr"):
            await shell("echo out; echo err >&2; exit 3")

    async def test_a_signal_may_have_come_halfway(self) -> None:
        with pytest.raises(OutcomeUnknownError, match="signal 9"):
            await shell("kill -9 $$")

    async def test_a_program_that_only_reads_has_no_unknown_outcome(self) -> None:
        with pytest.raises(ActionError, match="signal 9"):
            await shell("kill -9 $$", risk="read")

    async def test_the_time_limit_ends_the_whole_group(self, tmp_path: Path) -> None:
        file = tmp_path / "pids"
        with pytest.raises(OutcomeUnknownError, match=r"(?s)time limit of 1 s.*started"):
            await shell(f"echo started; sleep 60 & echo $! $$ > {file}; wait", time_limit="1s")
        for pid in await pids(file, 2):
            await until(lambda pid=pid: not running(pid), f"{pid} has ended")

    async def test_a_program_that_ignores_the_gentle_signal(self, tmp_path: Path) -> None:
        file = tmp_path / "pids"
        with pytest.raises(OutcomeUnknownError, match="time limit"):
            await shell(f"trap '' TERM; echo $$ > {file}; sleep 60; sleep 60", time_limit="1s")
        (pid,) = await pids(file, 1)
        assert not running(pid)

    async def test_cancelling_ends_the_whole_group(self, tmp_path: Path) -> None:
        file = tmp_path / "pids"
        task = asyncio.create_task(shell(f"sleep 60 & echo $! $$ > {file}; wait"))
        started = await pids(file, 2)
        assert all(running(pid) for pid in started)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for pid in started:
            await until(lambda pid=pid: not running(pid), f"{pid} has ended")

    async def test_cancelling_at_any_moment_leaves_no_process_and_no_file(self) -> None:
        before = len(list(Path("/proc/self/fd").iterdir()))
        for number in range(40):
            task = asyncio.create_task(shell("sleep 987654"))
            await asyncio.sleep(number / 2000)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1

    async def test_a_background_process_does_not_hold_up_the_result(self, tmp_path: Path) -> None:
        file = tmp_path / "pids"
        async with asyncio.timeout(10):
            result = await shell(f"echo done; sleep 60 & echo $! > {file}")
        assert result.output == "done\n"
        (pid,) = await pids(file, 1)
        await until(lambda: not running(pid), "the background process has ended")

    async def test_a_program_that_has_gone_away(self, tmp_path: Path) -> None:
        path = tmp_path / "tool"
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
        found = integration(tool={"path": str(path)})
        (action,) = found.actions()
        assert (await found.health()).ready
        path.unlink()
        assert (await found.health()).detail == f"tool: there is no program {path}"
        with pytest.raises(ActionError, match="cannot be started"):
            await action.execute(action.read({"program": "tool"}), attempt())


class TestOutput:
    async def test_of_much_output_the_beginning_and_the_end_are_kept(self) -> None:
        result = await shell("echo first; head -c 50000000 /dev/zero; echo last", output_limit=2048)
        assert result.output.startswith("first\n")
        assert result.output.endswith("last\n")
        assert "bytes left out" in result.output
        assert len(result.output) < 2200

    async def test_control_characters_and_broken_text_do_no_harm(self) -> None:
        result = await shell(r"printf 'a\033[31m\000b\377\r\nc'")
        assert result.output == "a[31mb�\nc"


class TestPreview:
    async def test_is_the_program_with_its_dry_run_arguments(self) -> None:
        action = command(apply={"path": "/bin/echo", "arguments": ["x"], "dry_run": ["--dry-run"]})
        arguments = action.read({"program": "apply", "arguments": ["x"]})
        assert await action.preview(arguments) == "x --dry-run\n"

    async def test_fails_where_the_dry_run_fails(self) -> None:
        action = command(apply={"path": "/bin/false", "dry_run": ["--dry-run"]})
        with pytest.raises(ActionError, match="dry run ended with exit code 1"):
            await action.preview(action.read({"program": "apply"}))

    async def test_is_none_where_the_program_has_none(self) -> None:
        action = command(apply={"path": "/bin/echo"})
        assert await action.preview(action.read({"program": "apply"})) is None


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ({"path": "bin/ls"}, "absolute path"),
        ({"path": "/bin/no-such-program"}, "there is no program"),
        ({"path": "/etc/passwd"}, "not executable"),
        ({"path": "/bin/ls", "directory": "/no-such"}, "there is no directory"),
        ({"path": "/bin/ls", "arguments": ["("]}, "not a regular expression"),
        ({"path": "/bin/ls", "risk": "none"}, "'read', 'change' or 'destructive'"),
    ],
)
def test_a_wrong_configuration(program: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"tools\.yaml: settings\.programs\.x.*{message}"):
        integration(x=program)


def test_a_program_that_everybody_can_change(tmp_path: Path) -> None:
    path = tmp_path / "tool"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o777)
    with pytest.raises(ConfigurationError, match="chmod o-w"):
        integration(tool={"path": str(path)})
