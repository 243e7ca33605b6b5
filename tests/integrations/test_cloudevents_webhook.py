"""CloudEvents in all three modes, made by the CNCF's own Python library."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from core.records import Event
from integrations.cloudevents import CloudEventsIntegration
from integrations.webhooks import ARRIVAL, MalformedDeliveryError, SignatureError
from tests.support.source_cases import SECRET, SourceCase, SourceChecks, lower

PAYLOADS = Path(__file__).parent / "payloads" / "cloudevents"
NOW = datetime.now(UTC)


def event(**attributes: object) -> CloudEvent:
    return CloudEvent(
        {
            "id": "evt-1",
            "source": "/ci/shop",
            "type": "com.example.deploy.failed",
            "subject": "checkout €",
            "time": datetime(2026, 5, 1, 10, 0, tzinfo=UTC),
            **attributes,
        },
        {"service": "checkout", "url": "https://deploy.example/1"},
    )


STRUCTURED: HTTPMessage = to_structured(event(), JSONFormat())
BINARY: HTTPMessage = to_binary(event(datacontenttype="application/json"), JSONFormat())


def with_token(message: HTTPMessage, token: str) -> dict[str, str]:
    return {**message.headers, "Authorization": f"Bearer {token}"}


class TestStructured(SourceChecks):
    case = SourceCase(
        integration=CloudEventsIntegration,
        sign=lambda secret, body, at: with_token(STRUCTURED, secret),
        body=STRUCTURED.body,
        kinds=("com.example.deploy.failed",),
        proofs=("Authorization",),
        signs_body=False,
    )


class TestBinary(SourceChecks):
    case = SourceCase(
        integration=CloudEventsIntegration,
        sign=lambda secret, body, at: with_token(BINARY, secret),
        body=BINARY.body,
        kinds=("deploy.failed",),
        settings={"kinds": {"com.example.deploy.failed": "deploy.failed"}},
        proofs=("Authorization",),
        needed=("ce-id", "ce-source", "ce-type", "ce-specversion"),
        signs_body=False,
    )


def _signed(secret: str, body: bytes, at: datetime) -> Mapping[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/cloudevents-batch+json",
        "X-Signature-256": f"sha256={digest}",
    }


class TestBatchWithAnHmac(SourceChecks):
    case = SourceCase(
        integration=CloudEventsIntegration,
        sign=_signed,
        body=(PAYLOADS / "batched.json").read_bytes(),
        kinds=("com.example.someevent", "com.example.someotherevent"),
        settings={"proof": {"hmac": {"header": "X-Signature-256", "prefix": "sha256="}}},
        proofs=("X-Signature-256",),
    )


@pytest.mark.parametrize("body", [BINARY.body, STRUCTURED.body])
def test_a_signature_over_the_body_does_not_vouch_for_attributes_in_headers(body: bytes) -> None:
    webhook = TestBatchWithAnHmac.case.webhook()
    signed = _signed(TestBatchWithAnHmac.case.secret, body, datetime.now(UTC))
    headers = lower({**signed, **BINARY.headers, "ce-type": "another.type"})
    with pytest.raises(SignatureError, match="structured mode"):
        webhook.verify(headers, body, datetime.now(UTC))


def normalise(headers: Mapping[str, str], body: bytes) -> list[Event]:
    return TestStructured.case.webhook().normalise(lower(headers), body)


@pytest.mark.parametrize("message", [STRUCTURED, BINARY])
def test_what_an_event_says_is_the_same_in_every_mode(message: HTTPMessage) -> None:
    (read,) = normalise(message.headers, message.body)
    assert read.id == "cloudevents:/ci/shop evt-1"
    assert read.subject == "checkout €"
    assert read.occurred_at == datetime(2026, 5, 1, 10, 0, tzinfo=UTC)
    assert read.attributes == {
        "type": "com.example.deploy.failed",
        "event_source": "/ci/shop",
        "service": "checkout",
        "url": "https://deploy.example/1",
    }


@pytest.mark.parametrize("name", ["structured", "binary", "batched"])
def test_the_examples_of_the_specification(name: str) -> None:
    headers = json.loads((PAYLOADS / f"{name}.headers.json").read_text())
    events = normalise(headers, (PAYLOADS / f"{name}.json").read_bytes())
    assert len(events) == (2 if name == "batched" else 1)
    assert all(e.attributes["appinfoa"] in {"abc", "def"} for e in events)
    if name == "structured":
        assert events[0].attributes["comexampleextension1"] == "value"


def test_deliveries_of_one_source_and_subject_keep_their_order() -> None:
    webhook = TestStructured.case.webhook()
    headers = lower(with_token(STRUCTURED, SECRET))
    first = webhook.verify(headers, STRUCTURED.body, NOW)
    later = webhook.verify(headers, to_structured(event(id="evt-2"), JSONFormat()).body, NOW)
    other = webhook.verify(headers, to_structured(event(subject="x"), JSONFormat()).body, NOW)
    assert first.subject == later.subject != other.subject
    assert first.key != later.key


def test_an_event_without_a_time_happened_when_it_arrived() -> None:
    body = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
    headers = {"Content-Type": "application/cloudevents+json"}
    assert normalise(headers, json.dumps(body).encode())[0].occurred_at == ARRIVAL


@pytest.mark.parametrize(
    "broken",
    [
        {"specversion": "0.3"},
        {"id": ""},
        {"id": None},
        {"source": 5},
        {"time": "2026-05-01T10:00:00"},
        {"type": "t" * 5000},
    ],
)
def test_what_is_no_event(broken: dict[str, object]) -> None:
    body = json.dumps(json.loads(STRUCTURED.body) | broken).encode()
    with pytest.raises(MalformedDeliveryError, match="not a CloudEvent"):
        normalise(STRUCTURED.headers, body)


@pytest.mark.parametrize("value", ["%ff", "\udcff"])
def test_an_attribute_that_is_not_utf_8(value: str) -> None:
    with pytest.raises(MalformedDeliveryError, match="ce-id"):
        normalise({**BINARY.headers, "ce-id": value}, BINARY.body)
