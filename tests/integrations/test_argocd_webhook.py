"""Argo CD's notifications, as the template of docs/integrations renders them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from ruamel.yaml import YAML

from core.records import Event
from integrations.argocd import ArgoCDIntegration
from integrations.argocd.payloads import Notification
from integrations.argocd.webhook import ArgoCDWebhook
from integrations.webhooks import MalformedDeliveryError
from tests.support.source_cases import SourceCase, SourceChecks

TOKEN = "a-token-for-notifications"
PAYLOADS = Path(__file__).parent / "payloads" / "argocd"
MANIFEST = Path(__file__).parents[2] / "docs" / "integrations" / "argocd-notifications.yaml"
NOW = datetime.now(UTC)


def payload(name: str) -> bytes:
    return (PAYLOADS / f"{name}.json").read_bytes()


def changed(name: str, **more: Any) -> bytes:
    return json.dumps({**json.loads(payload(name)), **more}).encode()


def sign(secret: str, body: bytes, at: datetime) -> Mapping[str, str]:
    """As the manifest has the headers."""
    config = YAML(typ="safe", pure=True).load(MANIFEST.read_text())["data"]
    service = YAML(typ="safe", pure=True).load(config["service.webhook.countersign"])
    return {
        header["name"]: header["value"].replace("$countersign-token", secret)
        for header in service["headers"]
    }


class TestSyncThatFailed(SourceChecks):
    case = SourceCase(
        integration=ArgoCDIntegration,
        sign=sign,
        body=payload("sync_failed"),
        kinds=("sync.failed",),
        proofs=("Authorization",),
        signs_body=False,
    )

    def test_an_altered_body(self) -> None:
        """A token knows nothing of the body, and the key is made of it: here, the same."""
        webhook, headers = self.case.webhook(), {"authorization": f"Bearer {self.case.secret}"}
        assert webhook.verify(headers, self.case.body + b" ", NOW).key


WEBHOOK = ArgoCDWebhook("argocd", (SecretStr(TOKEN),), 1024 * 1024)
HEADERS = {"authorization": f"Bearer {TOKEN}"}


def events(body: bytes) -> list[Event]:
    return WEBHOOK.normalise(HEADERS, body)


@pytest.mark.parametrize(
    ("name", "kind", "title"),
    [
        (
            "sync_succeeded",
            "sync.succeeded",
            "argocd/shop: sync succeeded: successfully synced (all tasks run)",
        ),
        (
            "sync_error",
            "sync.failed",
            "argocd/shop: sync failed: ComparisonError: repository not found",
        ),
        (
            "health_degraded",
            "health.degraded",
            'argocd/shop is degraded: Deployment "web" exceeded its progress deadline',
        ),
        ("health_healthy", "health.healthy", "argocd/shop is healthy"),
    ],
)
def test_what_happened(name: str, kind: str, title: str) -> None:
    (event,) = events(payload(name))
    assert (event.kind, event.title, event.subject) == (kind, title, "argocd/shop")
    assert event.attributes["application"] == "shop"
    assert event.attributes["url"] == "https://argocd.acme.example/applications/argocd/shop"


def test_the_attributes_of_a_sync() -> None:
    (event,) = events(payload("sync_succeeded"))
    assert event.occurred_at == datetime(2026, 1, 5, 11, 0, 9, tzinfo=UTC)
    assert event.attributes == {
        "application": "shop",
        "service": "shop",
        "project": "default",
        "environment": "https://kubernetes.default.svc",
        "namespace": "shop",
        "repository": "https://git.acme.example/shop.git",
        "branch": "main",
        "sha": "2" * 40,
        "actor": "ada",
        "phase": "Succeeded",
        "sync": "Synced",
        "health": "Healthy",
        "url": "https://argocd.acme.example/applications/argocd/shop",
        "description": "successfully synced (all tasks run)",
    }


def test_an_automatic_sync_and_several_sources() -> None:
    (event,) = events(payload("sync_failed"))
    assert event.attributes["actor"] == "argocd"
    assert 'exceeded quota\nsecond "line"' in str(event.attributes["description"])
    (event,) = events(payload("sync_several_sources"))
    assert event.attributes["repository"] == "https://git.acme.example/shop.git"


@pytest.mark.parametrize(
    "body",
    [
        payload("sync_dry_run"),
        changed("sync_succeeded", operationState={"phase": "Running"}),
        changed("sync_succeeded", operationState=None),
        changed("health_degraded", health={"status": "Progressing"}),
        changed("health_degraded", health=None),
    ],
)
def test_what_means_nothing(body: bytes) -> None:
    assert WEBHOOK.verify(HEADERS, body, NOW).key
    assert events(body) == []


def test_each_happening_has_a_key_of_its_own() -> None:
    names = [path.stem for path in PAYLOADS.glob("*.json")]
    told = [payload(name) for name in names if name not in {"sync_dry_run", "sync_several_sources"}]
    keys = {WEBHOOK.verify(HEADERS, body, NOW).key for body in told}
    assert len(keys) == len(told) == 5
    again = json.loads(payload("health_degraded"))
    again["reconciledAt"] = "2026-01-05T12:30:00Z"  # seen again, and nothing has happened since
    key = WEBHOOK.verify(HEADERS, json.dumps(again).encode(), NOW).key
    assert key == WEBHOOK.verify(HEADERS, payload("health_degraded"), NOW).key


def test_all_that_one_application_tells_is_in_order() -> None:
    subjects = {
        WEBHOOK.verify(HEADERS, payload(path.stem), NOW).subject for path in PAYLOADS.glob("*.json")
    }
    other = changed("sync_failed", metadata={"name": "shop", "namespace": "team-a"})
    assert len(subjects) == 1
    assert WEBHOOK.verify(HEADERS, other, NOW).subject not in subjects


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        changed("sync_failed", event="other"),
        changed("sync_failed", metadata={"name": ""}),
        changed("sync_failed", operationState={"phase": 1}),
    ],
)
def test_what_is_no_notification(body: bytes) -> None:
    with pytest.raises(MalformedDeliveryError, match="Notification"):
        WEBHOOK.verify(HEADERS, body, NOW)


def test_one_that_says_nowhere_when() -> None:
    body = changed("health_healthy", reconciledAt=None)
    with pytest.raises(MalformedDeliveryError, match="nowhere when"):
        events(body)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "<no value>/applications/x", ""])
def test_only_web_addresses_are_links(url: str) -> None:
    (event,) = events(changed("sync_failed", url=url))
    assert event.attributes["url"] == ""


def test_the_manifest_sends_what_is_read() -> None:
    """Every member of our templates is one that is read: a typing error in one would show."""
    for name in ("sync_failed", "health_degraded"):
        known = {field.alias or key for key, field in Notification.model_fields.items()}
        assert set(json.loads(payload(name))) <= known
