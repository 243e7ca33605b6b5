"""One HTTP request as workflows give it, and the hosts that it may go to."""

from __future__ import annotations

import json
import re
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    field_validator,
    model_validator,
)
from yarl import URL

from core.errors import InvalidRequestError
from core.records import Frozen
from integrations.http.addresses import Network
from integrations.text import clip

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,80}$")]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\t\x20-\x7e]*$", max_length=1000)]

SAFE_METHODS = frozenset({"GET", "HEAD"})
IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})  # RFC 9110, section 9.2.2
_OUR_HEADERS = frozenset(
    {
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "host",
        "idempotency-key",
        "proxy-authorization",
        "te",
        "transfer-encoding",
        "upgrade",
    }
)


class Host(Frozen):
    """A host that may be asked.

    Attributes:
        paths: regular expression that all of the path must match.
        plain: `http://` is allowed too.
        ports: which ports; the scheme's own where left out.
        networks: addresses that are not public but may be reached, such as `10.2.0.0/16`.
        keyed: its POST and PATCH recognise a repeated `Idempotency-Key` (most do not).
        secret_headers: header to the name of the secret that is its value.
    """

    methods: frozenset[Method] = frozenset({"GET", "HEAD"})
    paths: str = Field(default="/.*", max_length=300)
    plain: bool = False
    ports: frozenset[Annotated[int, Field(ge=1, le=65535)]] = frozenset()
    networks: tuple[Network, ...] = Field(default=(), max_length=20)
    keyed: bool = False
    secret_headers: dict[HeaderName, str] = Field(default_factory=dict, max_length=10)

    @field_validator("paths")
    @classmethod
    def _pattern(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return pattern

    def check(self, name: str, method: str, url: URL) -> None:
        """Refuse what this host is not allowed for.

        Raises:
            InvalidRequestError: the message says which setting does not allow it.
        """
        if method not in self.methods:
            allowed = ", ".join(sorted(self.methods))
            raise InvalidRequestError(f"{method} is not allowed for {name}; allowed: {allowed}.")
        if url.scheme != "https" and not (url.scheme == "http" and self.plain):
            raise InvalidRequestError(f"{name} is asked by https only.")
        if url.port not in (self.ports or {443, 80 if self.plain else 443}):
            raise InvalidRequestError(f"Port {url.port} is not allowed for {name}.")
        if not re.fullmatch(self.paths, url.path):
            raise InvalidRequestError(f"The path must match {self.paths} for {name}.")


class RequestArguments(BaseModel):
    """One request. `json` and `body` exclude each other; `expect` are the statuses that count as
    success, any 2xx where left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method = "GET"
    url: str = Field(min_length=8, max_length=2000)
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict, max_length=20)
    body: str | None = Field(default=None, max_length=100_000)
    data: JsonValue = Field(default=None, alias="json")
    expect: tuple[Annotated[int, Field(ge=200, le=599)], ...] = Field(default=(), max_length=20)

    @model_validator(mode="after")
    def _consistent(self) -> RequestArguments:
        if self.body is not None and self.data is not None:
            raise ValueError("give 'body' or 'json', not both")
        if self.method in SAFE_METHODS and (self.body is not None or self.data is not None):
            raise ValueError(f"a {self.method} has no body")
        if ours := sorted(name for name in self.headers if name.lower() in _OUR_HEADERS):
            raise ValueError(f"these headers cannot be given here: {', '.join(ours)}")
        return self

    @property
    def target(self) -> URL:
        """The address, parsed.

        Raises:
            InvalidRequestError: it is not an http address, or names a user.
        """
        try:
            url = URL(self.url)
            _ = url.port
        except ValueError as error:
            raise InvalidRequestError(f"{clip(self.url, 200)} is not a URL: {error}.") from error
        if url.scheme not in {"http", "https"} or not url.host:
            raise InvalidRequestError(f"{clip(self.url, 200)} is not an http or https URL.")
        if url.user is not None or url.password is not None:
            raise InvalidRequestError("Names and passwords do not belong in URLs.")
        return url.with_fragment(None)

    @property
    def content(self) -> bytes | None:
        """The body to send."""
        if self.data is not None:
            return json.dumps(self.data, ensure_ascii=False).encode()
        return self.body.encode() if self.body is not None else None
