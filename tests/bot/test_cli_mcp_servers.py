"""`countersign mcp offered`: what it prints is what the integration's file takes."""

import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from bot.cli import app
from core.errors import CountersignError
from core.starter import write_starter
from core.state import AIIntegration, ApplicationState
from integrations.base import read_settings
from integrations.mcp.integration import McpSettings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COUNTERSIGN_HOME", str(tmp_path))
    write_starter(tmp_path)
    return tmp_path


def settings(home: Path) -> dict[str, Any]:
    return {
        "command": [sys.executable, "-m", "tests.support.mcp_server"],
        "directory": str(ROOT),
        "environment": {"MCP_TEST_LOG": str(home / "log")},
    }


def write(home: Path, **values: Any) -> None:
    with (home / "config" / "integrations" / "weather.yaml").open("w") as file:
        YAML().dump({"kind": "mcp", **values}, file)


def test_what_a_server_offers_can_be_approved_as_it_is_printed(home: Path) -> None:
    write(home, settings=settings(home))
    said = CliRunner().invoke(app, ["mcp", "offered", "weather"])
    assert said.exit_code == 0, said.output
    tools = YAML(typ="safe").load(said.stdout)["tools"]
    assert sorted(tools) == ["environment", "forecast", "seed"]
    assert {tool["risk"] for tool in tools.values()} == {"change"}
    made = read_settings(
        AIIntegration(id="weather", kind="mcp", settings={**settings(home), "tools": tools}),
        McpSettings,
    )
    assert made.tools["forecast"].description == "The weather of a city."

    write(home, settings={**settings(home), "tools": tools})
    folder = home / "config"
    assert list(ApplicationState.load(folder).integrations["weather"].settings["tools"]) == [
        "forecast",
        "seed",
        "environment",
    ]


def test_one_of_another_kind_is_named(home: Path) -> None:
    write(home, settings=settings(home))
    said = CliRunner().invoke(app, ["mcp", "offered", "nothing"])
    assert isinstance(said.exception, CountersignError)
    assert "nothing" in str(said.exception)
