"""What comes from outside: a real Alertmanager, GitHub's signed webhooks, the clock."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from bot import names
from tests.support.alertmanager import alertmanager
from tests.support.countersign import (
    ALICE,
    BOB,
    DEPLOYS,
    GENERAL,
    INCIDENTS,
    Application,
    application,
)
from tests.support.until import until
from tests.support.workspace import Page, find_element

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

EVERY_MINUTE = """\
name: Every minute, for the test
cron: "* * * * *"
timezone: UTC
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(
    models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Application]:
    """Countersign with the real models, and two schedules that fire every minute."""
    home = tmp_path_factory.mktemp("outside") / "home"
    async with application(home, models_dir) as running:
        await running.stop()
        schedules = home / "config" / "schedules"
        (schedules / "ask.yaml").write_text(
            EVERY_MINUTE
            + 'channel: "#deploys"\nworkflow: prune-worktree\nwith: {repository: shop}\n'
        )
        (schedules / "tell.yaml").write_text(
            EVERY_MINUTE + 'channel: "#general"\nassistant: governance\nprompt: What waits?\n'
        )
        await running.start()
        await running.ready()
        yield running


async def message(page: Page, channel: str, *words: str, limit_s: float = 40) -> dict[str, Any]:
    """The message of a channel that holds all these words."""

    async def found() -> dict[str, Any] | None:
        for one in await page.messages(channel):
            text = json.dumps(one, ensure_ascii=False)
            if all(word in text for word in words):
                return dict(one)
        return None

    standing = await until(found, f"a message in {channel} with {words}", limit_s=limit_s)
    assert standing is not None
    return standing


async def test_a_real_alert_opens_one_incident_thread_with_the_right_runbook(
    app: Application, tmp_path: Path
) -> None:
    labels = {"alertname": "KubePodCrashLooping", "service": "checkout", "severity": "critical"}
    annotations = {"summary": "checkout restarts <!channel>", "description": "5 times in 10 min"}
    url = f"{app.http_url}/webhooks/alertmanager"
    async with (
        app.page(ALICE) as alice,
        alertmanager(tmp_path, url, app.secret("ALERTMANAGER_TOKEN")) as sender,
    ):
        await sender.fire(labels, annotations)
        incident = await message(alice, INCIDENTS, "KubePodCrashLooping")
        shown = json.dumps(incident["blocks"], ensure_ascii=False)
        assert f"{app.http_url}/runbooks/pod-crash-looping.md" in shown
        assert "checkout" in shown
        assert "<!channel>" not in incident["text"], "a label must not call the channel"

        offer, _ = offered(incident, "Revert")
        assert offer["value"], "the workflow is offered"

        await sender.resolve(labels, annotations)

        async def resolved() -> bool:
            replies = await alice.replies(INCIDENTS, incident["ts"])
            return any("Resolved" in reply["text"] for reply in replies)

        await until(resolved, "the thread says that it is over", limit_s=30)
        assert len(await alice.messages(INCIDENTS)) == 1


def offered(standing: dict[str, Any], word: str) -> tuple[dict[str, Any], str]:
    """The button that offers a workflow, and the id of its block."""
    for block in standing["blocks"]:
        for element in block.get("elements", []):
            is_offer = str(element.get("action_id", "")).startswith(names.OPEN_OFFER)
            if is_offer and word in json.dumps(element):
                return element, block["block_id"]
    raise AssertionError(f"no offer with {word} in {json.dumps(standing['blocks'])[:800]}")


def filled_in(view: dict[str, Any]) -> dict[str, Any]:
    """The form's values as they stand, as the page sends them."""
    values: dict[str, Any] = {}
    for block in view["blocks"]:
        element = block.get("element", {})
        value: dict[str, Any] = {"type": element.get("type")}
        if "initial_option" in element:
            value["selected_option"] = element["initial_option"]
        elif "initial_value" in element:
            value["value"] = element["initial_value"]
        if block["type"] == "input":
            values[block["block_id"]] = {element["action_id"]: value}
    return values


