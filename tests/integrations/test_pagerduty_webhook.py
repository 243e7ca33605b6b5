"""PagerDuty's v3 webhooks: a signature that its own Go client publishes, its documented samples."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from core.records import Event
from integrations.pagerduty import PagerDutyIntegration
from integrations.pagerduty.webhook import PagerDutyWebhook
from integrations.webhooks import MalformedDeliveryError, SignatureError
from tests.support.source_cases import SourceCase, SourceChecks

PAYLOADS = Path(__file__).parent / "payloads" / "pagerduty"
NOW = datetime.now(UTC)

# From PagerDuty's client for Go, github.com/PagerDuty/go-pagerduty, webhookv3/webhookv3_test.go:
# secret, body and signature.
GO_SECRET = "lDQHScfUeXUKaQRNF+8XIiDKZ7XX3itBAYzwU0TARw8lJqRnkKl2iB1anSb0Z+IK"
GO_SIGNATURE = "v1=0c0b9495b893a39e70d1fea2fe11fbe0a825f88b9f67846f6cc07dd2bc5476cd"
GO_MISMATCH = "v1=7020c8a7ec668a9b7012bc3dd82e483394b038f4230acc6785efbf2a7d8bcaf5"
GO_BODY = (PAYLOADS / "signed_by_go_client.json").read_bytes()


def payload(name: str) -> bytes:
    return (PAYLOADS / f"{name}.json").read_bytes()


def sign(secret: str, body: bytes, at: datetime) -> Mapping[str, str]:
    """As in the Python sample of PagerDuty's page on verifying signatures."""
    digest = hmac.new(secret.encode("ASCII"), body, hashlib.sha256).hexdigest()
    return {"Content-Type": "application/json", "X-PagerDuty-Signature": f"v1={digest}"}


class TestDelivery(SourceChecks):
    case = SourceCase(
        integration=PagerDutyIntegration,
        sign=sign,
        body=payload("incident_triggered"),
        proofs=("X-PagerDuty-Signature",),
        kinds=("incident.triggered",),
    )


def webhook(*secrets: str) -> PagerDutyWebhook:
    return PagerDutyWebhook("pagerduty", tuple(map(SecretStr, secrets)), 1024 * 1024)


class TestSignature:
    def test_of_the_go_client(self) -> None:
        identity = webhook(GO_SECRET).verify({"x-pagerduty-signature": GO_SIGNATURE}, GO_BODY, NOW)
        assert identity.key == "01BWDWL3NYY7LUFPZCC28QUCMK"
        assert identity.subject == "PGR0VU2"

    @pytest.mark.parametrize(
        "given", [GO_MISMATCH, GO_SIGNATURE.removeprefix("v1="), GO_SIGNATURE.replace("v1", "v0")]
    )
    def test_that_does_not_fit(self, given: str) -> None:
        with pytest.raises(SignatureError):
            webhook(GO_SECRET).verify({"x-pagerduty-signature": given}, GO_BODY, NOW)

    @pytest.mark.parametrize(
        "given", [f"{GO_MISMATCH},{GO_SIGNATURE}", f"{GO_SIGNATURE}, {GO_MISMATCH}"]
    )
    def test_one_of_two_while_pagerduty_has_two_secrets(self, given: str) -> None:
        assert webhook(GO_SECRET).verify({"x-pagerduty-signature": given}, GO_BODY, NOW).key

    def test_of_a_list_without_end_is_not_looked_for(self) -> None:
        given = ",".join([GO_MISMATCH] * 20 + [GO_SIGNATURE])
        with pytest.raises(SignatureError):
            webhook(GO_SECRET).verify({"x-pagerduty-signature": given}, GO_BODY, NOW)

    @pytest.mark.parametrize("change", [{"id": ""}, {"id": "a b"}, {"id": "x" * 151}, {"id": 1}])
    def test_fits_but_there_is_no_id(self, change: dict[str, Any]) -> None:
        body = json.loads(payload("incident_triggered"))
        body["event"] |= change
        raw = json.dumps(body).encode()
        headers = {name.lower(): value for name, value in sign("s", raw, NOW).items()}
        with pytest.raises(MalformedDeliveryError, match=r"event\.id"):
            webhook("s").verify(headers, raw, NOW)


