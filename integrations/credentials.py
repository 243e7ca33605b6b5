"""Where a system's API is, and how we prove to it who we are: a bearer token, a user and password,
or nothing."""

from __future__ import annotations

import base64
from typing import Annotated

from pydantic import SecretStr, StringConstraints

from core.errors import ConfigurationError
from core.security.secrets import Secrets
from core.state import AIIntegration
from integrations.base import read_secret

Address = Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#]+$", max_length=300)]
"""The URL that an API is below."""

Username = Annotated[str, StringConstraints(pattern=r"^[^:\x00-\x1f]+$", max_length=200)]
"""A user of basic authentication: RFC 7617 allows no colon in it."""


def authorization(
    record: AIIntegration,
    secrets: Secrets,
    username: str | None,
    names: tuple[str, str] = ("token", "password"),
) -> dict[str, str]:
    """The header `Authorization` (RFC 6750, RFC 7617); no header where the record names neither
    secret, for systems that ask for none.

    Args:
        username: of the password; None where the record has none.
        names: of the secret that is a bearer token, and of the one that goes with `username`.

    Raises:
        ConfigurationError: both are named, one is without its other half, or one cannot stand in
            a header.
    """
    file = f"integrations/{record.id}.yaml"
    token, password = names
    bearer, basic = read_secret(record, secrets, token), read_secret(record, secrets, password)
    if bearer is not None and basic is not None:
        raise ConfigurationError(f"{file}: secrets: name {token} or {password}, not both.")
    if (basic is None) != (username is None):
        raise ConfigurationError(
            f"{file}: settings.username and secrets.{password} are of use together only."
        )
    if bearer is not None:
        return {"Authorization": f"Bearer {header_value(bearer, f'{file}: secrets.{token}')}"}
    if basic is None:
        return {}
    pair = f"{username}:{basic.get_secret_value()}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def header_value(secret: SecretStr, where: str) -> str:
    """The secret, fit for a header.

    Args:
        where: names the setting in the message.

    Raises:
        ConfigurationError: it has a space, a line's end or a character beyond ASCII.
    """
    value = secret.get_secret_value()
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise ConfigurationError(
            f"{where}: the value cannot stand in a header: it has a space, a line's end or a "
            "character that is not ASCII."
        )
    return value
