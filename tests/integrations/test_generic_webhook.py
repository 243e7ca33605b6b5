"""Any sender: several known ways of signing, described by settings alone."""

import base64
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.errors import ConfigurationError
from core.inbox import Delivery
from core.records import Event
from core.security.secrets import Secrets
from core.state import AIIntegration
from integrations.events import events_of
from integrations.generic import GenericIntegration
from integrations.generic.webhook import GenericWebhook
from integrations.registry import Integrations
from integrations.webhooks import MalformedDeliveryError, SignatureError
from tests.support.source_cases import SourceCase, SourceChecks

BODY = (Path(__file__).parent / "payloads/generic/deployment.json").read_bytes()
JSON = {"Content-Type": "application/json"}
BEARER = {"token": {}}
FIELDS = {
    "key": "${body.id}",
    "subject": "${body.deployment.service}",
    "kind": "deploy.${body.state == 'ERROR' ? 'failed' : 'succeeded'}",
    "title": "${body.actor.name} deployed ${body.deployment.service}",
    "occurred_at": "${body.createdAt}",
    "when": "body.state in ['ERROR', 'READY']",
    "attributes": {
        "service": "${body.deployment.service}",
        "url": "${body.deployment.url}",
        "actor": "${body.actor.name}",
        "reason": "${body.reason}",
        "retries": "${size(body.deployment) + 1}",
    },
}


def digest(secret: str, signed: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.new(secret.encode(), signed, algorithm).digest()


def _plain_hmac(secret: str, body: bytes, at: datetime) -> Mapping[str, str]:
    """As Vercel documents `x-vercel-signature`."""
    return {**JSON, "x-vercel-signature": digest(secret, body, "sha1").hex()}


def _slack(secret: str, body: bytes, at: datetime) -> Mapping[str, str]:
    """As Slack documents its request signatures."""
    seconds = str(int(at.timestamp()))
    signature = digest(secret, f"v0:{seconds}:".encode() + body).hex()
    return {
        **JSON,
        "X-Slack-Request-Timestamp": seconds,
        "X-Slack-Signature": f"v0={signature}",
    }


def _stripe(secret: str, body: bytes, at: datetime) -> Mapping[str, str]:
    """As Stripe documents `Stripe-Signature`; the first signature is of a secret that is gone."""
    seconds = str(int(at.timestamp()))
    signature = digest(secret, f"{seconds}.".encode() + body).hex()
    return {**JSON, "Stripe-Signature": f"t={seconds},v1={'0' * 64},v1={signature},v0=x"}


def _base64(secret: str, body: bytes, at: datetime) -> Mapping[str, str]:
    """As Shopify documents `X-Shopify-Hmac-SHA256`."""
    return {**JSON, "X-Shopify-Hmac-Sha256": base64.b64encode(digest(secret, body)).decode()}


def _basic(secret: str, body: bytes, at: datetime) -> Mapping[str, str]:
    return {**JSON, "Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}


class TestHmacOfTheBody(SourceChecks):
    case = SourceCase(
        integration=GenericIntegration,
        sign=_plain_hmac,
        body=BODY,
        kinds=("deploy.failed",),
        settings={
            "proof": {"hmac": {"header": "x-vercel-signature", "algorithm": "sha1"}},
            "fields": FIELDS,
        },
        proofs=("x-vercel-signature",),
    )


class TestHmacWithATimestampHeader(SourceChecks):
    case = SourceCase(
        integration=GenericIntegration,
        sign=_slack,
        body=BODY,
        kinds=("message",),
        settings={
            "proof": {
                "hmac": {
                    "header": "X-Slack-Signature",
                    "prefix": "v0=",
                    "timestamp": {"header": "X-Slack-Request-Timestamp"},
                    "signed": "v0:{timestamp}:{body}",
                }
            }
        },
        proofs=("X-Slack-Signature", "X-Slack-Request-Timestamp"),
        signs_time=True,
    )


class TestHmacInPartsOfAHeader(SourceChecks):
    case = SourceCase(
        integration=GenericIntegration,
        sign=_stripe,
        body=BODY,
        kinds=("message",),
        settings={
            "proof": {
                "hmac": {
                    "header": "Stripe-Signature",
                    "part": "v1",
                    "timestamp": {"header": "Stripe-Signature", "part": "t"},
                    "signed": "{timestamp}.{body}",
                }
            }
        },
        proofs=("Stripe-Signature",),
        signs_time=True,
    )


class TestHmacInBase64(SourceChecks):
    case = SourceCase(
        integration=GenericIntegration,
        sign=_base64,
        body=BODY,
        kinds=("message",),
        settings={"proof": {"hmac": {"header": "X-Shopify-Hmac-SHA256", "encoding": "base64"}}},
        proofs=("X-Shopify-Hmac-SHA256",),
    )


class TestBearerToken(SourceChecks):
    case = SourceCase(
        integration=GenericIntegration,
        sign=lambda secret, body, at: {**JSON, "Authorization": f"Bearer {secret}"},
        body=BODY,
        kinds=("message",),
        settings={"proof": BEARER},
        proofs=("Authorization",),
        signs_body=False,
    )


class TestTokenInAHeaderOfItsOwn(SourceChecks):
    case = SourceCase(
        integration=GenericIntegration,
        sign=lambda secret, body, at: {**JSON, "X-Deploy-Token": secret},
        body=BODY,
        kinds=("message",),
        settings={"proof": {"token": {"header": "X-Deploy-Token", "scheme": "plain"}}},
        proofs=("X-Deploy-Token",),
        signs_body=False,
    )


class TestUserWithAPassword(SourceChecks):
    case = SourceCase(
        integration=GenericIntegration,
        sign=_basic,
        body=BODY,
        kinds=("message",),
        settings={"proof": {"token": {"scheme": "basic"}}},
        proofs=("Authorization",),
        signs_body=False,
        secret="ada:s3cret",
        new_secret="ada:n3xt-secret",
        wrong_secret="ada:wr0ng-secret",
    )


def made(**settings: object) -> GenericIntegration:
    record = AIIntegration.model_validate(
        {
            "id": "deploys",
            "kind": "generic",
            "settings": {"proof": BEARER, **settings},
            "secrets": {"webhook": "TOKEN"},
        }
    )
    return GenericIntegration.create(record, Secrets({"TOKEN": "token"}))


def webhook(**settings: object) -> GenericWebhook:
    return made(**settings).webhook


def normalise(body: object, headers: Mapping[str, str] | None = None, **fields: object) -> Event:
    (event,) = webhook(fields=fields).normalise(headers or {}, json.dumps(body).encode())
    return event


class TestFields:
    def test_they_are_picked(self) -> None:
        event = normalise(json.loads(BODY), None, **FIELDS)
        assert event == Event(
            id="deploys:dpl_7Gw5ZMzk",
            kind="deploy.failed",
            source="deploys",
            subject="checkout",
            title="ada deployed checkout",
            occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
            attributes={
                "service": "checkout",
                "url": "https://deploy.example/dpl_7Gw5ZMzk",
                "actor": "ada",
                "reason": "",
                "retries": 5,
            },
        )

    def test_when_is_false(self) -> None:
        body = json.dumps(json.loads(BODY) | {"state": "BUILDING"}).encode()
        assert webhook(fields=FIELDS).normalise({}, body) == []

    def test_without_any(self) -> None:
        event = normalise({"a": {"b": "x"}, "list": [1, 2], "deep": [{"c": 1}]})
        assert event.kind == "message"
        assert event.attributes == {"a_b": "x", "list": ["1", "2"]}
        assert event.id.startswith("deploys:")

    def test_from_headers(self) -> None:
        event = normalise({}, {"x-delivery": "abc"}, key='${headers["x-delivery"]}')
        assert event.id == "deploys:abc"

    def test_a_token_cannot_be_picked(self) -> None:
        picking = webhook(
            proof={"token": {"header": "X-Token", "scheme": "plain"}},
            fields={"key": '${headers["x-token"]}'},
        )
        with pytest.raises(MalformedDeliveryError, match=r"fields\.key"):
            picking.verify({"x-token": "token"}, b"{}", datetime.now(UTC))

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("key", "${body.id}"),
            ("key", "${body.empty}"),
            ("subject", "${body.list}"),
            ("title", "${body.missing}"),
            ("occurred_at", "${body.text}"),
            ("occurred_at", "${body.far}"),
            ("occurred_at", "${body.farther}"),
            ("when", "body.text"),
        ],
    )
    def test_a_body_without_what_is_picked(self, field: str, value: str) -> None:
        body = {"empty": "", "list": [], "text": "text", "far": 10**30, "farther": 10**400}
        with pytest.raises(MalformedDeliveryError, match=rf"fields\.{field}"):
            normalise(body, None, **{field: value})

    @pytest.mark.parametrize("value", [1767225600, 1767225600000, "2026-01-01T01:00:00+01:00"])
    def test_a_time_in_seconds_in_milliseconds_or_as_text(self, value: object) -> None:
        event = normalise({"at": value}, None, occurred_at="${body.at}")
        assert event.occurred_at == datetime(2026, 1, 1, tzinfo=UTC)


