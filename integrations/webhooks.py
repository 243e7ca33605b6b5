"""What receiving a webhook needs: a protocol without I/O, its errors, and small helpers.

As in gidgethub's `sansio`, verifying and normalising are pure functions of headers and body; the
aiohttp part is in `integrations.intake` and shared by all.
"""

from __future__ import annotations

import hashlib
import hmac
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, SecretStr, ValidationError
from pydantic_core import from_json

from core.errors import CountersignError
from core.records import Event

P = TypeVar("P", bound=BaseModel)

DEFAULT_MAX_BYTES = 1024 * 1024
TOLERANCE = timedelta(minutes=5)
"""How far a signed time may be from our clock, as most senders recommend."""
ARRIVAL = datetime.min.replace(tzinfo=UTC)
"""When something happened that its sender gives no time for: stands for the time of arrival."""


class WebhookError(CountersignError):
    """A delivery is refused; the message goes to our log and, in short, to the sender."""

    status: HTTPStatus = HTTPStatus.BAD_REQUEST


class SignatureError(WebhookError):
    """The delivery does not prove that it comes from the configured sender."""

    status = HTTPStatus.UNAUTHORIZED


class MalformedDeliveryError(WebhookError):
    """The sender is who it should be, but what it sent cannot be read."""


class Identity(NamedTuple):
    """Which delivery it is.

    Attributes:
        key: unique among the deliveries of one webhook, the same when it is sent again; 1 to 200
            characters.
        subject: deliveries of one subject (a pull request, a group of alerts) are processed in
            the order of their arrival; empty where the order does not matter. At most 300
            characters.
    """

    key: str
    subject: str = ""


class Webhook(ABC):
    """How one integration reads what is posted to `/webhooks/<id>`.

    Attributes:
        id: the integration's id.
        max_bytes: bodies larger than this are refused unread.
        content_types: what the sender may call its bodies; all of them are JSON.
        secret_headers: lower-case names of headers that hold a token, so that they are not
            stored; `authorization` never is.
    """

    id: str
    max_bytes: int
    content_types: frozenset[str] = frozenset({"application/json"})
    secret_headers: frozenset[str] = frozenset()

    @abstractmethod
    def verify(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Identity:
        """Check that the sender is who it should be, before anything of the body is believed;
        say which delivery it is.

        Args:
            headers: names in lower case.
            body: the bytes as they were sent.
            at: when they arrived, in UTC; senders that sign a time are held to it.

        Raises:
            SignatureError: proof of the sender is missing, wrong or too old.
            MalformedDeliveryError: the proof holds, but there is nothing to make a key of.
        """

    @abstractmethod
    def normalise(self, headers: Mapping[str, str], body: bytes) -> list[Event]:
        """Say what happened; nothing, where the delivery is of no interest.

        Raises:
            MalformedDeliveryError: the body is not what the sender documents.
        """


class Payload(BaseModel):
    """Base of the models of what senders post: frozen, and what is not named is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _LastJson:
    """Verifying, checking and normalising read the same body one after the other: it is parsed
    once. It is known by being the same object, for to hash or compare it takes longer than that."""

    def __init__(self) -> None:
        self._last: tuple[bytes, JsonValue] = (b"", None)

    def read(self, body: bytes) -> JsonValue:
        """The body as JSON (RFC 8259: UTF-8, no NaN, nesting bounded by the parser); not to be
        changed, for others may read the same.

        Raises:
            MalformedDeliveryError: it is not.
        """
        last = self._last
        if last[0] is not body or not body:
            self._last = last = (body, _parsed(body))
        return last[1]


read_json = _LastJson().read


def _parsed(body: bytes) -> JsonValue:
    try:
        value: JsonValue = from_json(body, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        try:
            body.decode("utf-8")
        except UnicodeDecodeError as wrong:
            message = f"the body is not UTF-8 at byte {wrong.start}"
        else:
            message = f"the body is not JSON: {error}"
        raise MalformedDeliveryError(message) from error
    return value


def read_payload(body: bytes, payload: type[P]) -> P:
    """The body as a typed payload.

    Raises:
        MalformedDeliveryError: it does not fit; the message names each field, not its value.
    """
    try:
        return payload.model_validate(read_json(body))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'the body'}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)[:5]
        )
        raise MalformedDeliveryError(f"not a {payload.__name__}: {problems}") from error


def require(headers: Mapping[str, str], name: str) -> str:
    """The header of that (lower-case) name.

    Raises:
        MalformedDeliveryError: it is missing or empty.
    """
    if value := headers.get(name):
        return value
    raise MalformedDeliveryError(f"the header {name} is missing")


def matches_any(given: str, expected: Iterable[str]) -> bool:
    """Whether `given` is one of `expected`, in a time that does not depend on where it differs."""
    encoded = given.encode("utf-8", "surrogateescape")
    return sum(hmac.compare_digest(encoded, value.encode()) for value in expected) > 0


def hmac_sha256(secret: SecretStr, body: bytes) -> str:
    """HMAC-SHA-256 (RFC 2104) of `body` as hexadecimal digits."""
    return hmac.digest(secret.get_secret_value().encode(), body, "sha256").hex()


def require_bearer(headers: Mapping[str, str], tokens: Iterable[SecretStr]) -> None:
    """Check the token of `Authorization: Bearer …` (RFC 6750).

    Raises:
        SignatureError: there is none, or it is none of `tokens`.
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise SignatureError("there is no bearer token")
    if not matches_any(token.strip(), (t.get_secret_value() for t in tokens)):
        raise SignatureError("the bearer token is wrong")


def require_fresh(sent: datetime, at: datetime, tolerance: timedelta = TOLERANCE) -> None:
    """Refuse what was signed too long ago, or in the future: it may be a replay.

    Raises:
        SignatureError: `sent` is further from `at` than `tolerance`.
    """
    if abs(at - in_utc(sent)) > tolerance:
        raise SignatureError(
            f"it was signed more than {tolerance.total_seconds():.0f} s away from our clock"
        )


def digest(body: bytes) -> str:
    """SHA-256 as hexadecimal digits: the key of a delivery whose sender gives it none."""
    return hashlib.sha256(body).hexdigest()


def in_utc(moment: datetime) -> datetime:
    """The same moment in UTC; one without a zone, or less than a day from the calendar's ends (how
    some senders write "never"), is taken as UTC."""
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return moment.replace(tzinfo=UTC)
