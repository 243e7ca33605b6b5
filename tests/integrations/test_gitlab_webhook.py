"""GitLab's webhooks: its secret token, and its signing token as the Standard Webhooks project's own
library makes the signature."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook as StandardWebhook

from core.errors import ConfigurationError
from core.records import Event
from core.security.secrets import Secrets
from core.state import AIIntegration
from integrations.gitlab import GitLabIntegration
from integrations.gitlab.webhook import GitLabWebhook
from integrations.standardwebhooks.signature import message_key
from integrations.webhooks import ARRIVAL, MalformedDeliveryError, SignatureError
from tests.support.intake import Intake, post
from tests.support.source_cases import SourceCase, SourceChecks, lower

PAYLOADS = Path(__file__).parent / "payloads" / "gitlab"
KEY = "f5e5f430-f57b-4e6e-9fac-d9128cd7232f"
NOW = datetime.now(UTC)


def whsec(text: str) -> str:
    return "whsec_" + base64.b64encode(text.encode()).decode()


def payload(name: str, **attributes: Any) -> dict[str, Any]:
    """A documented payload; `attributes` change its `object_attributes`."""
    body: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text())
    if attributes:
        body["object_attributes"] |= attributes
    return body


def token_headers(secret: str, body: bytes, at: datetime) -> dict[str, str]:
    """https://docs.gitlab.com/user/project/integrations/webhooks/"""
    return {
        "Content-Type": "application/json",
        "X-Gitlab-Event": "Merge Request Hook",
        "X-Gitlab-Event-UUID": "13792a34-cac6-4fda-95a8-c58e00a3954e",
        "Idempotency-Key": KEY,
        "X-Gitlab-Token": secret,
    }


def signed_headers(secret: str, body: bytes, at: datetime) -> dict[str, str]:
    """`webhook-id` is the Idempotency-Key's value."""
    unsigned = token_headers("", body, at)
    del unsigned["X-Gitlab-Token"]
    return unsigned | {
        "webhook-id": KEY,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": StandardWebhook(secret).sign(KEY, at, body.decode("utf-8", "ignore")),
    }


class TestSecretToken(SourceChecks):
    case = SourceCase(
        integration=GitLabIntegration,
        sign=token_headers,
        body=(PAYLOADS / "merge_request.json").read_bytes(),
        proofs=("X-Gitlab-Token",),
        kinds=("pull_request.opened",),
        signs_body=False,
    )

    async def test_the_token_is_not_stored(self, intake: Intake) -> None:
        await post(intake, self.case.body, self.case.headers(), "gitlab")
        (delivery,) = await intake.stored()
        assert self.case.secret not in str(delivery.headers)


class TestSigningToken(SourceChecks):
    case = SourceCase(
        integration=GitLabIntegration,
        sign=signed_headers,
        secret_name="signing",
        body=(PAYLOADS / "merge_request.json").read_bytes(),
        proofs=("webhook-id", "webhook-timestamp", "webhook-signature"),
        kinds=("pull_request.opened",),
        signs_time=True,
        secret=whsec("the first key of this webhook"),
        new_secret=whsec("the next key of this webhook"),
        wrong_secret=whsec("a key that nobody has"),
    )

    async def test_a_body_that_is_not_json(self, intake: Intake) -> None:
        body = b"not json"
        status, _ = await post(intake, body, self.case.headers(body=body), "gitlab")
        assert status == 400


class TestChangingOver:
    """Both tokens are set for a while, as GitLab advises."""

    body = (PAYLOADS / "push.json").read_bytes()
    key, token = whsec("a signing key"), "a secret token"

    def webhook(self) -> GitLabWebhook:
        keys = (message_key(SecretStr(self.key), "signing"),)
        return GitLabWebhook("gitlab", (SecretStr(self.token),), keys, 1024 * 1024)

    def test_either_proves_it(self) -> None:
        for headers in (
            token_headers(self.token, self.body, NOW),
            signed_headers(self.key, self.body, NOW),
        ):
            assert self.webhook().verify(lower(headers), self.body, NOW).key == KEY

    def test_a_wrong_signature_is_not_saved_by_the_token(self) -> None:
        wrong = signed_headers(whsec("another"), self.body, NOW)
        headers = lower(wrong | {"X-Gitlab-Token": self.token})
        with pytest.raises(SignatureError):
            self.webhook().verify(headers, self.body, NOW)

    def test_where_only_the_signing_key_is_set_no_token_counts(self) -> None:
        keys = (message_key(SecretStr(self.key), "signing"),)
        webhook = GitLabWebhook("gitlab", (), keys, 1024 * 1024)
        with pytest.raises(SignatureError, match="webhook-id is missing"):
            webhook.verify(lower(token_headers("", self.body, NOW)), self.body, NOW)