def event_of(body: bytes) -> Event:
    (event,) = webhook("s").normalise({}, body)
    return event


class TestEvents:
    def test_an_incident(self) -> None:
        event = event_of(payload("incident_priority_updated"))
        assert event.id == "pagerduty:5ac64822-4adc-4fda-ade0-410becf0de4f"
        assert event.kind == "incident.priority_updated"
        assert event.subject == "PGR0VU2"
        assert event.title == "Incident #2 priority updated: A little bump in the road"
        assert event.occurred_at == datetime(2020, 10, 2, 18, 45, 22, 169000, UTC)
        assert event.attributes == {
            "incident_id": "PGR0VU2",
            "number": 2,
            "summary": "A little bump in the road",
            "status": "triggered",
            "urgency": "high",
            "priority": "P1",
            "severity": "P1",
            "service": "API Service",
            "service_id": "PF9KMXH",
            "team": "Engineering",
            "assignees": "User 123",
            "escalation_policy": "Default",
            "incident_key": "d3640fbd41094207a1c11e58e46b1662",
            "actor": "Tenex Engineer",
            "note": "",
            "url": "https://acme.pagerduty.com/incidents/PGR0VU2",
        }

    @pytest.mark.parametrize(
        ("name", "kind", "note"),
        [
            ("incident_annotated", "incident.annotated", "I sure am glad we are using PagerDuty!"),
            (
                "incident_responder_added",
                "incident.responder.added",
                "Please help me make the tests pass",
            ),
        ],
    )
    def test_something_of_an_incident(self, name: str, kind: str, note: str) -> None:
        event = event_of(payload(name))
        assert event.kind == kind
        assert event.subject == "PGR0VU2"
        assert event.attributes["note"] == note
        assert event.attributes["summary"] == "A little bump in the road"
        assert event.attributes["url"] == "https://acme.pagerduty.com/incidents/PGR0VU2"

    def test_events_of_one_incident_belong_together(self) -> None:
        names = ("incident_triggered", "incident_annotated", "incident_acknowledged")
        assert {event_of(payload(name)).subject for name in names} == {"PGR0VU2"}

    @pytest.mark.parametrize(
        ("kind", "data"),
        [
            ("pagey.ping", {"message": "Hello from your friend Pagey!", "type": "ping"}),
            ("incident.", {"type": "incident", "id": "P1"}),
            ("incident.Odd", {"type": "incident", "id": "P1"}),
            ("incident_workflow.started", {"type": "x"}),
        ],
    )
    def test_what_means_nothing_here(self, kind: str, data: dict[str, Any]) -> None:
        body = json.loads(payload("incident_triggered"))
        body["event"] |= {"event_type": kind, "data": data}
        assert webhook("s").normalise({}, json.dumps(body).encode()) == []
        assert webhook("s").normalise({}, payload("service_updated")) == []

    def test_what_outsiders_write_is_bounded(self) -> None:
        body = json.loads(payload("incident_triggered"))
        body["event"]["data"] |= {
            "id": "P" * 5000,
            "title": "t" * 50_000,
            "html_url": "javascript:alert(1)",
            "teams": [{"id": "T", "summary": "s" * 5000}] * 500,
        }
        event = event_of(json.dumps(body).encode())
        assert len(event.model_dump_json()) < 20_000
        assert event.attributes["url"] == ""

    @pytest.mark.parametrize("body", [b"{}", b"[]", b'{"event": {}}', b'{"event": {"id": "x"}}'])
    def test_a_body_that_is_not_documented(self, body: bytes) -> None:
        with pytest.raises(MalformedDeliveryError, match="not a Delivery"):
            webhook("s").normalise({}, body)
