"""Gitea and Forgejo: how they sign, and what their payloads mean."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from core.records import Event
from integrations.gitea import GiteaIntegration
from integrations.gitea.webhook import GiteaWebhook
from integrations.webhooks import ARRIVAL, MalformedDeliveryError, SignatureError
from tests.support.octokit import octokit_signature
from tests.support.source_cases import SourceCase, SourceChecks

PAYLOADS = Path(__file__).parent / "payloads" / "gitea"
DELIVERY = "f6266f16-1bf3-46a5-9ea4-602e06ead473"
NOW = datetime.now(UTC)


def sign(secret: str, body: bytes, _at: datetime) -> dict[str, str]:
    """As https://docs.gitea.com/usage/repository/webhooks says."""
    return {
        "Content-Type": "application/json",
        "X-Gitea-Event": "push",
        "X-Gitea-Delivery": DELIVERY,
        "X-Gitea-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
    }


def sign_as_forgejo(secret: str, body: bytes, at: datetime) -> dict[str, str]:
    """As https://forgejo.org/docs/latest/user/webhooks/ says; it sends Gitea's headers, too."""
    gitea = sign(secret, body, at)
    named = {name.replace("X-Gitea", "X-Forgejo"): value for name, value in gitea.items()}
    del gitea["X-Gitea-Signature"]
    return gitea | named | {"X-Forgejo-Event": "action_run_failure"}


class TestGiteaDelivery(SourceChecks):
    case = SourceCase(
        integration=GiteaIntegration,
        sign=sign,
        body=(PAYLOADS / "push.json").read_bytes(),
        proofs=("X-Gitea-Signature",),
        needed=("X-Gitea-Delivery", "X-Gitea-Event"),
        kinds=("push",),
    )


class TestForgejoDelivery(SourceChecks):
    case = SourceCase(
        integration=GiteaIntegration,
        sign=sign_as_forgejo,
        body=(PAYLOADS / "forgejo_action_run.json").read_bytes(),
        proofs=("X-Forgejo-Signature",),
        kinds=("ci.failed",),
    )


def test_the_signature_is_the_one_that_githubs_own_library_makes() -> None:
    """Gitea sends it a second time as GitHub's X-Hub-Signature-256, after `sha256=`."""
    body = (PAYLOADS / "push.json").read_text()
    signature = octokit_signature("3gEsCfjlV2ugRwgpU#w1*WaW*wa4NXgGmpCfkbG3", body)
    headers = {
        "x-gitea-delivery": DELIVERY,
        "x-gitea-signature": signature.removeprefix("sha256="),
    }
    webhook = GiteaWebhook("gitea", (SecretStr("3gEsCfjlV2ugRwgpU#w1*WaW*wa4NXgGmpCfkbG3"),))
    identity = webhook.verify(headers, body.encode(), NOW)
    assert identity == (DELIVERY, "acme/shop main")
    with pytest.raises(SignatureError, match="secret"):
        webhook.verify(headers, body.encode().replace(b"acme", b"evil"), NOW)


def told(name: str, **changed: Any) -> list[Event]:
    """What the sample means, with some of its top-level fields changed."""
    headers = json.loads((PAYLOADS / f"{name}.headers.json").read_text())
    body = json.loads((PAYLOADS / f"{name}.json").read_text()) | changed
    webhook = GiteaWebhook("gitea", ())
    lower = {header.lower(): value for header, value in headers.items()}
    return webhook.normalise(lower, json.dumps(body).encode())


def test_a_push() -> None:
    (event,) = told("push")
    assert (event.kind, event.subject) == ("push", "acme/shop")
    assert event.title == "ada pushed main of acme/shop"
    assert event.occurred_at == datetime(2026, 9, 1, 9, 15, 2, tzinfo=UTC)
    before, after = event.attributes.pop("before"), event.attributes.pop("sha")
    assert event.attributes == {
        "repository": "acme/shop",
        "ref": "refs/heads/main",
        "branch": "main",
        "tag": "",
        "actor": "ada",
        "commits": 1,
        "commit_title": "Shorter timeouts for payments",
        "created": False,
        "deleted": False,
        "url": f"https://git.acme.example/acme/shop/compare/{before}...{after}",
    }


def test_a_branch_that_is_deleted() -> None:
    (event,) = told("push", after="0" * 40, commits=None, head_commit=None, total_commits=0)
    assert event.title == "ada deleted main of acme/shop"
    assert event.attributes["deleted"] is True


def test_a_pull_request_that_is_merged_is_closed_and_merged() -> None:
    closed, merged = told("pull_request_merged")
    assert (closed.kind, merged.kind) == ("pull_request.closed", "pull_request.merged")
    assert closed.id != merged.id
    assert merged.subject == "acme/shop#12"
    assert merged.title == "acme/shop#12 merged: Shorter timeouts"
    expected = {
        "number": 12,
        "pull_title": "Shorter timeouts",
        "merged": True,
        "branch": "timeouts",
        "base": "main",
        "author": "ada",
        "actor": "bob",
        "url": "https://git.acme.example/acme/shop/pulls/12",
    }
    assert expected.items() <= merged.attributes.items()