class TestKey:
    body = (PAYLOADS / "push.json").read_bytes()

    def webhook(self) -> GitLabWebhook:
        return GitLabWebhook("gitlab", (SecretStr("t"),), (), 1024 * 1024)

    def key(self, body: bytes, **changes: str | None) -> str:
        headers = lower(token_headers("t", body, NOW))
        for name, value in changes.items():
            header = name.replace("_", "-")
            headers.pop(header)
            headers |= {} if value is None else {header: value}
        return self.webhook().verify(headers, body, NOW).key

    def test_servers_that_send_none(self) -> None:
        """Before GitLab 17.4; events that one hook caused share the UUID, so that is not enough."""
        first = self.key(self.body, idempotency_key=None)
        assert first == self.key(self.body, idempotency_key=None)
        other = (PAYLOADS / "issue.json").read_bytes()
        uuid = "0" * 36
        assert first != self.key(other, idempotency_key=None)
        assert first != self.key(self.body, idempotency_key=None, x_gitlab_event_uuid=uuid)

    @pytest.mark.parametrize("key", ["", "a b", "é", "x" * 151])
    def test_one_that_is_none(self, key: str) -> None:
        with pytest.raises(MalformedDeliveryError, match="idempotency-key"):
            self.key(self.body, idempotency_key=key)


def normalise(body: Any, **headers: str) -> list[Event]:
    webhook = GitLabWebhook("gitlab", (SecretStr("t"),), (), 1024 * 1024)
    return webhook.normalise({"idempotency-key": KEY, **headers}, json.dumps(body).encode())


def kinds(body: Any) -> list[str]:
    return [event.kind for event in normalise(body)]


class TestEvents:
    def test_a_push(self) -> None:
        (event,) = normalise(payload("push"))
        assert (event.id, event.kind, event.source) == (f"gitlab:{KEY}", "push", "gitlab")
        assert event.subject == "acme/backend/shop"
        assert event.title == "mara pushed main of acme/backend/shop"
        assert event.attributes["branch"] == "main"
        assert event.attributes["commit_title"] == "Round once"
        assert str(event.attributes["url"]).startswith("https://gitlab.example/acme/backend/shop/")
        assert event.occurred_at == datetime(2026, 3, 2, 8, 39, 12, tzinfo=UTC)

    def test_a_tag(self) -> None:
        (event,) = normalise(payload("tag_push"))
        assert (event.attributes["tag"], event.attributes["branch"]) == ("v2.4.0", "")
        assert event.occurred_at == ARRIVAL  # it says nowhere when

    def test_a_signed_push_says_when(self) -> None:
        keys = (message_key(SecretStr(whsec("key")), "signing"),)
        body = (PAYLOADS / "tag_push.json").read_bytes()
        at = datetime(2026, 3, 2, 11, 0, tzinfo=UTC)
        headers = lower(signed_headers(whsec("key"), body, at))
        (event,) = GitLabWebhook("gitlab", (), keys, 1024 * 1024).normalise(headers, body)
        assert event.occurred_at == at
        assert event.id == f"gitlab:{KEY}"

    @pytest.mark.parametrize(
        ("action", "kind"),
        [
            ("open", ["pull_request.opened"]),
            ("reopen", ["pull_request.reopened"]),
            ("update", ["pull_request.updated"]),
            ("merge", ["pull_request.merged"]),
            ("close", ["pull_request.closed"]),
            ("approved", ["pull_request.reviewed"]),
            ("unapproval", ["pull_request.reviewed"]),
            ("something_new", []),
        ],
    )
    def test_merge_requests(self, action: str, kind: list[str]) -> None:
        events = normalise(payload("merge_request", action=action))
        assert [event.kind for event in events] == kind
        for event in events:
            assert event.subject == "acme/backend/shop!7"
            assert event.attributes["number"] == 7
            assert event.attributes["base"] == "main"
            assert len(str(event.attributes["sha"])) == 40
        if kind == ["pull_request.reviewed"]:
            assert events[0].attributes["review"] == (
                "unapproved" if action.startswith("un") else "approved"
            )

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            ("running", ["ci.started"]),
            ("success", ["ci.succeeded"]),
            ("failed", ["ci.failed"]),
            ("canceled", []),
            ("skipped", []),
            ("manual", []),
            ("pending", []),
        ],
    )
    def test_pipelines(self, status: str, kind: list[str]) -> None:
        assert kinds(payload("pipeline", status=status)) == kind

    def test_what_a_failed_pipeline_says(self) -> None:
        (event,) = normalise(payload("pipeline"))
        assert event.attributes["run_id"] == 31
        assert event.attributes["workflow"] == "Build and test"
        assert event.attributes["failed_jobs"] == "unit"  # lint may fail
        assert event.attributes["commit_title"] == "Round once"
        assert event.occurred_at == datetime(2026, 3, 2, 9, 44, 52, tzinfo=UTC)

    def test_jobs(self) -> None:
        (event,) = normalise(payload("build"))
        assert event.kind == "ci.job_failed"
        assert event.attributes["job"] == "unit"
        assert event.attributes["url"] == "https://gitlab.example/acme/backend/shop/-/jobs/381"
        assert kinds(payload("build") | {"build_status": "running"}) == []
        assert kinds(payload("build") | {"build_status": "success"}) == ["ci.job_succeeded"]

    def test_deployments(self) -> None:
        (event,) = normalise(payload("deployment"))
        assert event.kind == "deploy.succeeded"
        assert event.attributes["environment"] == "staging"
        assert event.occurred_at == datetime(2026, 3, 2, 9, 50, tzinfo=UTC)
        assert kinds(payload("deployment") | {"status": "running"}) == ["deploy.started"]
        assert kinds(payload("deployment") | {"status": "failed"}) == ["deploy.failed"]
        assert kinds(payload("deployment") | {"status": "canceled"}) == []

    def test_issues_and_incidents(self) -> None:
        (event,) = normalise(payload("issue"))
        assert (event.kind, event.subject) == ("issue.opened", "acme/backend/shop#23")
        assert event.attributes["labels"] == "checkout, incident"
        incident = payload("issue", type="Incident", action="close") | {"object_kind": "work_item"}
        (event,) = normalise(incident)
        assert (event.kind, event.attributes["type"]) == ("issue.closed", "Incident")

    def test_comments(self) -> None:
        (event,) = normalise(payload("note"))
        assert (event.kind, event.subject) == ("pull_request.commented", "acme/backend/shop!7")
        assert event.attributes["comment"] == "Who looks after this one?"
        (event,) = normalise(payload("note_on_issue"))
        assert (event.kind, event.subject) == ("issue.commented", "acme/backend/shop#23")
        assert kinds(payload("note", action="update")) == []
        assert kinds(payload("note", system=True)) == []
        on_a_commit = payload("note")
        del on_a_commit["merge_request"]
        assert kinds(on_a_commit) == []

    def test_releases(self) -> None:
        (event,) = normalise(payload("release"))
        assert (event.kind, event.attributes["tag"]) == ("release.published", "v2.4.0")
        assert kinds(payload("release") | {"action": "update"}) == []

    def test_events_that_we_do_not_use_mean_nothing(self) -> None:
        assert kinds({"object_kind": "wiki_page"}) == []
        assert kinds({"event_name": "user_add_to_group"}) == []

    @pytest.mark.parametrize("body", [[], "text", {"object_kind": "pipeline"}, {"object_kind": 1}])
    def test_a_payload_that_gitlab_does_not_document(self, body: Any) -> None:
        with pytest.raises(MalformedDeliveryError):
            normalise(body)

    def test_attributes_are_flat_and_clean(self) -> None:
        for file in PAYLOADS.glob("*.json"):
            if file.name.endswith(".headers.json"):
                continue
            body = json.loads(file.read_text())
            body["project"]["path_with_namespace"] = "acme/shop\n\x1b[31m <!channel>"
            for event in normalise(body):
                assert event.title.isprintable()
                assert all(isinstance(v, str | int | bool) for v in event.attributes.values())


