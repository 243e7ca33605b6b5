"""Pushes to a bare repository with the hook of docs/integrations, told by the real git."""

import asyncio
import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Sender

from core.errors import ConfigurationError
from core.records import Event
from core.security.secrets import Secrets
from core.state import AIIntegration
from integrations.events import events_of
from integrations.git import GitIntegration
from integrations.git.webhook import GitWebhook
from integrations.registry import Integrations
from integrations.webhooks import MalformedDeliveryError, SignatureError
from tests.support.intake import Intake, post

HOOK = Path(__file__).parents[2] / "docs" / "integrations" / "post_receive.py"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = base64.b64decode(SECRET.removeprefix("whsec_"))
NOW = datetime.now(UTC)


@pytest.fixture
def integrations(tmp_path: Path) -> Integrations:
    repositories = {"shop": {"path": str(tmp_path / "shop.git")}}
    record = AIIntegration(
        id="git",
        kind="git",
        settings={"repositories": repositories},
        secrets={"webhook": "GIT_HOOK"},
    )
    made = GitIntegration.create(record, Secrets({"GIT_HOOK": SECRET}))
    return Integrations({"git": made})


class Server:
    """A bare repository with the hook, and a clone that pushes to it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.bare, self.clone = folder / "shop.git", folder / "clone"
        _git(folder, "init", "-q", "--bare", "-b", "main", str(self.bare))
        _git(folder, "clone", "-q", str(self.bare), str(self.clone))
        _git(self.clone, "checkout", "-q", "-b", "main")
        secret = folder / "secret"
        secret.write_text(SECRET + "\n")
        for name, value in (
            ("url", url),
            ("secretFile", str(secret)),
            ("repository", "acme/shop"),
        ):
            _git(self.bare, "config", f"countersign.{name}", value)
        hook = self.bare / "hooks" / "post-receive"
        shutil.copy(HOOK, hook)
        hook.chmod(0o755)

    @property
    def outbox(self) -> list[Path]:
        return sorted((self.bare / "countersign-outbox").glob("*.json"))

    def commit(self, title: str) -> str:
        (self.clone / "file").write_text(title)
        _git(self.clone, "add", "file")
        _git(self.clone, "commit", "-q", "-m", title)
        return _git(self.clone, "rev-parse", "HEAD")

    async def push(self, *arguments: str) -> str:
        """Push, off the event loop, which is the hook's server."""
        done = await asyncio.to_thread(_run, self.clone, "push", "origin", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stderr


async def events(intake: Intake) -> list[Event]:
    stored = await intake.stored()
    return [event for delivery in stored for event in events_of(delivery, intake.integrations)]


async def test_a_push_is_told_by_the_hook(intake: Intake, tmp_path: Path) -> None:
    server = Server(tmp_path, f"{intake.url}/webhooks/git")
    first = server.commit('Timeouts: 5 s instead of "30"\\')
    assert "countersign" not in await server.push("main")

    (event,) = await events(intake)
    assert (event.kind, event.source, event.subject) == ("push", "git", "acme/shop")
    assert event.attributes == {
        "repository": "acme/shop",
        "ref": "refs/heads/main",
        "branch": "main",
        "tag": "",
        "sha": first,
        "before": "0" * 40,
        "actor": event.attributes["actor"],
        "commits": 1,
        "commit_title": 'Timeouts: 5 s instead of "30"\\',
        "created": True,
        "forced": False,
        "deleted": False,
    }
    assert server.outbox == []


async def test_tags_forced_pushes_and_deletions(intake: Intake, tmp_path: Path) -> None:
    server = Server(tmp_path, f"{intake.url}/webhooks/git")
    server.commit("one")
    await server.push("main")
    _git(server.clone, "commit", "-q", "--amend", "-m", "another one")
    await server.push("--force", "main")
    _git(server.clone, "tag", "v1")
    await server.push("v1", "main:topic")
    await server.push("--delete", "topic")
    told = await events(intake)
    assert [(e.attributes["forced"], e.attributes["deleted"]) for e in told] == [
        (False, False),
        (True, False),
        (False, False),
        (False, False),
        (False, True),
    ]
    by_ref = {e.attributes["ref"]: e for e in told}
    assert by_ref["refs/tags/v1"].attributes["tag"] == "v1"
    assert by_ref["refs/heads/topic"].title.endswith("deleted topic of acme/shop")


Serve = Callable[[Any], AbstractAsyncContextManager[Intake]]


async def test_what_could_not_be_told_is_told_with_the_next_push(
    serve: Serve, tmp_path: Path
) -> None:
    server = Server(tmp_path, "http://127.0.0.1:1/webhooks/git")
    shas = [server.commit("one")]
    assert "with the next push" in await server.push("main")
    assert len(server.outbox) == 1
    async with serve(None) as intake:
        _git(server.bare, "config", "countersign.url", f"{intake.url}/webhooks/git")
        shas.append(server.commit("two"))
        await server.push("main")
        assert [e.attributes["sha"] for e in await events(intake)] == shas
    assert server.outbox == []


async def test_what_is_refused_for_good_does_not_stop_the_rest(
    intake: Intake, tmp_path: Path
) -> None:
    server = Server(tmp_path, f"{intake.url}/webhooks/git")
    server.commit("one")
    _git(server.bare, "config", "countersign.repository", "x" * 300)
    assert "refused for good" in await server.push("main")
    _git(server.bare, "config", "countersign.repository", "acme/shop")
    sha = server.commit("two")
    await server.push("main")
    assert [e.attributes["sha"] for e in await events(intake)] == [sha]


async def test_a_replay_is_taken_once(intake: Intake) -> None:
    now, case = datetime.now(UTC), TestSignature()
    headers = case.headers(now) | {"content-type": "application/json"}
    answers = [await post(intake, case.body.encode(), headers, to="git") for _ in range(2)]
    assert answers == [(202, {"status": "accepted"}), (200, {"status": "duplicate"})]
    assert len(await intake.stored()) == 1


class TestSignature:
    body = json.dumps(
        {
            "type": "push",
            "timestamp": "2026-11-25T08:00:00Z",
            "data": {
                "repository": "acme/shop",
                "ref": "refs/heads/main",
                "before": "0" * 40,
                "after": "a" * 40,
            },
        }
    )

    def headers(self, at: datetime = NOW, secret: str = SECRET) -> dict[str, str]:
        """Made by the library of Standard Webhooks."""
        return {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Sender(secret).sign("msg_1", at, self.body),
        }

    def verify(self, headers: dict[str, str], body: str | None = None) -> tuple[str, str]:
        webhook = GitWebhook("git", (b"the new key", KEY))
        return webhook.verify(headers, (body or self.body).encode(), NOW)

    def test_the_right_one_also_while_another_replaces_it(self) -> None:
        assert self.verify(self.headers()) == ("msg_1", "acme/shop refs/heads/main")

    def test_a_wrong_secret(self) -> None:
        with pytest.raises(SignatureError, match="signing secret"):
            self.verify(self.headers(secret="whsec_c2VjcmV0"))

    def test_an_altered_body(self) -> None:
        with pytest.raises(SignatureError):
            self.verify(self.headers(), self.body.replace("aaaa", "bbbb"))

    @pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
    def test_a_header_that_is_missing(self, name: str) -> None:
        headers = self.headers()
        del headers[name]
        with pytest.raises(SignatureError, match=name):
            self.verify(headers)

    @pytest.mark.parametrize("minutes", [-6, 6])
    def test_a_time_too_far_away(self, minutes: int) -> None:
        with pytest.raises(SignatureError, match="clock"):
            self.verify(self.headers(NOW + timedelta(minutes=minutes)))

    @pytest.mark.parametrize("value", ["", "v1", "v1,", "v1a,x", "v1,é", "v2," + "x" * 44, ", ,"])
    def test_no_signature_at_all(self, value: str) -> None:
        with pytest.raises(SignatureError):
            self.verify(self.headers() | {"webhook-signature": value})

    @pytest.mark.parametrize("value", ["x", "1e9", "-1", "٣", "9" * 30, "inf"])
    def test_a_time_that_is_none(self, value: str) -> None:
        with pytest.raises(SignatureError):
            self.verify(self.headers() | {"webhook-timestamp": value})

    def test_signed_but_not_a_push(self) -> None:
        message = Sender(SECRET)
        headers = self.headers() | {"webhook-signature": message.sign("msg_1", NOW, "{}")}
        with pytest.raises(MalformedDeliveryError, match="not a PushMessage"):
            self.verify(headers, "{}")


@pytest.mark.parametrize("secret", ["whsec_", "whsec_not base64", "é"])
def test_a_secret_that_is_none(secret: str, tmp_path: Path) -> None:
    record = AIIntegration(
        id="git",
        kind="git",
        settings={"repositories": {"shop": {"path": str(tmp_path)}}},
        secrets={"webhook": "GIT_HOOK"},
    )
    with pytest.raises(ConfigurationError, match=r"secrets\.webhook"):
        GitIntegration.create(record, Secrets({"GIT_HOOK": secret}))


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    identity = {"NAME": "Ada", "EMAIL": "ada@example.org"}
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(folder),
        "USER": "ada",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        **{f"GIT_{who}_{k}": v for who in ("AUTHOR", "COMMITTER") for k, v in identity.items()},
    }
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


def _git(folder: Path, *arguments: str) -> str:
    done = _run(folder, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
