"""Every Slack method that the bot calls is one that the workspace answers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.workspace.web_api.endpoint import METHODS

BOT = Path(__file__).parents[3] / "bot"
HELPERS = {
    "files_upload_v2": ("files.getUploadURLExternal", "files.completeUploadExternal"),
    "chat_stream": ("chat.startStream", "chat.appendStream", "chat.stopStream"),
}
"""Methods of the SDK that call other methods."""


def called(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and Slack method of each call in a module."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name = node.func.attr
        if name == "api_call":
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield node.lineno, first.value
        elif name in HELPERS:
            for method in HELPERS[name]:
                yield node.lineno, method
        elif "_" in name and not name.startswith("_") and hasattr(AsyncWebClient, name):
            yield node.lineno, name.replace("_", ".")


def missing(folder: Path) -> list[str]:
    """`file:line method` of each call that the workspace would answer with `unknown_method`."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        for line, method in called(ast.parse(path.read_text(encoding="utf-8"))):
            if method not in METHODS:
                found.append(f"{path.relative_to(folder)}:{line} {method}")
    return found


def test_the_bot_calls_only_what_the_workspace_answers() -> None:
    assert missing(BOT) == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("client.chat_postMessage(text='x')", []),
        ("self._web.admin_users_list()", ["a.py:1 admin.users.list"]),
        ("await client.api_call('stars.list')", ["a.py:1 stars.list"]),
        ("client.files_upload_v2()", []),
        ("thing.open_stream()", []),
    ],
)
def test_the_guard_sees_calls(tmp_path: Path, source: str, expected: list[str]) -> None:
    body = source.replace("await ", "")
    (tmp_path / "a.py").write_text(body)
    assert missing(tmp_path) == expected


def test_every_implemented_method_is_one_that_slacks_client_has_or_calls() -> None:
    client = {name.replace("_", ".") for name in dir(AsyncWebClient)}
    assert {name for name in METHODS if name not in client} == set()
