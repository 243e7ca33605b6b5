"""The symmetric signature of Standard Webhooks, as many senders use it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

PyPI's `standardwebhooks` (no dependencies, 6 ms to import) makes the signatures in our tests.
It is not used here: it looks at its own clock, and raises ValueError and UnicodeDecodeError on
headers and bodies that are not well formed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from pydantic import SecretStr

from core.errors import ConfigurationError
from integrations.webhooks import MalformedDeliveryError, SignatureError, matches_any, require_fresh

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
_PREFIX = "whsec_"
_LATEST = 253_402_300_799  # the year 9999
_MOST_SIGNATURES = 20


def message_key(secret: SecretStr, where: str) -> bytes:
    """The key that `whsec_…` stands for.

    Args:
        where: names the setting in the message.

    Raises:
        ConfigurationError: it is not base64, or empty.
    """
    text = secret.get_secret_value().removeprefix(_PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ConfigurationError(
            f"{where}: a signing secret of Standard Webhooks is `whsec_` and base64, such as "
            "`echo whsec_$(head -c 24 /dev/urandom | base64)` makes."
        )
    return key


def verify_message(
    headers: Mapping[str, str],
    body: bytes,
    keys: Iterable[bytes],
    at: datetime,
    prefix: str = "webhook-",
) -> str:
    """Check a message's signature and time; return its id.

    Args:
        headers: names in lower case.
        keys: those that are valid.
        at: when it arrived, in UTC.
        prefix: of the three headers; Svix's older ones are `svix-`.

    Raises:
        SignatureError: a header is missing, the signature is wrong, or the time is too far away.
        MalformedDeliveryError: the signature holds, but the id is empty or too long.
    """
    names = [prefix + name.removeprefix("webhook-") for name in (ID, TIMESTAMP, SIGNATURE)]
    if missing := [name for name in names if not headers.get(name)]:
        raise SignatureError(f"the header {missing[0]} is missing")
    message, timestamp, signature = (headers[name] for name in names)
    signed = f"{message}.{timestamp}.".encode("utf-8", "surrogateescape") + body
    expected = [
        base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys
    ]
    given = [part.partition(",") for part in signature.split(" ")[:_MOST_SIGNATURES]]
    found = [matches_any(value, expected) for version, _, value in given if version == "v1"]
    if not any(found):
        raise SignatureError("the signature is wrong; compare the signing secret")
    require_fresh(_moment(timestamp), at)
    if len(message) > 200 or not message.isprintable():
        raise MalformedDeliveryError(f"the header {names[0]} is not a message's id")
    return message


def _moment(timestamp: str) -> datetime:
    # Python refuses to read integers of thousands of digits.
    digits = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12
    if not (digits and int(timestamp) <= _LATEST):
        raise SignatureError("the timestamp is not a number of seconds")
    return datetime.fromtimestamp(int(timestamp), UTC)
