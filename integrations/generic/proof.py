"""How a sender of any kind proves where a delivery comes from, as its file describes it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal, Protocol, Self

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, model_validator

from core.records import Frozen
from integrations.picking import moment
from integrations.standardwebhooks.signature import message_key, verify_message
from integrations.webhooks import (
    MalformedDeliveryError,
    SignatureError,
    matches_any,
    require_bearer,
    require_fresh,
)

Header = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,100}$"), AfterValidator(str.lower)
]
_PIECE = re.compile(r"\{([^{}]*)\}")
_MOST_PARTS = 20


class TokenProof(Frozen):
    """The secret itself stands in a header. It proves nothing about the body.

    Attributes:
        scheme: `bearer` and `basic` as after `Authorization:`; `plain`: the header's whole value.
    """

    header: Header = "authorization"
    scheme: Literal["bearer", "basic", "plain"] = "bearer"


class Timestamp(Frozen):
    """Where the signed time stands; seconds or milliseconds since 1970, or RFC 3339.

    Attributes:
        part: its name, in a header such as `t=1700000000,v1=…`.
    """

    header: Header
    part: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_]{1,20}$")


class HmacProof(Frozen):
    """A header holds an HMAC (RFC 2104) of what is signed.

    Attributes:
        prefix: before the digest, such as `sha256=`.
        part: the digest's name, in a header such as `t=1700000000,v1=…`.
        signed: what is signed: `{body}`, `{timestamp}` and `{header:NAME}` between other text.
    """

    header: Header
    algorithm: Literal["sha1", "sha256", "sha384", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = Field(default="", max_length=40)
    part: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_]{1,20}$")
    timestamp: Timestamp | None = None
    signed: str = Field(default="{body}", max_length=300)

    @model_validator(mode="after")
    def _signs(self) -> Self:
        pieces = _PIECE.findall(self.signed)
        known = {"body", "timestamp"}
        if unknown := [p for p in pieces if p not in known and not p.startswith("header:")]:
            raise ValueError(f"signed: there is no {{{unknown[0]}}}")
        if pieces.count("body") != 1:
            raise ValueError("signed: {body} must stand in it once")
        if ("timestamp" in pieces) != (self.timestamp is not None):
            raise ValueError("signed: {timestamp} must stand in it where `timestamp` says where")
        return self


class StandardProof(Frozen):
    """Signed as https://www.standardwebhooks.com says.

    Attributes:
        headers: `svix` for senders that use Svix's older names.
    """

    headers: Literal["webhook", "svix"] = "webhook"


class Proof(Frozen):
    """One of the three."""

    token: TokenProof | None = None
    hmac: HmacProof | None = None
    standard: StandardProof | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(kind is not None for kind in (self.token, self.hmac, self.standard)) != 1:
            raise ValueError("give one of token, hmac and standard")
        return self

    def prover(self, secrets: Sequence[SecretStr], where: str) -> Prover:
        """What checks it with `secrets`.

        Args:
            where: names the secret's setting in messages.

        Raises:
            ConfigurationError: a secret cannot be one of this kind.
        """
        if self.token is not None:
            return _Token(self.token, secrets)
        if self.hmac is not None:
            return _Hmac(self.hmac, secrets)
        prefix = f"{self.standard.headers if self.standard else 'webhook'}-"
        return _Standard([message_key(secret, where) for secret in secrets], prefix)


class Prover(Protocol):
    """Checks one way of proof.

    Attributes:
        secret_headers: lower-case names of headers that hold the secret itself.
        id_header: that of the delivery's id, where the proof covers one.
        covers_headers: whether it vouches for all of the request, and not for the body alone.
    """

    secret_headers: frozenset[str]
    id_header: str | None
    covers_headers: bool

    def check(self, headers: Mapping[str, str], body: bytes, at: datetime) -> None:
        """Let pass what comes from the sender.

        Raises:
            SignatureError: the proof is missing, wrong or too old.
            MalformedDeliveryError: the proof holds, but its id is none.
        """


class _Token:
    id_header: str | None = None
    covers_headers: bool = True

    def __init__(self, proof: TokenProof, secrets: Sequence[SecretStr]) -> None:
        self.secret_headers = frozenset({proof.header})
        self._proof = proof
        self._secrets = secrets

    def check(self, headers: Mapping[str, str], body: bytes, at: datetime) -> None:  # noqa: ARG002
        given = headers.get(self._proof.header, "")
        if self._proof.scheme == "bearer":
            require_bearer({"authorization": given}, self._secrets)
            return
        if self._proof.scheme == "basic":
            given = _basic(given)
        if not given:
            raise SignatureError(f"the header {self._proof.header} is missing")
        if not matches_any(given, (secret.get_secret_value() for secret in self._secrets)):
            raise SignatureError(f"the token in the header {self._proof.header} is wrong")


def _basic(value: str) -> str:
    """`user:password` of RFC 7617."""
    scheme, _, encoded = value.partition(" ")
    if scheme.lower() != "basic":
        raise SignatureError("there is no user with a password (Authorization: Basic)")
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise SignatureError("the user with a password is not base64") from error


class _Hmac:
    secret_headers: frozenset[str] = frozenset()
    id_header: str | None = None
    covers_headers: bool = False

    def __init__(self, proof: HmacProof, secrets: Sequence[SecretStr]) -> None:
        self._proof = proof
        self._keys = [secret.get_secret_value().encode() for secret in secrets]

    def check(self, headers: Mapping[str, str], body: bytes, at: datetime) -> None:
        proof = self._proof
        given = [self._read(value) for value in _values(headers, proof.header, proof.part)]
        timestamp = ""
        if proof.timestamp is not None:
            timestamp = _values(headers, proof.timestamp.header, proof.timestamp.part)[0]
        pieces = list(self._pieces(headers, body, timestamp))
        expected = [self._digest(key, pieces) for key in self._keys]
        if not any(matches_any(value, expected) for value in given):
            raise SignatureError(f"the signature in the header {proof.header} is wrong")
        if proof.timestamp is not None:
            try:
                sent = moment(timestamp, "the signed time")
            except MalformedDeliveryError as error:
                raise SignatureError(str(error)) from error
            require_fresh(sent, at)

    def _read(self, value: str) -> str:
        """The digest as `_digest` writes it; empty where the prefix is missing."""
        if not value.startswith(self._proof.prefix):
            return ""
        digest = value.removeprefix(self._proof.prefix)
        return digest.lower() if self._proof.encoding == "hex" else digest

    def _pieces(self, headers: Mapping[str, str], body: bytes, timestamp: str) -> Iterator[bytes]:
        for position, text in enumerate(_PIECE.split(self._proof.signed)):
            if position % 2 == 0:
                yield text.encode()
            elif text == "body":
                yield body
            else:
                name = text.removeprefix("header:").lower()
                value = timestamp if text == "timestamp" else headers.get(name, "")
                yield value.encode("utf-8", "surrogateescape")

    def _digest(self, key: bytes, pieces: Sequence[bytes]) -> str:
        made = hmac.new(key, digestmod=getattr(hashlib, self._proof.algorithm))
        for piece in pieces:
            made.update(piece)
        if self._proof.encoding == "hex":
            return made.hexdigest()
        return base64.b64encode(made.digest()).decode()


def _values(headers: Mapping[str, str], name: str, part: str | None) -> list[str]:
    value = headers.get(name, "")
    found = [value]
    if part is not None:
        pairs = [pair.strip().partition("=") for pair in value.split(",")[:_MOST_PARTS]]
        found = [text for key, _, text in pairs if key == part]
    if not any(found):
        raise SignatureError(f"the header {name} is missing, or has no {part or 'value'}")
    return found


class _Standard:
    secret_headers: frozenset[str] = frozenset()
    covers_headers: bool = False

    def __init__(self, keys: Sequence[bytes], prefix: str) -> None:
        self._keys = keys
        self._prefix = prefix
        self.id_header: str | None = f"{prefix}id"

    def check(self, headers: Mapping[str, str], body: bytes, at: datetime) -> None:
        verify_message(headers, body, self._keys, at, self._prefix)
