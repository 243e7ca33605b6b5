"""The manifest holds exactly what the code uses."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ruamel.yaml import YAML
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

import bot
from bot import names
from bot.handlers.listeners import Listeners
from bot.manifest import SCOPES, manifest, manifest_yaml
from bot.transport import transport_of
from core.errors import ConfigurationError
from core.settings import Settings
from tests.bot.handlers.world import application_state

ROOT = Path(bot.__file__).parent


def made(tmp_path: Path, socket_mode: bool = True, **settings: Any) -> dict[str, Any]:
    """The manifest for these settings."""
    return manifest(Settings(home=tmp_path, **settings), application_state(tmp_path), socket_mode)


def called_methods() -> set[str]:
    """Names of `client.<method>(…)` calls in the Slack face, as Web API method names."""
    known = {name for name in dir(AsyncWebClient) if not name.startswith("_")}
    called = set()
    for file in [
        *ROOT.glob("*.py"),
        *(ROOT / "slack").glob("*.py"),
        *(ROOT / "handlers").glob("*.py"),
    ]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = ast.unparse(node.func.value).lower()
                if node.func.attr in known and ("client" in owner or "poster" in owner):
                    called.add(node.func.attr.replace("_", "."))
    return called


def test_every_method_that_is_called_has_its_scope_and_no_other_is_asked_for() -> None:
    assert called_methods() == set(SCOPES)


def test_scopes_are_the_least_that_suffice(tmp_path: Path) -> None:
    assert made(tmp_path)["oauth_config"]["scopes"]["bot"] == [
        "app_mentions:read",
        "assistant:write",
        "channels:history",
        "channels:read",
        "chat:write",
        "commands",
        "files:write",
        "im:history",
        "im:write",
        "usergroups:read",
        "users:read",
    ]


def test_events_are_those_that_the_listeners_want(tmp_path: Path) -> None:
    events = made(tmp_path)["settings"]["event_subscriptions"]["bot_events"]

    assert {event.split(".")[0] for event in events} == set(names.EVENTS)
    registered = _registered_events()
    assert registered == set(names.EVENTS)


def test_the_command_has_the_configured_name_and_is_escaped(tmp_path: Path) -> None:
    (command,) = made(tmp_path, command="/sre")["features"]["slash_commands"]

    assert command["command"] == "/sre"
    assert command["should_escape"] is True
    assert "url" not in command


def test_over_http_slack_is_told_where_to_call(tmp_path: Path) -> None:
    over_http = made(tmp_path, socket_mode=False, public_url="https://ops.acme.example/")
    url = "https://ops.acme.example/slack/events"

    assert over_http["settings"]["interactivity"]["request_url"] == url
    assert over_http["settings"]["event_subscriptions"]["request_url"] == url
    assert over_http["features"]["slash_commands"][0]["url"] == url
    assert over_http["settings"]["socket_mode_enabled"] is False


def test_the_yaml_says_the_same(tmp_path: Path) -> None:
    text = manifest_yaml(Settings(home=tmp_path), application_state(tmp_path), True)

    assert YAML(typ="safe").load(text) == made(tmp_path)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"slack_bot_token": "xoxb", "slack_app_token": "xapp"}, "socket"),
        ({"slack_bot_token": "xoxb", "slack_signing_secret": "s"}, "http"),
        (
            {"slack_bot_token": "xoxb", "slack_app_token": "x", "slack_signing_secret": "s"},
            "socket",
        ),
    ],
)
def test_the_settings_choose_how_slack_is_reached(settings: dict[str, str], expected: str) -> None:
    assert transport_of(Settings.model_validate(settings)) == expected


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "COUNTERSIGN_SLACK_BOT_TOKEN"),
        ({"slack_app_token": "xapp"}, "COUNTERSIGN_SLACK_BOT_TOKEN"),
        ({"slack_bot_token": "xoxb"}, "COUNTERSIGN_SLACK_APP_TOKEN"),
        ({"slack_bot_token": "xoxb"}, "COUNTERSIGN_SLACK_SIGNING_SECRET"),
    ],
)
def test_half_a_connection_names_the_missing_setting(settings: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        transport_of(Settings.model_validate(settings))


def _registered_events() -> set[str]:
    """The events for which `Listeners.register` asks Bolt."""

    class Recording(AsyncApp):
        events: ClassVar[set[str]] = set()

        def event(self, event: Any, *rest: Any, **more: Any) -> Any:
            self.events.add(event)
            return super().event(event, *rest, **more)

    app = Recording(client=AsyncWebClient(token="xoxb-test"), signing_secret="s")

    class Nothing:
        def __getattr__(self, name: str) -> Any:
            async def listener() -> None:
                """Registered only."""

            return listener

    Listeners(Nothing(), Nothing(), "/ops").register(app)  # type: ignore[arg-type]
    return app.events
