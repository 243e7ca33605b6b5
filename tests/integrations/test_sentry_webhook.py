"""Sentry's webhooks: signed as Sentry's own server does, with the samples of its documentation."""

import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from core.records import Event
from integrations.sentry import SentryIntegration
from integrations.sentry.webhook import SentryWebhook
from integrations.webhooks import MalformedDeliveryError, SignatureError
from tests.support.source_cases import SourceCase, SourceChecks

PAYLOADS = Path(__file__).parent / "payloads" / "sentry"


def payload(name: str) -> bytes:
    return (PAYLOADS / f"{name}.json").read_bytes()


def headers_of(name: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((PAYLOADS / f"{name}.headers.json").read_bytes())
    return found


def sign(secret: str, body: bytes, at: datetime) -> Mapping[str, str]:
    """As `SentryApp.build_signature` and `AppPlatformEvent.sentry_headers` in
    github.com/getsentry/sentry, which make what Sentry sends."""
    return {
        "Content-Type": "application/json",
        "Request-ID": "6f1c1d9cf0ce4a3a8b9e6a5f0b0f3c55",
        "Sentry-Hook-Resource": "issue",
        "Sentry-Hook-Timestamp": str(int(at.timestamp())),
        "Sentry-Hook-Signature": hmac.new(
            key=secret.encode("utf-8"), msg=body, digestmod=sha256
        ).hexdigest(),
    }


class TestIssue(SourceChecks):
    case = SourceCase(
        integration=SentryIntegration,
        sign=sign,
        body=payload("issue_created"),
        proofs=("Sentry-Hook-Signature", "Sentry-Hook-Timestamp"),
        signs_time=True,
        kinds=("error.new",),
    )


class TestMetricAlert(SourceChecks):
    case = SourceCase(
        integration=SentryIntegration,
        sign=sign,
        body=payload("metric_alert_critical"),
        proofs=("Sentry-Hook-Signature", "Sentry-Hook-Timestamp"),
        signs_time=True,
        kinds=("alert.firing",),
    )


def webhook() -> SentryWebhook:
    return SentryWebhook("sentry", (SecretStr("s"),), 1024 * 1024)


def event_of(name: str) -> Event:
    (event,) = webhook().normalise(headers_of(name), payload(name))
    return event


class TestEvents:
    @pytest.mark.parametrize(
        ("name", "kind", "subject", "title"),
        [
            (
                "issue_created",
                "error.new",
                "issue 1234567890",
                (
                    "PYTHON-Y is new: Error generated with event_id: "
                    "495d375a-1df6-45c0-9890-34dae8e1b6a4(Priority: HIGH)"
                ),
            ),
            (
                "issue_resolved",
                "error.resolved",
                "issue 1234567890",
                (
                    "PYTHON-Y is resolved: Error generated with event_id: "
                    "495d375a-1df6-45c0-9890-34dae8e1b6a4(Priority: HIGH)"
                ),
            ),
            (
                "error_created",
                "error.occurred",
                "issue 1170820242",
                "ReferenceError: blooopy is not defined",
            ),
            (
                "event_alert_triggered",
                "alert.firing",
                "issue 1117540176",
                "Very Important Alert Rule! is firing: ReferenceError: heck is not defined",
            ),
            (
                "metric_alert_critical",
                "alert.firing",
                "metric alert 4",
                "Critical: Too many errors",
            ),
            (
                "metric_alert_resolved",
                "alert.resolved",
                "metric alert 4",
                "Resolved: Too many errors",
            ),
        ],
    )
    def test_of_the_documented_samples(
        self, name: str, kind: str, subject: str, title: str
    ) -> None:
        event = event_of(name)
        assert (event.kind, event.subject, event.title) == (kind, subject, title)
        assert event.occurred_at == datetime(2025, 11, 10, 20, 56, 3, tzinfo=UTC)

    def test_attributes_of_an_issue(self) -> None:
        expected = {
            "issue_id": "1234567890",
            "issue": "PYTHON-Y",
            "severity": "fatal",
            "status": "unresolved",
            "substatus": "new",
            "priority": "high",
            "category": "error",
            "project": "python",
            "platform": "javascript",
            "count": "3",
            "users": 3,
            "url": "https://example-org.sentry.io/issues/1234567890/",
            "actor": "Example App",
        }
        assert expected.items() <= event_of("issue_created").attributes.items()
        assert event_of("issue_resolved").attributes["actor"] == "colleen"

    def test_attributes_of_an_issue_alert(self) -> None:
        expected = {
            "alertname": "Very Important Alert Rule!",
            "issue_id": "1117540176",
            "event_id": "e4874d664c3540c1a32eab185f12c5ab",
            "summary": "ReferenceError: heck is not defined",
            "severity": "error",
            "project": "front-end",
            "url": "https://sentry.io/organizations/test-org/issues/1117540176/events/"
            "e4874d664c3540c1a32eab185f12c5ab/",
        }
        assert expected.items() <= event_of("event_alert_triggered").attributes.items()

    def test_attributes_of_a_metric_alert(self) -> None:
        expected = {
            "alertname": "Too many errors",
            "severity": "critical",
            "project": "bar",
            "query": "level:error",
            "aggregate": "count()",
            "environment": "",
            "url": "https://sentry.io/organizations/baz/alerts/1/",
        }
        assert expected.items() <= event_of("metric_alert_critical").attributes.items()

    @pytest.mark.parametrize(
        ("action", "kind"),
        [
            ("unresolved", "error.reopened"),
            ("assigned", "error.assigned"),
            ("archived", "error.ignored"),
            ("ignored", "error.ignored"),
        ],
    )
    def test_of_an_issue_that_changes(self, action: str, kind: str) -> None:
        body = json.dumps(json.loads(payload("issue_created")) | {"action": action}).encode()
        (event,) = webhook().normalise(headers_of("issue_created"), body)
        assert event.kind == kind

    @pytest.mark.parametrize("name", ["comment_created", "installation_created"])
    def test_what_means_nothing_here(self, name: str) -> None:
        assert webhook().normalise(headers_of(name), payload(name)) == []

    @pytest.mark.parametrize(
        "name", ["issue_created", "error_created", "event_alert_triggered", "metric_alert_critical"]
    )
    def test_an_action_that_is_new_to_us_means_nothing(self, name: str) -> None:
        body = json.dumps(json.loads(payload(name)) | {"action": "danced"}).encode()
        assert webhook().normalise(headers_of(name), body) == []

    def test_what_outsiders_write_is_bounded(self) -> None:
        body = json.loads(payload("issue_created"))
        body["data"]["issue"] |= {
            "title": "t" * 50_000,
            "culprit": "c" * 50_000,
            "web_url": "javascript:alert(1)",
        }
        (event,) = webhook().normalise(headers_of("issue_created"), json.dumps(body).encode())
        assert len(event.model_dump_json()) < 10_000
        assert event.attributes["url"] == ""

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"action": "created"},
            {"action": "created", "data": {"issue": {"id": ""}}},
            {"action": "created", "data": {"issue": {"id": "x" * 101}}},
            {"action": "created", "data": {"error": {}}},
        ],
    )
    def test_a_body_that_is_not_documented(self, body: dict[str, Any]) -> None:
        with pytest.raises(MalformedDeliveryError, match="not a Delivery"):
            webhook().normalise(headers_of("issue_created"), json.dumps(body).encode())

    def test_without_a_time(self) -> None:
        with pytest.raises(MalformedDeliveryError, match="sentry-hook-timestamp"):
            webhook().normalise({}, payload("issue_created"))


def test_the_delivery_is_known_by_what_is_signed() -> None:
    """`Request-ID` is not signed, so another one makes no new delivery of an old body."""
    at, body = datetime.now(UTC), payload("issue_created")
    headers = {name.lower(): value for name, value in sign("s", body, at).items()}
    first = webhook().verify(headers, body, at)
    assert webhook().verify(headers | {"request-id": "another"}, body, at) == first
    with pytest.raises(SignatureError):
        webhook().verify(headers, payload("issue_resolved"), at)
