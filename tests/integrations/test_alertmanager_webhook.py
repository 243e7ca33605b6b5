"""Alertmanager's notifications: from the real program of Debian, and from its documentation."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from core.inbox import Delivery
from integrations.alertmanager import AlertmanagerIntegration
from integrations.alertmanager.webhook import AlertmanagerWebhook
from integrations.events import events_of
from integrations.webhooks import MalformedDeliveryError, SignatureError
from tests.support.alertmanager import alertmanager
from tests.support.intake import ALERTMANAGER_TOKEN, Intake
from tests.support.source_cases import SourceCase, SourceChecks
from tests.support.until import until

NOW = datetime.now(UTC)
LABELS = {
    "alertname": "HighErrorRate",
    "severity": "critical",
    "service": "checkout",
    "instance": "web-1:9100",
    "team": "payments",
}
ANNOTATIONS = {
    "summary": "12 % of the requests to checkout fail",
    "description": "More than 5 % of the requests failed for 10 minutes.\nSee the dashboard.",
    "runbook_url": "https://runbooks.example/high-error-rate",
}


async def test_the_real_alertmanager_fires_and_resolves(intake: Intake, tmp_path: Path) -> None:
    received: list[Delivery] = []

    async def arrived(count: int) -> bool:
        for delivery in await intake.stored():
            received.append(delivery)
            await intake.inbox.finish(delivery)  # the next of the group waits for that
        return len(received) >= count

    url = f"{intake.url}/webhooks/alertmanager"
    async with alertmanager(tmp_path, url, ALERTMANAGER_TOKEN) as sender:
        await sender.fire(LABELS, ANNOTATIONS)
        await until(lambda: arrived(1), "the firing alert arrives")
        await sender.resolve(LABELS, ANNOTATIONS)
        await until(lambda: arrived(2), "the resolved alert arrives")

    (firing,), (resolved,) = (events_of(d, intake.integrations) for d in received)
    assert (firing.kind, resolved.kind) == ("alert.firing", "alert.resolved")
    assert firing.subject == resolved.subject
    assert firing.id != resolved.id
    assert firing.occurred_at < resolved.occurred_at
    assert firing.title == f"HighErrorRate is firing: {ANNOTATIONS['summary']}"
    expected = {
        "alertname": "HighErrorRate",
        "severity": "critical",
        "service": "checkout",
        "instance": "web-1:9100",
        **ANNOTATIONS,
        "generator_url": "http://prometheus.example/graph?g0.expr=up",
        "label_team": "payments",
        "count": 1,
        "receiver": "countersign",
    }
    assert expected.items() <= firing.attributes.items()
    assert firing.attributes["fingerprints"] == [firing.attributes["fingerprint"]]
    assert "authorization" not in received[0].headers


async def test_the_real_alertmanager_with_a_wrong_token(
    intake: Intake, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"{intake.url}/webhooks/alertmanager"
    async with alertmanager(tmp_path, url, "a-wrong-token") as sender:
        await sender.fire(LABELS, ANNOTATIONS)
        await until(lambda: ": 401 from" in caplog.text, "the refusal is logged")
    assert await intake.stored() == []
    assert "a-wrong-token" not in caplog.text


def alert(instance: str, status: str = "firing", **labels: str) -> dict[str, Any]:
    ended = "2026-05-01T10:30:00Z" if status == "resolved" else "0001-01-01T00:00:00Z"
    return {
        "status": status,
        "labels": {"alertname": "InstanceDown", "instance": instance, **labels},
        "annotations": {"summary": f"{instance} is down"},
        "startsAt": "2026-05-01T10:00:00.123456789Z",
        "endsAt": ended,
        "generatorURL": "http://prometheus.example/graph",
        "fingerprint": f"f-{instance}",
    }


def group(*alerts: dict[str, Any], status: str = "firing") -> dict[str, Any]:
    """As in https://prometheus.io/docs/alerting/latest/configuration/#webhook_config."""
    return {
        "version": "4",
        "groupKey": '{}:{alertname="InstanceDown"}',
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "countersign",
        "groupLabels": {"alertname": "InstanceDown"},
        "commonLabels": {"alertname": "InstanceDown"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example",
        "alerts": list(alerts),
    }


def webhook() -> AlertmanagerWebhook:
    return AlertmanagerWebhook("alertmanager", (SecretStr("right"),), 1024 * 1024)


def key(payload: dict[str, Any]) -> str:
    return (
        webhook().verify({"authorization": "Bearer right"}, json.dumps(payload).encode(), NOW).key
    )


def bearer(secret: str, body: bytes, at: datetime) -> Mapping[str, str]:
    """As Alertmanager's `http_config.authorization`, which the tests above see at work."""
    return {"Content-Type": "application/json", "Authorization": f"Bearer {secret}"}


class TestDelivery(SourceChecks):
    case = SourceCase(
        integration=AlertmanagerIntegration,
        secret_name="token",
        sign=bearer,
        body=(Path(__file__).parent / "payloads" / "alertmanager" / "firing.json").read_bytes(),
        proofs=("Authorization",),
        signs_body=False,
        kinds=("alert.firing",),
    )


class TestKey:
    def test_a_repeated_notification_of_an_unchanged_group_is_the_same_delivery(self) -> None:
        one, two = alert("web-1"), alert("web-2")
        assert key(group(one, two)) == key(group(two, one))

    @pytest.mark.parametrize(
        "changed",
        [
            group(alert("web-1"), alert("web-2")),
            group(alert("web-1") | {"startsAt": "2026-05-01T11:00:00Z"}),
            group(alert("web-1", "resolved"), status="resolved"),
            group(alert("web-1")) | {"groupKey": "another"},
        ],
    )
    def test_anything_that_changes_is_a_new_delivery(self, changed: dict[str, Any]) -> None:
        assert key(changed) != key(group(alert("web-1")))

    @pytest.mark.parametrize("token", ["wrong", "righ", "right2", "ríght", ""])
    def test_a_wrong_token(self, token: str) -> None:
        with pytest.raises(SignatureError):
            webhook().verify({"authorization": f"Bearer {token}"}, b"{}", NOW)


class TestEvents:
    def test_a_group_of_several_alerts_is_one_event_that_names_them(self) -> None:
        (event,) = webhook().normalise(
            {}, json.dumps(group(alert("web-1"), alert("web-2"))).encode()
        )
        assert event.attributes["count"] == 2
        assert event.attributes["instance"] == "web-1, web-2"
        assert event.attributes["fingerprints"] == ["f-web-1", "f-web-2"]
        assert "label_instance" not in event.attributes

    def test_a_group_fires_until_its_last_alert_is_resolved(self) -> None:
        payload = group(alert("web-1", "resolved"), alert("web-2"))
        (event,) = webhook().normalise({}, json.dumps(payload).encode())
        assert event.kind == "alert.firing"
        assert event.attributes["count"] == 1
        assert event.attributes["instance"] == "web-2"

    def test_labels_from_outside_are_bounded(self) -> None:
        labels = {f"label{number}": "x" * 10_000 for number in range(500)}
        payload = group(alert("web-1")) | {"commonLabels": labels, "groupKey": "k" * 50_000}
        (event,) = webhook().normalise({}, json.dumps(payload).encode())
        assert len(event.model_dump_json()) < 50_000
        assert len(event.subject) <= 300

    def test_long_group_keys_stay_apart(self) -> None:
        first, second = (
            webhook().normalise(
                {}, json.dumps(group(alert("web-1")) | {"groupKey": "k" * 400 + end}).encode()
            )[0]
            for end in ("a", "b")
        )
        assert first.subject != second.subject

    @pytest.mark.parametrize(
        "never", ["0001-01-01T00:00:00+02:00", "9999-12-31T23:59:59-02:00", "2026-05-01T10:00:00"]
    )
    def test_odd_times(self, never: str) -> None:
        ended = alert("web-1", "resolved") | {"endsAt": never}
        payload = group(ended, alert("web-2", "resolved"), status="resolved")
        (event,) = webhook().normalise({}, json.dumps(payload).encode())
        assert event.occurred_at.utcoffset() == timedelta(0)

    @pytest.mark.parametrize(
        "payload",
        [
            {},
            group(),
            group(alert("web-1")) | {"version": "3"},
            group(alert("web-1")) | {"status": "burning"},
            group(alert("web-1") | {"labels": {"alertname": 1}}),
        ],
    )
    def test_a_payload_that_alertmanager_does_not_document(self, payload: Any) -> None:
        with pytest.raises(MalformedDeliveryError, match="AlertGroup"):
            webhook().normalise({}, json.dumps(payload).encode())
