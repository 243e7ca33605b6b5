"""Bitbucket Cloud and Data Center: how they sign, and what their payloads mean."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from core.records import Event
from integrations.bitbucket import BitbucketIntegration
from integrations.bitbucket.webhook import BitbucketWebhook
from integrations.webhooks import ARRIVAL, MalformedDeliveryError, SignatureError
from tests.support.source_cases import SourceCase, SourceChecks

PAYLOADS = Path(__file__).parent / "payloads" / "bitbucket"
DELIVERY = "6f2c1c1e-5d0f-4b8a-9d38-6f5bb3f1c001"
NOW = datetime.now(UTC)


def sign_as_cloud(secret: str, body: bytes, _at: datetime) -> dict[str, str]:
    """As https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/ says."""
    return {
        "Content-Type": "application/json",
        "X-Event-Key": "repo:commit_status_updated",
        "X-Hook-UUID": "c5ce2f4b-5cb3-4e8f-9d5f-8b9c6b0a1f11",
        "X-Request-UUID": DELIVERY,
        "X-Attempt-Number": "1",
        "X-Hub-Signature": f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}",
    }


def sign_as_data_center(secret: str, body: bytes, _at: datetime) -> dict[str, str]:
    """As https://confluence.atlassian.com/bitbucketserver/manage-webhooks-938025878.html says."""
    return {
        "Content-Type": "application/json; charset=utf-8",
        "X-Event-Key": "pr:merged",
        "X-Request-Id": DELIVERY,
        "X-Hub-Signature": f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}",
    }


class TestCloudDelivery(SourceChecks):
    case = SourceCase(
        integration=BitbucketIntegration,
        sign=sign_as_cloud,
        body=(PAYLOADS / "commit_status_updated.json").read_bytes(),
        proofs=("X-Hub-Signature",),
        needed=("X-Request-UUID", "X-Event-Key"),
        kinds=("ci.failed",),
    )


class TestDataCenterDelivery(SourceChecks):
    case = SourceCase(
        integration=BitbucketIntegration,
        sign=sign_as_data_center,
        body=(PAYLOADS / "datacenter_pr_merged.json").read_bytes(),
        proofs=("X-Hub-Signature",),
        needed=("X-Request-Id", "X-Event-Key"),
        kinds=("pull_request.merged", "pull_request.closed"),
    )


def test_the_vector_that_atlassian_publishes() -> None:
    """https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/, *Secure webhooks*."""
    digest = "a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"
    headers = {"x-hub-signature": f"sha256={digest}", "x-request-uuid": f"{{{DELIVERY}}}"}
    webhook = BitbucketWebhook("bitbucket", (SecretStr("It's a Secret to Everybody"),))
    assert webhook.verify(headers, b"Hello World!", NOW) == (DELIVERY, "")
    with pytest.raises(SignatureError):
        webhook.verify(headers, b"Hello World?", NOW)


def told(name: str, **changed: Any) -> list[Event]:
    """What the sample means, with some of its top-level fields changed."""
    headers = json.loads((PAYLOADS / f"{name}.headers.json").read_text())
    body = json.loads((PAYLOADS / f"{name}.json").read_text()) | changed
    lower = {header.lower(): value for header, value in headers.items()}
    return BitbucketWebhook("bitbucket", ()).normalise(lower, json.dumps(body).encode())


def sample(name: str, field: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text())[field]
    return found