def test_new_commits_of_a_pull_request_update_it() -> None:
    kinds = [event.kind for event in told("pull_request_synchronized")]
    assert kinds == ["pull_request.synchronized", "pull_request.updated"]


def test_a_review() -> None:
    (event,) = told("pull_request_approved")
    assert event.kind == "pull_request.reviewed"
    assert event.title == "bob reviewed acme/shop#12 (approved): Shorter timeouts"
    assert (event.attributes["review"], event.attributes["comment"]) == ("approved", "Good.")


def test_issues_and_comments() -> None:
    (opened,), (commented,) = told("issue"), told("issue_comment")
    assert (opened.kind, commented.kind) == ("issue.opened", "issue.commented")
    assert opened.subject == commented.subject == "acme/shop#5"
    assert commented.attributes["comment"] == "I look at it."
    (of_pull,) = told("issue_comment", is_pull=True)
    assert of_pull.kind == "pull_request.commented"
    assert told("issue_comment", action="deleted") == []


def test_a_release() -> None:
    (event,) = told("release")
    assert (event.kind, event.title) == ("release.published", "acme/shop v1.4.0 was released")
    assert told("release", action="updated") == []


def test_a_failed_run_of_gitea_actions() -> None:
    (event,) = told("workflow_run")
    assert event.kind == "ci.failed"
    assert event.title == "build.yaml failed on main of acme/shop"
    expected = {
        "workflow": "build.yaml",
        "run_id": 21,
        "run_number": 9,
        "branch": "main",
        "conclusion": "failure",
        "trigger": "push",
        "url": "https://git.acme.example/acme/shop/actions/runs/9",
    }
    assert expected.items() <= event.attributes.items()


def test_a_run_that_starts_and_one_that_is_cancelled() -> None:
    run = json.loads((PAYLOADS / "workflow_run.json").read_text())["workflow_run"]
    zero = "0001-01-01T00:00:00Z"
    started = run | {"status": "in_progress", "conclusion": None, "completed_at": zero}
    (event,) = told("workflow_run", action="in_progress", workflow_run=started)
    assert event.kind == "ci.started"
    assert event.occurred_at == datetime(2026, 9, 1, 9, 15, 10, tzinfo=UTC)
    assert told("workflow_run", workflow_run=run | {"conclusion": "cancelled"}) == []


@pytest.mark.parametrize(
    ("action", "kind"),
    [("failure", "ci.failed"), ("success", "ci.succeeded"), ("recover", "ci.recovered")],
)
def test_a_run_of_forgejo_actions(action: str, kind: str) -> None:
    (event,) = told("forgejo_action_run", action=action)
    assert event.kind == kind
    assert event.subject == "acme/shop"
    assert event.attributes["workflow"] == "build.yaml"


def test_what_another_ci_says_of_a_commit() -> None:
    (event,) = told("status")
    assert event.kind == "ci.failed"
    assert event.title == "ci/woodpecker/push/test failed at bffeb742 of acme/shop"
    assert told("status", state="pending") == []


def test_what_says_nowhere_when_it_happened_happened_on_its_arrival() -> None:
    (event,) = told("status", created_at="0001-01-01T00:00:00Z", updated_at=None)
    assert event.occurred_at == ARRIVAL


def test_links_are_http() -> None:
    (event,) = told("status", target_url="javascript:alert(1)")
    assert event.attributes["url"] == ""


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("push", {"repository": None}),
        ("push", {"ref": 7}),
        ("pull_request_merged", {"action": "No such Action"}),
        ("issue", {"issue": {"number": "many"}}),
    ],
)
def test_a_payload_that_gitea_does_not_document(name: str, changed: dict[str, Any]) -> None:
    with pytest.raises(MalformedDeliveryError, match="Event"):
        told(name, **changed)


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("push", "acme/shop main"),
        ("pull_request_merged", "acme/shop 12"),
        ("pull_request_approved", "acme/shop 12"),
        ("issue_comment", "acme/shop 5"),
        ("workflow_run", "acme/shop main"),
        ("forgejo_action_run", "acme/shop main"),
        ("release", "acme/shop v1.4.0"),
    ],
)
def test_what_deliveries_are_ordered_by(name: str, subject: str) -> None:
    body = (PAYLOADS / f"{name}.json").read_bytes()
    headers = {header.lower(): value for header, value in sign("secret", body, NOW).items()}
    webhook = GiteaWebhook("gitea", (SecretStr("secret"),))
    assert webhook.verify(headers, body, NOW).subject == subject
