"""The kind `generic`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, StringConstraints

from core.records import Frozen
from core.security.secrets import Secrets
from core.state import AIIntegration
from integrations.base import Integration, check_secret_names, read_settings, require_secrets
from integrations.generic.proof import Proof
from integrations.generic.webhook import Fields, GenericWebhook
from integrations.webhooks import DEFAULT_MAX_BYTES

ContentType = Annotated[
    str, StringConstraints(pattern=r"^[a-z]+/[a-z0-9.+-]+$", max_length=100, to_lower=True)
]


class GenericSettings(Frozen):
    """Settings of the kind `generic`.

    Attributes:
        proof: how the sender proves that it is the one.
        fields: what is picked from its bodies and headers.
        content_types: what it calls its bodies, which are JSON all the same.
        max_bytes: largest accepted body.
    """

    proof: Proof
    fields: Fields = Fields()
    content_types: tuple[ContentType, ...] = Field(
        default=("application/json",), min_length=1, max_length=10
    )
    max_bytes: int = Field(default=DEFAULT_MAX_BYTES, ge=1024, le=32 * 1024 * 1024)


class GenericIntegration(Integration):
    """Receives JSON from any sender. Secret: `webhook`, with which it signs, or its token."""

    kind: ClassVar[str] = "generic"

    def __init__(self, webhook: GenericWebhook) -> None:
        self.id = webhook.id
        self.webhook = webhook

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:
        """See `Integration.create`."""
        settings = read_settings(record, GenericSettings)
        check_secret_names(record, frozenset({"webhook"}))
        values = require_secrets(
            record, secrets, "webhook", "the sender's signing secret or its token"
        )
        prover = settings.proof.prover(values, f"integrations/{record.id}.yaml: secrets.webhook")
        return cls(
            GenericWebhook(
                record.id,
                prover,
                settings.fields,
                frozenset(settings.content_types),
                settings.max_bytes,
            )
        )