def test_an_event_without_a_time_happened_when_its_delivery_arrived() -> None:
    at = datetime(2026, 5, 1, tzinfo=UTC)
    delivery = Delivery(source="webhook:deploys", key="k", headers={}, body=b"{}", received_at=at)
    (event,) = events_of(delivery, Integrations({"deploys": made()}))
    assert event.occurred_at == at


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"proof": {}}, "proof"),
        ({"proof": {"token": {}, "standard": {}}}, "proof"),
        ({"proof": {"hmac": {"header": "X", "signed": "{id}.{body}"}}}, "proof.hmac"),
        ({"proof": {"hmac": {"header": "X", "signed": "{timestamp}"}}}, "proof.hmac"),
        ({"proof": {"hmac": {"header": "X", "signed": "{timestamp}.{body}"}}}, "proof.hmac"),
        ({"proof": {"hmac": {"header": "X", "timestamp": {"header": "T"}}}}, "proof.hmac"),
        ({"proof": {"hmac": {"header": "X Y"}}}, "proof.hmac.header"),
        ({"fields": {"key": "${payload.id}"}}, "fields.key"),
        ({"fields": {"key": "${parameters.id}"}}, "fields.key"),
        ({"fields": {"key": "${body.id"}}, "fields.key"),
        ({"fields": {"when": "size(body)"}}, "fields.when"),
        ({"fields": {"attributes": {"Bad Name": "x"}}}, "fields.attributes"),
    ],
)
def test_settings_that_cannot_work_are_told_when_they_are_read(
    settings: dict[str, object], setting: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"integrations/deploys\.yaml: settings\.") as told:
        made(**settings)
    assert f"settings.{setting}" in str(told.value)


def test_a_standard_webhooks_secret_that_is_none() -> None:
    with pytest.raises(ConfigurationError, match=r"secrets\.webhook"):
        made(proof={"standard": {}})


def test_the_time_of_a_signature_that_is_none() -> None:
    case = TestHmacWithATimestampHeader.case
    signature = digest(case.secret, b"v0:soon:" + BODY).hex()
    headers = {"x-slack-signature": f"v0={signature}", "x-slack-request-timestamp": "soon"}
    with pytest.raises(SignatureError, match="not a time"):
        case.webhook().verify(headers, BODY, datetime.now(UTC))
