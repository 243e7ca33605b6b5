"""Notifications of Grafana Alerting, proved in each of the ways that a contact point offers."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigurationError
from core.records import Event
from core.security.secrets import Secrets
from core.state import AIIntegration
from integrations.grafana import GrafanaIntegration
from integrations.webhooks import MalformedDeliveryError
from tests.support.source_cases import SourceCase, SourceChecks

PAYLOADS = Path(__file__).parent / "payloads" / "grafana"
FIRING = (PAYLOADS / "firing.json").read_bytes()
RESOLVED = (PAYLOADS / "resolved.json").read_bytes()
JSON = {"Content-Type": "application/json"}


def sign(secret: str, body: bytes, at: datetime) -> Mapping[str, str]:
    """As `sign` of http/hmac.go in github.com/grafana/alerting, which signs what Grafana sends,
    where no timestamp header is set."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return JSON | {"X-Grafana-Alerting-Signature": signature}


def sign_with_time(secret: str, body: bytes, at: datetime) -> Mapping[str, str]:
    """The same with a timestamp header: seconds, the separator `:`, the body."""
    timestamp = str(int(at.timestamp()))
    digest = hmac.new(secret.encode(), digestmod=hashlib.sha256)
    digest.update(timestamp.encode())
    digest.update(b":")
    digest.update(body)
    return JSON | {"X-Signature": digest.hexdigest(), "X-Timestamp": timestamp}


def bearer(secret: str, body: bytes, at: datetime) -> Mapping[str, str]:
    return JSON | {"Authorization": f"Bearer {secret}"}


def basic(secret: str, body: bytes, at: datetime) -> Mapping[str, str]:
    pair = base64.b64encode(f"grafana:{secret}".encode()).decode()
    return JSON | {"Authorization": f"Basic {pair}"}


class TestSigned(SourceChecks):
    case = SourceCase(
        integration=GrafanaIntegration,
        secret_name="hmac",
        sign=sign,
        body=FIRING,
        proofs=("X-Grafana-Alerting-Signature",),
        kinds=("alert.firing",),
    )


class TestSignedWithTime(SourceChecks):
    case = SourceCase(
        integration=GrafanaIntegration,
        secret_name="hmac",
        settings={"signature_header": "X-Signature", "timestamp_header": "X-Timestamp"},
        sign=sign_with_time,
        body=RESOLVED,
        proofs=("X-Signature", "X-Timestamp"),
        signs_time=True,
        kinds=("alert.resolved",),
    )


class TestBearer(SourceChecks):
    case = SourceCase(
        integration=GrafanaIntegration,
        secret_name="token",
        sign=bearer,
        body=FIRING,
        proofs=("Authorization",),
        signs_body=False,
        kinds=("alert.firing",),
    )


class TestBasic(SourceChecks):
    case = SourceCase(
        integration=GrafanaIntegration,
        secret_name="password",
        settings={"username": "grafana"},
        sign=basic,
        body=FIRING,
        proofs=("Authorization",),
        signs_body=False,
        kinds=("alert.firing",),
    )


def event_of(body: bytes) -> Event:
    (event,) = TestSigned.case.webhook().normalise({}, body)
    return event


class TestEvents:
    def test_a_group_is_one_event(self) -> None:
        event = event_of(FIRING)
        assert event.title == (
            "High memory usage, High CPU usage is firing: This alert was triggered for zone us-1"
        )
        assert event.occurred_at == datetime(2021, 10, 12, 7, 51, 3, 157076, UTC)
        expected = {
            "alertname": "High memory usage, High CPU usage",
            "label_team": "blue",
            "folder": "Hosts",
            "count": 2,
            "org_id": 1,
            "fingerprint": "c6eadffa33fcdf37",
            "runbook_url": "https://myrunbook.com/runbook/1234",
            "generator_url": "https://play.grafana.org/alerting/1afz29v7z/edit",
            "url": "https://play.grafana.org/d/000000012?viewPanel=4",
            "values": "B=44.23943737541908, C=1.0",
            "image_url": "",
        }
        assert expected.items() <= event.attributes.items()

    def test_firing_and_resolved_belong_together(self) -> None:
        firing, resolved = event_of(FIRING), event_of(RESOLVED)
        assert firing.subject == resolved.subject
        assert firing.id != resolved.id
        assert resolved.attributes["values"] == "B=None, C=1.0"

    def test_addresses_are_of_the_web(self) -> None:
        group = json.loads(FIRING)
        odd = "javascript:alert(1)"
        for alert in group["alerts"]:
            alert |= {"panelURL": odd, "dashboardURL": odd, "generatorURL": odd, "imageURL": odd}
        assert odd not in event_of(json.dumps(group).encode()).model_dump_json()

    @pytest.mark.parametrize(
        "change", [{"version": "4"}, {"alerts": []}, {"groupKey": ""}, {"status": "ok"}]
    )
    def test_a_body_that_is_not_documented(self, change: dict[str, Any]) -> None:
        body = json.dumps(json.loads(FIRING) | change).encode()
        with pytest.raises(MalformedDeliveryError, match="not a GrafanaGroup"):
            TestSigned.case.webhook().normalise({}, body)


@pytest.mark.parametrize(
    ("settings", "secrets", "problem"),
    [
        ({}, {}, "add `hmac: NAME`"),
        ({}, {"hmac": "A", "token": "A"}, "one of hmac and token, not both"),
        ({}, {"password": "A"}, "of use together only"),
        ({"username": "x"}, {"hmac": "A"}, "of use together only"),
        ({"url": "http://grafana"}, {"hmac": "A"}, r"settings\.url and secrets\.api_token"),
        ({}, {"api_token": "A"}, r"settings\.url and secrets\.api_token"),
        ({"timestamp_header": "X Time"}, {"hmac": "A"}, r"settings\.timestamp_header"),
    ],
)
def test_settings_that_cannot_work(settings: Any, secrets: Any, problem: str) -> None:
    record = AIIntegration(id="grafana", kind="grafana", settings=settings, secrets=secrets)
    with pytest.raises(ConfigurationError, match=problem):
        GrafanaIntegration.create(record, Secrets({"A": "a"}))
