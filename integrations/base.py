"""What an integration is: one configured system that sends us webhooks, offers actions, or both.

A kind of integration is a class, found through the entry point group `countersign.integrations`
(name: the kind). Our own kinds are declared in `pyproject.toml` the same way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

from core.errors import ConfigurationError
from core.records import Frozen, Risk
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action
from integrations.webhooks import Webhook

S = TypeVar("S", bound=BaseModel)


class Health(Frozen):
    """Whether an integration can do its work now, and in words why not."""

    ready: bool
    detail: str


class Integration(ABC):
    """One configured system.

    Attributes:
        kind: what `kind:` in the integration's file says.
        id: the name of that file.
        webhook: how its deliveries are read; None where it sends none.
    """

    kind: ClassVar[str]
    id: str
    webhook: Webhook | None = None

    @classmethod
    @abstractmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:
        """Make it from its record. Opens nothing.

        Raises:
            ConfigurationError: a setting or secret is missing or wrong.
        """

    def actions(self) -> Sequence[Action[Any]]:
        """What workflows can do through it."""
        return ()

    def found(self) -> Mapping[str, Action[Any]]:
        """By name, what it has found out since it was started that workflows can do, beside
        `actions`; the names begin with `KIND.ID.`."""
        return {}

    def expected(self, name: str) -> Risk | None:  # noqa: ARG002 - subclasses use it
        """The risk of an action of that name, where it may find one out; it need not have yet."""
        return None

    async def look_again(self) -> None:  # noqa: B027 - most integrations find nothing out
        """Find out anew what there is; where that fails, all stays as it was."""

    async def health(self) -> Health:
        """Ask the system, cheaply; never raises for what is wrong with it."""
        return Health(ready=True, detail="ready")

    async def start(self) -> None:  # noqa: B027 - most integrations hold nothing open
        """Open what it needs (a client session)."""

    async def close(self) -> None:  # noqa: B027
        """Close what `start` opened."""


def read_settings(record: AIIntegration, settings: type[S]) -> S:
    """The record's own settings, checked.

    Raises:
        ConfigurationError: they do not fit; the message names the file and each setting.
    """
    try:
        return settings.model_validate(record.settings)
    except ValidationError as error:
        raise ConfigurationError(
            "\n".join(
                f"integrations/{record.id}.yaml: "
                f"{'.'.join(str(part) for part in ('settings', *problem['loc']))}: "
                f"{problem['msg'].removeprefix('Value error, ')}."
                for problem in error.errors(include_url=False)
            )
        ) from error


def read_secret(record: AIIntegration, secrets: Secrets, name: str) -> SecretStr | None:
    """The secret that the record calls `name`; None where the record does not mention it.

    Raises:
        ConfigurationError: it is mentioned but has no value, or has two.
    """
    values = read_secrets(record, secrets, name)
    if len(values) > 1:
        raise ConfigurationError(
            f"integrations/{record.id}.yaml: secrets.{name}: this one is sent, not compared, so "
            "there can only be one: name a single variable."
        )
    return values[0] if values else None


def read_secrets(record: AIIntegration, secrets: Secrets, name: str) -> tuple[SecretStr, ...]:
    """The secrets that are valid as `name`: two while one is being replaced (`[NEW, OLD]`), none
    where the record does not mention it.

    Raises:
        ConfigurationError: one is mentioned but has no value.
    """
    named = record.secrets.get(name, ())
    variables = (named,) if isinstance(named, str) else named
    try:
        return tuple(secrets.get(variable) for variable in variables)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"integrations/{record.id}.yaml: secrets.{name}: {error}"
        ) from error


def require_secrets(
    record: AIIntegration, secrets: Secrets, name: str, what: str
) -> tuple[SecretStr, ...]:
    """As `read_secrets`, for one without which the integration is of no use.

    Args:
        what: what the variable holds, for the message, such as "the webhook's signing secret".

    Raises:
        ConfigurationError: the record does not mention it, or it has no value.
    """
    if values := read_secrets(record, secrets, name):
        return values
    raise ConfigurationError(
        f"integrations/{record.id}.yaml: secrets: add `{name}: NAME`, where NAME is the variable "
        f"that holds {what}."
    )


def check_secret_names(record: AIIntegration, known: frozenset[str]) -> None:
    """Refuse secrets that the code would never look at.

    Raises:
        ConfigurationError: the record names others than `known`.
    """
    if unknown := sorted(set(record.secrets) - known):
        allowed = ", ".join(sorted(known)) or "none"
        raise ConfigurationError(
            f"integrations/{record.id}.yaml: secrets: the kind '{record.kind}' has no secret "
            f"{', '.join(unknown)}; known: {allowed}."
        )
