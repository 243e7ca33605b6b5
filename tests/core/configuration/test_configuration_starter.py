"""The starter: a home folder that is sound as it is, and whose files are people's to edit."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from bot.checking import check
from core.errors import ConfigurationError
from core.settings import Settings
from core.starter import starter_commits, write_starter
from core.state import ApplicationState


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    write_starter(home)
    return home


def test_it_is_sound(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    _, problems = check(Settings(home=home))
    assert problems == []


def test_a_mistake_in_it_is_found(home: Path) -> None:
    file = home / "config" / "workflows" / "revert-commit.yaml"
    file.write_text(file.read_text().replace("git.revert", "git.rewind"))
    _, problems = check(Settings(home=home))
    assert len(problems) == 1
    assert problems[0].startswith(
        f"{file}:29: steps.revert.action: There is no action 'git.rewind'"
    )


def test_it_has_what_a_new_team_needs(home: Path) -> None:
    state = ApplicationState.load(home / "config")
    assert set(state.assistants) == {"planner", "incident", "governance"}
    assert len(state.workflows) == 4
    assert len(state.schedules) == 2
    assert {t.integration for t in state.triggers.values()} == {"github", "alertmanager"}
    runbooks = list((home / "config" / "runbooks").glob("*.md"))
    assert len(runbooks) >= 12
    assert {m.modality for m in state.models.values() if m.default} == {"text", "embeddings"}


def test_secrets_are_made_at_random_and_only_the_owner_reads_them(
    home: Path, tmp_path: Path
) -> None:
    file = home / "secrets.env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    other = tmp_path / "other"
    write_starter(other)
    assert (other / "secrets.env").read_text() != file.read_text()
    for line in file.read_text().splitlines():
        if not line.startswith("#"):
            assert len(line.partition("=")[2]) >= 40


def test_writing_it_again_keeps_what_people_have_edited_and_adds_what_is_missing(
    home: Path,
) -> None:
    policy = home / "config" / "policy.yaml"
    runbook = home / "config" / "runbooks" / "host-out-of-memory.md"
    secrets = (home / "secrets.env").read_text()
    commits = starter_commits(home)
    policy.write_text("# ours\n" + policy.read_text())
    edited = policy.read_text()
    runbook.unlink()
    write_starter(home)
    assert policy.read_text() == edited
    assert runbook.exists()
    assert (home / "secrets.env").read_text() == secrets
    assert starter_commits(home) == commits


def test_there_is_a_real_repository_with_something_to_revert(home: Path) -> None:
    commits = starter_commits(home)
    assert len(commits) == 3
    assert commits[0][1] == "Lower the payment timeout to 30 ms"
    status = subprocess.run(
        ["git", "-C", home / "repositories" / "shop", "status", "--porcelain"],
        check=True,
        capture_output=True,
    )
    assert status.stdout == b""


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match="set COUNTERSIGN_HOME to a folder"):
        write_starter(tmp_path / "file" / "home")
