"""The kind `cloudevents`."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field

from core.records import Frozen
from core.security.secrets import Secrets
from core.state import AIIntegration
from integrations.base import Integration, check_secret_names, read_settings, require_secrets
from integrations.cloudevents.webhook import CloudEventsWebhook
from integrations.flatten import Kinds
from integrations.generic.proof import Proof, TokenProof
from integrations.webhooks import DEFAULT_MAX_BYTES


class CloudEventsSettings(Frozen):
    """Settings of the kind `cloudevents`.

    Attributes:
        proof: as for the kind `generic`; left out, a bearer token.
        kinds: shell patterns of the events' types to kinds of ours.
        max_bytes: largest accepted body.
    """

    proof: Proof = Proof(token=TokenProof())
    kinds: Kinds = Field(default_factory=dict)
    max_bytes: int = Field(default=DEFAULT_MAX_BYTES, ge=1024, le=32 * 1024 * 1024)


class CloudEventsIntegration(Integration):
    """Receives CloudEvents. Secret: `webhook`, the sender's token or signing secret."""

    kind: ClassVar[str] = "cloudevents"

    def __init__(self, webhook: CloudEventsWebhook) -> None:
        self.id = webhook.id
        self.webhook = webhook

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:
        """See `Integration.create`."""
        settings = read_settings(record, CloudEventsSettings)
        check_secret_names(record, frozenset({"webhook"}))
        values = require_secrets(
            record, secrets, "webhook", "the sender's token or its signing secret"
        )
        prover = settings.proof.prover(values, f"integrations/{record.id}.yaml: secrets.webhook")
        return cls(CloudEventsWebhook(record.id, prover, settings.kinds, settings.max_bytes))