class TestOrder:
    def subject(self, body: Any) -> str:
        raw = json.dumps(body).encode()
        webhook = GitLabWebhook("gitlab", (SecretStr("t"),), (), 1024 * 1024)
        return webhook.verify(lower(token_headers("t", raw, NOW)), raw, NOW).subject

    def test_a_merge_request_and_its_comments(self) -> None:
        assert self.subject(payload("merge_request")) == "acme/backend/shop !7"
        assert self.subject(payload("note")) == "acme/backend/shop !7"

    def test_an_issue_of_the_same_number_is_another_subject(self) -> None:
        assert self.subject(payload("issue", iid=7)) == "acme/backend/shop #7"
        assert self.subject(payload("note_on_issue")) == self.subject(payload("issue"))

    def test_a_branch(self) -> None:
        for name in ("push", "pipeline", "build"):
            assert self.subject(payload(name)) == "acme/backend/shop main"

    def test_an_environment(self) -> None:
        assert self.subject(payload("deployment")) == "acme/backend/shop environment staging"

    @pytest.mark.parametrize("body", [[], {}, {"object_kind": "push"}, {"object_kind": "x"}])
    def test_a_body_that_does_not_say_it(self, body: Any) -> None:
        assert self.subject(body) == ""


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"secrets": {"signing": "PLAIN"}}, r"secrets\.signing.*whsec_"),
        ({"secrets": {"tokens": "PLAIN"}}, "known: signing, token, webhook"),
        ({"settings": {"url": "gitlab.com"}}, r"gitlab\.yaml: settings\.url"),
    ],
)
def test_a_wrong_configuration(record: dict[str, Any], message: str) -> None:
    integration = AIIntegration(id="gitlab", kind="gitlab", **record)
    with pytest.raises(ConfigurationError, match=message):
        GitLabIntegration.create(integration, Secrets({"PLAIN": "no base64!"}))
