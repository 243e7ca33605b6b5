"""What receiving a webhook needs: a protocol without I/O, its errors, and small helpers.

As in gidgethub's `sansio`, verifying and normalising are pure functions of headers and body; the
aiohttp part is in `integrations.intake` and shared by all.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, SecretStr, ValidationError
from pydantic_core import from_json

from core.errors import CountersignError
from core.records import Event

P = TypeVar("P", bound=BaseModel)

DEFAULT_MAX_BYTES = 1024 * 1024


class WebhookError(CountersignError):
    """A delivery is refused; the message goes to our log and, in short, to the sender."""

    status: HTTPStatus = HTTPStatus.BAD_REQUEST


class SignatureError(WebhookError):
    """The delivery does not prove that it comes from the configured sender."""

    status = HTTPStatus.UNAUTHORIZED


class MalformedDeliveryError(WebhookError):
    """The sender is who it should be, but what it sent cannot be read."""


class Webhook(Protocol):
    """How one integration reads what is posted to `/webhooks/<id>`.

    Attributes:
        id: the integration's id.
        max_bytes: bodies larger than this are refused unread.
    """

    id: str
    max_bytes: int

    def verify(self, headers: Mapping[str, str], body: bytes) -> str:
        """Check that the sender is who it should be; return the delivery's unique key
        (1 to 200 characters).

        Args:
            headers: names in lower case.
            body: the bytes as they were sent.

        Raises:
            SignatureError: proof of the sender is missing or wrong.
            MalformedDeliveryError: the proof holds, but there is nothing to make a key of.
        """
        ...

    def normalise(self, headers: Mapping[str, str], body: bytes) -> list[Event]:
        """Say what happened; nothing, where the delivery is of no interest.

        Raises:
            MalformedDeliveryError: the body is not what the sender documents.
        """
        ...


class Payload(BaseModel):
    """Base of the models of what senders post: frozen, and what is not named is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def read_json(body: bytes) -> JsonValue:
    """The body as JSON (RFC 8259: UTF-8, no NaN, nesting bounded by the parser).

    Raises:
        MalformedDeliveryError: it is not.
    """
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedDeliveryError(f"the body is not UTF-8 at byte {error.start}") from error
    try:
        value: JsonValue = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise MalformedDeliveryError(f"the body is not JSON: {error}") from error
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
    return hmac.new(secret.get_secret_value().encode(), body, hashlib.sha256).hexdigest()


def in_utc(moment: datetime) -> datetime:
    """The same moment in UTC; a moment without a zone is taken as UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
