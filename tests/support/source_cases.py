"""What every source of webhooks is held to, written once.

A test module says how its sender signs, and inherits the checks:

    class TestGitHubDelivery(SourceChecks):
        case = SourceCase(
            integration=GitHubIntegration,
            secret_name="webhook",
            sign=sign,  # (secret, body, at) -> the headers that the sender would send
            body=json.dumps(PAYLOAD).encode(),
            proofs=("X-Hub-Signature-256",),
            needed=("X-GitHub-Delivery",),
            kinds=("ci.failed",),
        )

`sign` is to be the sender's own code, or written from its documentation: nothing of ours.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import JsonValue

from core.security.secrets import Secrets
from core.state import AIIntegration
from integrations.base import Integration
from integrations.events import events_of
from integrations.registry import Integrations, load
from integrations.webhooks import (
    MalformedDeliveryError,
    SignatureError,
    Webhook,
)
from tests.support.intake import Intake, post

Sign = Callable[[str, bytes, datetime], Mapping[str, str]]

SECRET = "the-senders-secret-for-tests"
NEW_SECRET = "the-next-secret-for-tests"
WRONG_SECRET = "a-secret-that-nobody-knows"
_ODD = (
    "",
    " ",
    "é" * 10,
    "0" * 64,
    "sha256=",
    "v1,",
    "v1=,v1=",
    "Bearer",
    "Basic Og==",
    "x" * 9000,
)


@dataclass(frozen=True)
class SourceCase:
    """One sender, one delivery of it, and how it proves where it comes from.

    Attributes:
        sign: secret, body and the time of sending to the headers of a delivery, `Content-Type`
            and the delivery's id with them. The same arguments give the same headers.
        proofs: headers without which, or with another value in which, it is answered 401.
        needed: headers without which it is answered 400 or 401.
        kinds: of the events that it means.
        signs_body: False where the proof is a token that knows nothing of the body.
        signs_time: whether the time is signed, and held to five minutes.
        secret_name: of the one that is compared; `secret`, `new_secret` and `wrong_secret` are
            values of it.
        other_secrets: those that the integration needs beside it.
    """

    integration: type[Integration]
    sign: Sign
    body: bytes
    kinds: tuple[str, ...]
    secret_name: str = "webhook"
    settings: Mapping[str, JsonValue] = field(default_factory=dict)
    proofs: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    signs_body: bool = True
    signs_time: bool = False
    secret: str = SECRET
    new_secret: str = NEW_SECRET
    wrong_secret: str = WRONG_SECRET
    other_secrets: Mapping[str, str] = field(default_factory=dict)

    def load(self, *, rotating: bool = False) -> Integrations:
        """The integration as its file would make it; `rotating` with the new secret, too."""
        kind = self.integration.kind
        names: str | tuple[str, str] = ("NEW", "OLD") if rotating else "OLD"
        others = {name: f"VALUE_OF_{name.upper()}" for name in self.other_secrets}
        record = AIIntegration(
            id=kind,
            kind=kind,
            settings=dict(self.settings),
            secrets={**others, self.secret_name: names},
        )
        values = Secrets(
            {others[name]: value for name, value in self.other_secrets.items()}
            | {"OLD": self.secret, "NEW": self.new_secret}
        )
        return load({kind: record}, values, {kind: self.integration})

    def webhook(self, *, rotating: bool = False) -> Webhook:
        """How its deliveries are read."""
        webhook = self.load(rotating=rotating).get(self.integration.kind).webhook
        assert webhook is not None
        return webhook

    def headers(
        self, secret: str | None = None, body: bytes | None = None, at: datetime | None = None
    ) -> dict[str, str]:
        """What the sender would send: signed with its secret, for its body, now."""
        return dict(
            self.sign(
                self.secret if secret is None else secret,
                self.body if body is None else body,
                at or datetime.now(UTC),
            )
        )


def lower(headers: Mapping[str, str]) -> dict[str, str]:
    """As the intake hands headers on."""
    return {name.lower(): value for name, value in headers.items()}


class SourceChecks:
    """Inherit, and set `case`."""

    case: SourceCase

    @pytest.fixture
    def integrations(self) -> Integrations:
        """What the fixture `intake` serves."""
        return self.case.load()

    def test_its_delivery_has_a_key_that_a_second_try_keeps(self) -> None:
        at = datetime.now(UTC)
        webhook, headers = self.case.webhook(), lower(self.case.headers(at=at))
        first = webhook.verify(headers, self.case.body, at)
        second = webhook.verify(headers, self.case.body, at + timedelta(seconds=5))

        assert first == second
        assert 1 <= len(first.key) <= 200
        assert len(first.subject) <= 300
        assert (first.key + first.subject).isprintable()

    def test_its_events(self) -> None:
        events = self.case.webhook().normalise(lower(self.case.headers()), self.case.body)
        assert tuple(event.kind for event in events) == self.case.kinds

    def test_another_secret(self) -> None:
        headers = lower(self.case.headers(self.case.wrong_secret))
        with pytest.raises(SignatureError):
            self.case.webhook().verify(headers, self.case.body, datetime.now(UTC))

    def test_two_secrets_are_valid_while_one_is_replaced(self) -> None:
        at, webhook = datetime.now(UTC), self.case.webhook(rotating=True)
        for secret in (self.case.secret, self.case.new_secret):
            headers = lower(self.case.headers(secret, at=at))
            assert webhook.verify(headers, self.case.body, at).key
        with pytest.raises(SignatureError):
            webhook.verify(lower(self.case.headers(self.case.wrong_secret)), self.case.body, at)

    def test_without_a_header_that_proves_it(self) -> None:
        assert self.case.proofs, "name the headers that prove where it comes from"
        for name in map(str.lower, self.case.proofs):
            headers = lower(self.case.headers())
            del headers[name]
            with pytest.raises(SignatureError):
                self.case.webhook().verify(headers, self.case.body, datetime.now(UTC))

    def test_with_something_odd_in_a_header_that_proves_it(self) -> None:
        for name in map(str.lower, self.case.proofs):
            for odd in _ODD:
                headers = lower(self.case.headers()) | {name: odd}
                with pytest.raises(SignatureError):
                    self.case.webhook().verify(headers, self.case.body, datetime.now(UTC))

    def test_without_a_header_that_it_needs(self) -> None:
        for name in map(str.lower, self.case.needed):
            headers = lower(self.case.headers())
            del headers[name]
            with pytest.raises((SignatureError, MalformedDeliveryError)):
                self._read(headers)

    def test_an_altered_body(self) -> None:
        at, webhook, headers = datetime.now(UTC), self.case.webhook(), lower(self.case.headers())
        if not self.case.signs_body:
            assert webhook.verify(headers, self.case.body + b" ", at).key
            return
        for altered in (self.case.body + b" ", self.case.body[:-1], self.case.body[1:], b"{}", b""):
            with pytest.raises(SignatureError):
                webhook.verify(headers, altered, at)

    def test_the_time_that_it_signed(self) -> None:
        at, webhook = datetime.now(UTC), self.case.webhook()
        if not self.case.signs_time:
            headers = lower(self.case.headers(at=at - timedelta(days=365)))
            assert webhook.verify(headers, self.case.body, at).key
            return
        for away in (timedelta(minutes=-6), timedelta(days=-365), timedelta(minutes=6)):
            with pytest.raises(SignatureError, match="clock"):
                webhook.verify(lower(self.case.headers(at=at + away)), self.case.body, at)
        for near in (timedelta(minutes=-4), timedelta(minutes=4)):
            assert webhook.verify(lower(self.case.headers(at=at + near)), self.case.body, at).key

    async def test_a_replay(self, intake: Intake) -> None:
        to, headers = self.case.integration.kind, self.case.headers()
        first = await post(intake, self.case.body, headers, to)
        (delivery,) = await intake.stored()
        second = await post(intake, self.case.body, headers, to)

        assert first == (202, {"status": "accepted"})
        assert second == (200, {"status": "duplicate"})
        assert await intake.stored() == []
        assert self.case.secret not in str(delivery.headers)
        if not self.case.signs_body:
            assert not set(map(str.lower, self.case.proofs)) & set(delivery.headers)
        events = events_of(delivery, intake.integrations)
        assert tuple(event.kind for event in events) == self.case.kinds

    async def test_what_is_refused_is_not_stored_and_its_secret_not_logged(
        self, intake: Intake, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        headers = self.case.headers(self.case.wrong_secret)
        status, answer = await post(intake, self.case.body, headers, self.case.integration.kind)

        assert (status, answer["status"]) == (401, "refused")
        assert await intake.stored() == []
        told = caplog.text + str(answer)
        assert self.case.secret not in told
        assert self.case.wrong_secret not in told

    async def test_a_body_that_is_not_json(self, intake: Intake) -> None:
        body = self.case.body[:-1] + b"\xff"
        headers = self.case.headers(body=body)
        status, _ = await post(intake, body, headers, self.case.integration.kind)

        assert status == 400
        assert await intake.stored() == []

    def _read(self, headers: Mapping[str, str]) -> None:
        webhook = self.case.webhook()
        webhook.verify(headers, self.case.body, datetime.now(UTC))
        webhook.normalise(headers, self.case.body)
