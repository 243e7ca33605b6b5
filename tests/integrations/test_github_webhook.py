"""GitHub's webhooks: its own signature vector, its published payloads, and a foreign sender."""

import json
import logging
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import SecretStr

from core.records import Event
from integrations.events import UnreadableDeliveryError, events_of
from integrations.github.webhook import GitHubWebhook
from integrations.webhooks import MalformedDeliveryError, SignatureError
from tests.support.emulate import emulated_github
from tests.support.intake import GITHUB_SECRET, Intake, post, signed
from tests.support.npm import installed

NOW = datetime.now(UTC)
DELIVERY = "72d3162e-cc78-11e3-81ab-4c9367dc0958"


def webhook(*secrets: str) -> GitHubWebhook:
    keys = tuple(SecretStr(secret) for secret in secrets or (GITHUB_SECRET,))
    return GitHubWebhook("github", keys, 1024 * 1024)


class TestSignature:
    """https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    #testing-the-webhook-payload-validation"""

    body = b"Hello, World!"
    headers: ClassVar = {
        "x-github-delivery": DELIVERY,
        "x-hub-signature-256": (
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        ),
    }

    def test_the_vector_that_github_publishes(self) -> None:
        assert (
            webhook("It's a Secret to Everybody").verify(self.headers, self.body, NOW).key
            == DELIVERY
        )

    def test_another_secret(self) -> None:
        with pytest.raises(SignatureError):
            webhook("It's a secret to everybody").verify(self.headers, self.body, NOW)

    def test_two_secrets_are_valid_while_one_is_replaced(self) -> None:
        both = webhook("the new one", "It's a Secret to Everybody")
        assert both.verify(self.headers, self.body, NOW).key == DELIVERY


@cache
def examples(event: str) -> list[dict[str, Any]]:
    """The payloads that GitHub's Octokit team publishes for an event."""
    folder: Path = installed("@octokit/webhooks-examples", "7.6.1")
    index = json.loads((folder / "api.github.com" / "index.json").read_text())
    (found,) = [entry["examples"] for entry in index if entry["name"] == event]
    assert found
    return list(found)


def normalise(event: str, payload: dict[str, Any]) -> list[Event]:
    body = json.dumps(payload).encode()
    return webhook().normalise({"x-github-event": event, "x-github-delivery": DELIVERY}, body)


def completed(conclusion: str) -> dict[str, Any]:
    payload = next(e for e in examples("workflow_run") if e["action"] == "completed")
    return payload | {"workflow_run": payload["workflow_run"] | {"conclusion": conclusion}}


class TestEvents:
    @pytest.mark.parametrize(
        ("conclusion", "kind"),
        [
            ("success", "ci.succeeded"),
            ("failure", "ci.failed"),
            ("timed_out", "ci.failed"),
            ("startup_failure", "ci.failed"),
        ],
    )
    def test_a_completed_workflow_run(self, conclusion: str, kind: str) -> None:
        payload = completed(conclusion)
        run, repository = payload["workflow_run"], payload["repository"]["full_name"]
        (event,) = normalise("workflow_run", payload)

        assert event.id == f"github:{DELIVERY}"
        assert event.kind == kind
        assert event.source == "github"
        assert event.subject == repository
        assert event.attributes["repository"] == repository
        assert event.attributes["branch"] == run["head_branch"]
        assert event.attributes["sha"] == run["head_sha"]
        assert event.attributes["run_id"] == run["id"]
        assert event.attributes["run_attempt"] == 1
        assert event.attributes["workflow"] == run["name"]
        assert event.attributes["url"] == run["html_url"]
        assert event.attributes["conclusion"] == conclusion
        assert event.occurred_at.isoformat() == run["updated_at"].replace("Z", "+00:00")

    @pytest.mark.parametrize("conclusion", ["cancelled", "skipped", "neutral", "action_required"])
    def test_a_run_that_neither_failed_nor_succeeded(self, conclusion: str) -> None:
        assert normalise("workflow_run", completed(conclusion)) == []

    def test_every_published_workflow_run_is_read(self) -> None:
        for payload in examples("workflow_run"):
            conclusion = payload["workflow_run"]["conclusion"]
            kinds = [event.kind for event in normalise("workflow_run", payload)]
            assert kinds == {"success": ["ci.succeeded"], "failure": ["ci.failed"]}.get(
                conclusion, []
            )

    def test_every_published_push_is_read(self) -> None:
        for payload in examples("push"):
            (event,) = normalise("push", payload)
            assert event.kind == "push"
            assert event.attributes["sha"] == payload["after"]
            assert event.attributes["actor"] == payload["pusher"]["name"]
            name = payload["ref"].split("/", 2)[2]
            assert name in (event.attributes["branch"], event.attributes["tag"])

    def test_every_published_pull_request_is_read(self) -> None:
        for payload in examples("pull_request"):
            (event,) = normalise("pull_request", payload)
            assert event.kind == f"pull_request.{payload['action']}"
            number = payload["pull_request"]["number"]
            assert event.subject == f"{payload['repository']['full_name']}#{number}"
            assert event.attributes["branch"] == payload["pull_request"]["head"]["ref"]

    def test_a_ping_is_taken_and_means_nothing(self) -> None:
        for payload in examples("ping"):
            assert normalise("ping", payload) == []

    def test_events_that_we_do_not_use_mean_nothing(self) -> None:
        assert normalise("star", {"action": "created"}) == []

    def test_attributes_are_flat(self) -> None:
        payloads = [("workflow_run", completed("failure"))]
        payloads += [("push", p) for p in examples("push")]
        payloads += [("pull_request", p) for p in examples("pull_request")]
        for name, payload in payloads:
            (event,) = normalise(name, payload)
            assert all(isinstance(v, str | int | bool) for v in event.attributes.values())

    def test_text_from_outside_stays_on_one_line_without_control_characters(self) -> None:
        payload = completed("failure")
        payload["workflow_run"]["name"] = "CI\n\x00\x1b[31m <!channel> " + "x" * 5000
        (event,) = normalise("workflow_run", payload)
        assert len(event.title) <= 500
        assert event.title.isprintable()

    @pytest.mark.parametrize(
        "payload",
        [{}, [], {"action": "completed"}, {"action": "completed", "workflow_run": {"id": "x"}}],
    )
    def test_a_payload_that_github_does_not_document(self, payload: Any) -> None:
        with pytest.raises(MalformedDeliveryError, match="WorkflowRunEvent"):
            normalise("workflow_run", payload)


