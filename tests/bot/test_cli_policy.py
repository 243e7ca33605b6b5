"""`countersign policy explain`, as a person types it: by hand, of the local workspace, of Slack."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bot.cli import app
from bot.workspace.server import WorkspaceServer
from core.errors import ConfigurationError, CountersignError, NotFoundError

BOB = "U0BOB"  # on call, by the workspace's seed


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A starter that has never run, on a machine where no workspace does."""
    monkeypatch.setenv("COUNTERSIGN_HOME", str(tmp_path))
    monkeypatch.setenv("COUNTERSIGN_WORKSPACE_PORT", "1")
    monkeypatch.delenv("COUNTERSIGN_SLACK_BOT_TOKEN", raising=False)
    assert run("init").exit_code == 0
    return tmp_path


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[WorkspaceServer]:
    """The local workspace, in a thread of its own as if in another process."""
    started: Future[WorkspaceServer] = Future()
    stop = threading.Event()

    async def serve() -> None:
        server = WorkspaceServer(tmp_path / "workspace.db")
        await server.start()
        started.set_result(server)
        await asyncio.to_thread(stop.wait)
        await server.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    yield started.result(30)
    stop.set()
    thread.join(30)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def explain(*more: str, workflow: str = "tag-release") -> list[str]:
    result = run("policy", "explain", "--user", BOB, "--workflow", workflow, *more)
    if result.exception is not None:
        raise result.exception
    return result.stdout.splitlines()


def test_groups_can_be_given_by_hand(home: Path) -> None:
    lines = explain("--groups", "oncall, @engineers", "--channel", "#deploys")
    assert lines[0] == "U0BOB and tag-release in #deploys:"
    assert "- holds the role approver, as a member of @oncall" in lines
    start = next(line for line in lines if line.startswith("- may start:"))
    assert "grants[0] of policy.yaml allows start to operator" in start
    assert any(line.startswith("- may not administer:") for line in lines)
    assert lines[-1] == "Groups: oncall, @engineers, as given."
    assert "- holds no role of policy.yaml" in explain("--groups", "")


def test_what_is_no_member_id_is_told(home: Path) -> None:
    result = run("policy", "explain", "--user", "bob", "--workflow", "tag-release")
    assert "'bob' is no member id: --user takes one such as U0123ABCD" in str(result.exception)


def test_the_running_local_workspace_is_asked(
    home: Path, workspace: WorkspaceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERSIGN_WORKSPACE_PORT", workspace.base_url.rpartition(":")[2])
    channel = next(iter(workspace.workspace.directory.channels.values()))
    lines = explain("--channel", channel.id)
    assert lines[0] == f"U0BOB and tag-release in #{channel.name}:"
    assert "- holds the role approver, as a member of @oncall" in lines
    assert lines[-1] == "Groups: as the local workspace has them now."


def test_slack_is_asked_where_a_token_is_set(
    home: Path, workspace: WorkspaceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERSIGN_SLACK_API_URL", workspace.api_url)
    monkeypatch.setenv("COUNTERSIGN_SLACK_BOT_TOKEN", workspace.bot_token.get_secret_value())
    lines = explain()
    assert lines[0] == "U0BOB and tag-release outside channels:"
    assert "- holds the role approver, as a member of @oncall" in lines
    assert lines[-1] == "Groups: as Slack has them now."
    monkeypatch.setenv("COUNTERSIGN_SLACK_BOT_TOKEN", "xoxb-wrong")
    with pytest.raises(CountersignError, match="COUNTERSIGN_SLACK_BOT_TOKEN is not valid"):
        explain()


def test_where_nobody_can_be_asked_it_says_what_to_do(home: Path) -> None:
    with pytest.raises(ConfigurationError, match="--groups a,b"):
        explain()
    with pytest.raises(NotFoundError, match="There is no workflow"):
        explain("--groups", "oncall", workflow="tag")
