"""Standard Webhooks, signed by the project's own Python library."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.errors import ConfigurationError
from core.records import Event
from core.security.secrets import Secrets
from core.state import AIIntegration
from integrations.standardwebhooks import StandardWebhooksIntegration
from integrations.standardwebhooks.webhook import StandardWebhook
from integrations.webhooks import ARRIVAL, MalformedDeliveryError, SignatureError
from tests.support.source_cases import SourceCase, SourceChecks
from tests.support.standard_webhooks import ID, NEW_SECRET, SECRET, WRONG_SECRET, sign

BODY = (Path(__file__).parent / "payloads/standardwebhooks/contact_created.json").read_bytes()


def svix(secret: str, body: bytes, at: datetime) -> Mapping[str, str]:
    return {k.replace("webhook-", "svix-"): v for k, v in sign(secret, body, at).items()}


class TestDelivery(SourceChecks):
    case = SourceCase(
        integration=StandardWebhooksIntegration,
        sign=sign,
        body=BODY,
        kinds=("contact.created",),
        settings={"subject": "${body.data.id}"},
        proofs=("webhook-id", "webhook-timestamp", "webhook-signature"),
        signs_time=True,
        secret=SECRET,
        new_secret=NEW_SECRET,
        wrong_secret=WRONG_SECRET,
    )


class TestDeliveryOfSvix(SourceChecks):
    case = SourceCase(
        integration=StandardWebhooksIntegration,
        sign=svix,
        body=BODY,
        kinds=("issue.opened",),
        settings={"headers": "svix", "kinds": {"contact.*": "issue.opened"}},
        proofs=("svix-id", "svix-timestamp", "svix-signature"),
        signs_time=True,
        secret=SECRET,
        new_secret=NEW_SECRET,
        wrong_secret=WRONG_SECRET,
    )


def made(**settings: object) -> StandardWebhook:
    record = AIIntegration.model_validate(
        {
            "id": "shop",
            "kind": "standardwebhooks",
            "settings": settings,
            "secrets": {"webhook": "SIGNING"},
        }
    )
    return StandardWebhooksIntegration.create(record, Secrets({"SIGNING": SECRET})).webhook


@pytest.mark.parametrize("seconds", ["9" * 5000, "9" * 12, "1e9", "-1", "\u0661", " 1"])
def test_a_signed_time_that_is_none_is_refused(seconds: str) -> None:
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signed = hmac.new(key, f"{ID}.{seconds}.".encode() + BODY, hashlib.sha256).digest()
    headers = {
        "webhook-id": ID,
        "webhook-timestamp": seconds,
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
    with pytest.raises(SignatureError):
        made().verify(headers, BODY, datetime.now(UTC))


def test_the_vector_that_the_libraries_of_the_project_are_tested_with() -> None:
    """https://github.com/standard-webhooks/standard-webhooks/tree/main/libraries: `test_sign` of
    the Python and of the Rust one."""
    body, at = b'{"test": 2432232314}', datetime.fromtimestamp(1614265330, UTC)
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert made().verify(headers, body, at).key == "msg_p5jXN8AQM9LWM0D4loKWxJek"


def normalise(body: object, **settings: object) -> Event:
    (event,) = made(**settings).normalise({"webhook-id": ID}, json.dumps(body).encode())
    return event


def test_the_example_of_the_specification() -> None:
    event = normalise(json.loads(BODY))
    assert event.id == f"shop:{ID}"
    assert event.title == "contact.created from shop"
    assert event.occurred_at == datetime(2022, 11, 3, 20, 26, 10, 344522, UTC)
    assert event.attributes == {
        "type": "contact.created",
        "id": "1f81eb52-5198-4599-803e-771906343485",
        "first_name": "John",
        "last_name": "Smith",
    }


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        ("deploy.failed", "deploy.failed"),
        ("user.2faEnabled", "user.fa_enabled"),
        ("Order-Paid", "order_paid"),
        ("…", "message"),
        ("a" * 500, "a" * 80),
        ("x." * 200, ("x." * 40)[:-1]),
    ],
)
def test_a_type_as_a_kind(type_: str, kind: str) -> None:
    event = normalise({"type": type_, "data": {}})
    assert event.kind == kind
    assert event.attributes["type"] == type_[:199] + "…" if len(type_) > 200 else type_


def test_a_sender_that_leaves_out_what_is_only_recommended() -> None:
    event = normalise({"service": "shop", "nested": {"url": "javascript:alert(1)", "n": 10**400}})
    assert event.kind == "message"
    assert event.occurred_at == ARRIVAL
    assert event.attributes == {
        "type": "message",
        "service": "shop",
        "nested_url": "",
        "nested_n": "a very large number",
    }


@pytest.mark.parametrize("body", [[], "text", 1, {"type": 5}, {"timestamp": "yesterday"}])
def test_what_is_no_message(body: object) -> None:
    with pytest.raises(MalformedDeliveryError):
        normalise(body)


@pytest.mark.parametrize("subject", ["${body.data.id", "${parameters.x}", "${size()}", "${1 +}"])
def test_a_subject_that_cannot_be_picked_is_told_when_it_is_read(subject: str) -> None:
    with pytest.raises(ConfigurationError, match=r"integrations/shop\.yaml: settings\.subject"):
        made(subject=subject)


def test_a_subject_that_a_message_lacks() -> None:
    with pytest.raises(MalformedDeliveryError, match=r"subject: body\.data\.id"):
        normalise({"data": {}}, subject="${body.data.id}")