class TestCloud:
    def test_a_push_is_one_event_for_each_ref(self) -> None:
        updated, deleted, tagged = told("push")
        assert {e.kind for e in (updated, deleted, tagged)} == {"push"}
        assert len({e.id for e in (updated, deleted, tagged)}) == 3
        assert [e.title for e in (updated, deleted, tagged)] == [
            "ada pushed main of acme/shop",
            "ada deleted timeouts of acme/shop",
            "ada pushed v1.4.0 of acme/shop",
        ]
        assert updated.occurred_at == ARRIVAL, "Bitbucket says when it was committed only"
        new = "709d658dc5b6d6afcd46049c2f332ee3f515a67d"
        old = "1e65c05c1d5171631d92438a13901ca7dae9618c"
        assert updated.attributes == {
            "repository": "acme/shop",
            "ref": "refs/heads/main",
            "branch": "main",
            "tag": "",
            "sha": new,
            "before": old,
            "commits": 1,
            "more_commits": False,
            "commit_title": "Shorter timeouts for payments",
            "created": False,
            "deleted": False,
            "forced": False,
            "actor": "ada",
            "url": f"https://bitbucket.org/acme/shop/branches/compare/{new}..{old}",
        }
        assert (deleted.attributes["deleted"], deleted.attributes["sha"]) == (True, "")
        assert (tagged.attributes["tag"], tagged.attributes["branch"]) == ("v1.4.0", "")

    def test_a_pull_request(self) -> None:
        (event,) = told("pullrequest_created")
        assert (event.kind, event.subject) == ("pull_request.opened", "acme/shop#12")
        assert event.title == "acme/shop#12 opened: Shorter timeouts"
        assert event.occurred_at == datetime(2026, 9, 1, 9, 20, 0, 532546, UTC)
        assert event.attributes == {
            "repository": "acme/shop",
            "number": 12,
            "pull_title": "Shorter timeouts",
            "state": "open",
            "draft": False,
            "merged": False,
            "branch": "timeouts",
            "sha": "709d658dc5b6",
            "base": "main",
            "author": "ada",
            "actor": "ada",
            "url": "https://bitbucket.org/acme/shop/pull-requests/12",
        }

    def test_a_pull_request_that_is_merged_is_closed_too(self) -> None:
        merged, closed = told("pullrequest_fulfilled")
        assert (merged.kind, closed.kind) == ("pull_request.merged", "pull_request.closed")
        assert merged.id != closed.id
        assert merged.attributes["merged"] is True
        assert merged.attributes["actor"] == "bob"

    def test_a_review(self) -> None:
        (event,) = told("pullrequest_approved")
        assert event.kind == "pull_request.reviewed"
        assert event.title == "bob reviewed acme/shop#12 (approved): Shorter timeouts"
        assert event.attributes["review"] == "approved"

    def test_a_comment(self) -> None:
        (event,) = told("pullrequest_comment_created")
        assert event.kind == "pull_request.commented"
        assert event.attributes["comment"] == "Why 2 s?"
        assert str(event.attributes["url"]).endswith("#comment-17")

    def test_a_failed_pipeline(self) -> None:
        (event,) = told("commit_status_updated")
        assert event.kind == "ci.failed"
        assert event.title == "Pipeline #4 for main failed on main of acme/shop"
        expected = {
            "workflow": "Pipeline #4 for main",
            "branch": "main",
            "run_id": "3343801",
            "conclusion": "FAILED",
            "commit_title": "Shorter timeouts for payments",
        }
        assert expected.items() <= event.attributes.items()

    @pytest.mark.parametrize(
        ("state", "kinds"),
        [("SUCCESSFUL", ["ci.succeeded"]), ("INPROGRESS", ["ci.started"]), ("STOPPED", [])],
    )
    def test_other_states_of_a_pipeline(self, state: str, kinds: list[str]) -> None:
        status = sample("commit_status_updated", "commit_status") | {"state": state}
        events = told("commit_status_updated", commit_status=status)
        assert [event.kind for event in events] == kinds

    def test_links_are_http(self) -> None:
        status = sample("commit_status_updated", "commit_status") | {"url": "javascript:x"}
        (event,) = told("commit_status_updated", commit_status=status)
        assert event.attributes["url"] == ""


class TestDataCenter:
    def test_a_push_is_one_event_for_each_ref(self) -> None:
        updated, tagged = told("datacenter_refs_changed")
        assert updated.title == "ada pushed main of SHOP/backend"
        assert updated.occurred_at == datetime(2026, 9, 1, 9, 15, 2, tzinfo=UTC)
        assert updated.attributes["commit_title"] == "Shorter timeouts for payments"
        assert (tagged.attributes["tag"], tagged.attributes["created"]) == ("v2", True)
        assert updated.id != tagged.id

    def test_a_pull_request_that_is_merged(self) -> None:
        merged, closed = told("datacenter_pr_merged")
        assert (merged.kind, closed.kind) == ("pull_request.merged", "pull_request.closed")
        assert merged.attributes == {
            "repository": "SHOP/backend",
            "number": 3,
            "pull_title": "Shorter timeouts",
            "state": "merged",
            "draft": False,
            "merged": True,
            "branch": "timeouts",
            "sha": "178864a7d521b6f5e720b386b2c2b0ef8563e0dc",
            "base": "main",
            "author": "ada",
            "actor": "bob",
            "url": "https://bitbucket.acme.example/projects/SHOP/repos/backend/pull-requests/3",
        }

    def test_a_review_and_a_comment(self) -> None:
        (approved,), (commented,) = (
            told("datacenter_pr_approved"),
            told("datacenter_pr_comment_added"),
        )
        assert approved.title == "bob reviewed SHOP/backend#3 (approved): Shorter timeouts"
        assert commented.kind == "pull_request.commented"
        assert commented.attributes["comment"] == "Why 2 s?"
        assert commented.attributes["url"] == "", "older versions send no links"


def test_the_test_of_a_connection_is_taken_and_means_nothing() -> None:
    headers = {"x-event-key": "diagnostics:ping", "x-request-id": DELIVERY}
    assert BitbucketWebhook("bitbucket", ()).normalise(headers, b'{"test": true}') == []


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("push", {"push": {"changes": {}}}),
        ("pullrequest_created", {"repository": {"full_name": ""}}),
        ("pullrequest_created", {"pullrequest": None}),
        ("commit_status_updated", {"commit_status": {"state": 5}}),
        ("datacenter_refs_changed", {"date": "yesterday"}),
        ("datacenter_pr_merged", {"pullRequest": {"id": 1, "title": "x"}}),
    ],
)
def test_a_payload_that_bitbucket_does_not_document(name: str, changed: dict[str, Any]) -> None:
    with pytest.raises(MalformedDeliveryError, match="Event"):
        told(name, **changed)


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("push", "acme/shop pushes"),
        ("pullrequest_created", "acme/shop 12"),
        ("pullrequest_comment_created", "acme/shop 12"),
        ("commit_status_updated", "acme/shop main"),
        ("datacenter_refs_changed", "SHOP/backend pushes"),
        ("datacenter_pr_approved", "SHOP/backend 3"),
    ],
)
def test_what_deliveries_are_ordered_by(name: str, subject: str) -> None:
    body = (PAYLOADS / f"{name}.json").read_bytes()
    headers = {h.lower(): value for h, value in sign_as_cloud("secret", body, NOW).items()}
    webhook = BitbucketWebhook("bitbucket", (SecretStr("secret"),))
    assert webhook.verify(headers, body, NOW).subject == subject