def signed(app: Application, body: bytes, delivery: str) -> dict[str, str]:
    """The headers that GitHub sends."""
    secret = app.secret("GITHUB_WEBHOOK_SECRET").encode()
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": "workflow_run",
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest(),
    }


def failed_ci(sha: str) -> bytes:
    """GitHub's documented `workflow_run` payload, cut to what is read."""
    return json.dumps(
        {
            "action": "completed",
            "workflow_run": {
                "id": 9821734,
                "name": "build",
                "run_attempt": 2,
                "status": "completed",
                "conclusion": "failure",
                "head_branch": "main",
                "updated_at": "2026-11-24T22:00:00Z",
                "head_sha": sha,
                "event": "push",
                "html_url": "https://github.com/acme/shop/actions/runs/9821734",
                "display_title": "Lower the payment timeout",
                "actor": {"login": "alice"},
            },
            "workflow": {"name": "build"},
            "repository": {
                "full_name": "acme/shop",
                "default_branch": "main",
                "html_url": "https://github.com/acme/shop",
            },
            "sender": {"login": "alice"},
        }
    ).encode()


async def test_a_failed_ci_run_is_told_once_and_its_offer_becomes_a_signed_revert(
    app: Application,
) -> None:
    shop = str(app.home / "repositories" / "shop")
    sha = subprocess.run(
        ["git", "-C", shop, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    body = failed_ci(sha)
    url = f"{app.http_url}/webhooks/github"
    async with aiohttp.ClientSession() as session, app.page(ALICE) as alice, app.page(BOB) as bob:
        forged = signed(app, body, "d-1") | {"X-Hub-Signature-256": "sha256=" + "0" * 64}
        async with session.post(url, data=body, headers=forged) as answer:
            assert answer.status == 401
        for status in (202, 200):  # GitHub delivers again
            async with session.post(url, data=body, headers=signed(app, body, "d-1")) as answer:
                assert answer.status == status
        told = await message(alice, DEPLOYS, "acme/shop", "build")

        revert, block = offered(told, "Revert")
        await alice.post(
            "action",
            channel=DEPLOYS,
            message_ts=told["ts"],
            block_id=block,
            action_id=revert["action_id"],
            type="button",
            value=revert["value"],
        )
        view = (await until(alice.views, "the form opens"))[-1]
        assert sha in json.dumps(view["blocks"]), "the commit is filled in"
        taken = await alice.post("submit", view_id=view["id"], values=filled_in(view))
        assert not taken.get("errors"), taken

        async def card() -> dict[str, Any] | None:
            replies = await alice.replies(DEPLOYS, told["ts"])
            return next((r for r in replies if "Revert a commit" in r["text"]), None)

        shown = await until(card, "the card in the thread")
        assert shown is not None
        assert "untrusted" in json.dumps(shown["blocks"]), "the webhook's value is marked"
        await bob.press(shown, names.APPROVE)

        def reverted() -> bool:
            log = subprocess.run(
                ["git", "-C", shop, "log", "-1", "--format=%B"], capture_output=True, text=True
            )
            return f"This reverts commit {sha}" in log.stdout

        await until(reverted, "the commit is reverted")
        assert len([m for m in await alice.messages(DEPLOYS) if "acme/shop" in str(m)]) == 1


async def test_the_clock_asks_for_a_run_that_still_needs_its_signatures(app: Application) -> None:
    async with app.page(ALICE) as alice:
        card = await message(alice, DEPLOYS, "Prune a working copy", "schedule", limit_s=75)
    shown = json.dumps(card["blocks"], ensure_ascii=False)
    assert "0 of 2 signed" in shown
    find_element(card["blocks"], names.APPROVE_BY_PHRASE)


async def test_the_clock_asks_an_assistant_for_a_digest(app: Application) -> None:
    async with app.page(ALICE) as alice:
        await message(alice, GENERAL, "Prune a working copy", limit_s=130)
