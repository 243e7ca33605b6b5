"""`countersign mcp serve`: the token goes where nobody else can read it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli import app
from core.errors import CountersignError


@pytest.mark.parametrize(
    "url", ["http://countersign.example", "ftp://127.0.0.1", "countersign.example", "http://"]
)
def test_a_token_is_not_sent_unencrypted(tmp_path: Path, url: str) -> None:
    file = tmp_path / "token"
    file.write_text("cst_x")
    file.chmod(0o600)
    said = CliRunner().invoke(app, ["mcp", "serve", "--token-file", str(file), "--url", url])
    assert isinstance(said.exception, CountersignError), said.exception
    assert "https://" in str(said.exception)
