"""The starter: a home folder in which Countersign runs with no further configuration.

Configuration and runbooks are copied from this package; secrets are made at random; a small real
Git repository is made, so that there is something to revert.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
from pathlib import Path

from core.errors import ConfigurationError

_CONFIG = Path(__file__).parent / "config"
_SECRETS = ("GITHUB_WEBHOOK_SECRET", "ALERTMANAGER_TOKEN")

_COMMITS: tuple[tuple[str, dict[str, str]], ...] = (
    (
        "Start the shop's configuration",
        {
            "README.md": "# shop\n\nConfiguration of the shop service.\n",
            ".gitignore": "build/\n*.log\n",
            "config/payments.toml": "[payments]\ntimeout_ms = 3000\nretries = 2\n",
        },
    ),
    (
        "Scale the web tier to four replicas",
        {"config/web.toml": "[web]\nreplicas = 4\nmax_connections = 200\n"},
    ),
    (
        "Lower the payment timeout to 30 ms",
        {"config/payments.toml": "[payments]\ntimeout_ms = 30\nretries = 2\n"},
    ),
)


def write_starter(home: Path) -> None:
    """Make `home`: config, secrets and the shop repository. What is there already stays.

    Raises:
        ConfigurationError: the folder cannot be written, or git is missing.
    """
    git = shutil.which("git")
    if git is None:
        raise ConfigurationError("git is not installed: install the package `git`.")
    try:
        home.mkdir(parents=True, exist_ok=True)
        _write_config(home.absolute(), git)
        _write_secrets(home / "secrets.env")
        _make_repository(home / "repositories" / "shop", git)
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename or home} cannot be written ({error.strerror}); "
            "set COUNTERSIGN_HOME to a folder that you may write."
        ) from error


def starter_commits(home: Path) -> list[tuple[str, str]]:
    """Hash and subject of the shop repository's latest commits, newest first.

    Raises:
        ConfigurationError: the repository cannot be read.
    """
    git = shutil.which("git") or "git"
    log = _git(git, home / "repositories" / "shop", "log", "-5", "--format=%h %s")
    pairs = (line.partition(" ") for line in log.splitlines())
    return [(commit, subject) for commit, _, subject in pairs]


def _write_config(home: Path, git: str) -> None:
    for source in sorted(_CONFIG.rglob("*")):
        target = home / "config" / source.relative_to(_CONFIG)
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            text = source.read_text(encoding="utf-8")
            target.write_text(
                text.replace("@HOME@", str(home)).replace("@GIT@", git), encoding="utf-8"
            )


def _write_secrets(file: Path) -> None:
    if file.exists():
        return
    lines = ["# Only the owner may read this file. One NAME=value a line.\n"]
    lines += [f"{name}={secrets.token_urlsafe(32)}\n" for name in _SECRETS]
    lines.append("# GITHUB_TOKEN=github_pat_…\n")
    file.touch(mode=0o600)
    file.write_text("".join(lines), encoding="utf-8")


def _make_repository(folder: Path, git: str) -> None:
    if (folder / ".git").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    _git(git, folder, "init", "--quiet", "--initial-branch=main")
    for message, files in _COMMITS:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        _git(git, folder, "add", "--all")
        _git(git, folder, "commit", "--quiet", "--message", message)


def _git(git: str, folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Countersign starter", "-c", "user.email=starter@countersign.local")
    try:
        finished = subprocess.run(  # noqa: S603 - git with our own arguments
            [git, "-C", str(folder), *identity, "-c", "core.hooksPath=/dev/null", *arguments],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
    except subprocess.CalledProcessError as error:
        raise ConfigurationError(f"git failed in {folder}: {error.stderr!s}") from error
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(f"git took too long in {folder}: {error}") from error
    return finished.stdout