async def test_a_stored_delivery_becomes_an_event(intake: Intake) -> None:
    body = json.dumps(completed("failure")).encode()
    await post(intake, body, signed(body, DELIVERY, "workflow_run"))
    (delivery,) = await intake.stored()
    (event,) = events_of(delivery, intake.integrations)
    assert (event.kind, event.id) == ("ci.failed", f"github:{DELIVERY}")


async def test_a_stored_delivery_that_cannot_be_read_says_why(intake: Intake) -> None:
    body = b'{"action": "completed"}'
    await post(intake, body, signed(body, DELIVERY, "workflow_run"))
    (delivery,) = await intake.stored()
    with pytest.raises(UnreadableDeliveryError, match=r"workflow_run: Field required"):
        events_of(delivery, intake.integrations)


async def test_a_delivery_whose_integration_is_gone_says_so(intake: Intake) -> None:
    body = b"{}"
    await post(intake, body, signed(body, DELIVERY))
    (delivery,) = await intake.stored()
    gone = delivery.model_copy(update={"source": "webhook:gitlab"})
    with pytest.raises(UnreadableDeliveryError, match=r"integrations/gitlab\.yaml"):
        events_of(gone, intake.integrations)


async def test_emulate_delivers_with_its_own_signature(
    intake: Intake, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """npm's emulate signs with Node's crypto and posts by itself: a sender that is not ours."""
    caplog.set_level(logging.INFO, logger="integrations.intake")
    async with emulated_github(tmp_path) as github:
        repository = await github.create_repository("shop")

        async def hook(secret: str) -> int:
            config = {"url": f"{intake.url}/webhooks/github", "secret": secret}
            created = await github.call(
                "POST",
                f"/repos/{repository}/hooks",
                {"config": config | {"content_type": "json"}, "events": ["push"]},
            )
            return int(created["id"])

        right = await hook(GITHUB_SECRET)
        await github.call("POST", f"/repos/{repository}/hooks/{right}/pings")
        await github.call("POST", f"/repos/{repository}/hooks/{right}/tests")
        deliveries = await intake.stored()
        await github.call("DELETE", f"/repos/{repository}/hooks/{right}")
        wrong = await hook("another secret")
        await github.call("POST", f"/repos/{repository}/hooks/{wrong}/tests")

    assert [d.headers["x-github-event"] for d in deliveries] == ["ping", "push"]
    events = [event for d in deliveries for event in events_of(d, intake.integrations)]
    assert [(e.kind, e.subject, e.attributes["branch"]) for e in events] == [
        ("push", repository, "main")
    ]
    assert await intake.stored() == []
    assert sum(": 401 from" in r.getMessage() for r in caplog.records) == 1
