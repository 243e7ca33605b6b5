"""CircleCI's outbound webhooks: verifying and normalising, without I/O.

https://circleci.com/docs/outbound-webhooks/#validate-webhooks
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime

from pydantic import JsonValue, SecretStr

from core.records import Event
from integrations.circleci.payloads import Delivery
from integrations.text import clip, shorten, web_address
from integrations.webhooks import (
    DEFAULT_MAX_BYTES,
    Identity,
    SignatureError,
    Webhook,
    hmac_sha256,
    in_utc,
    matches_any,
    read_payload,
)

_OUTCOMES = {"success": "succeeded", "failed": "failed", "error": "failed"}
_MOST_SIGNATURES = 20

_log = logging.getLogger(__name__)


class CircleCIWebhook(Webhook):
    """Authenticated by `circleci-signature`.

    Args:
        keys: webhook secrets that are valid; two while one is being replaced.
    """

    max_bytes = DEFAULT_MAX_BYTES

    def __init__(self, webhook_id: str, keys: tuple[SecretStr, ...]) -> None:
        self.id = webhook_id
        self._keys = keys

    def verify(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Identity:  # noqa: ARG002
        """See `Webhook.verify`. The key is the event's id; the order of a pipeline is kept.

        CircleCI signs no time, so there is none to hold it to.
        """
        header = headers.get("circleci-signature")
        if not header:
            raise SignatureError("the header circleci-signature is missing")
        expected = [hmac_sha256(key, body) for key in self._keys]
        parts = [part.strip().partition("=") for part in header.split(",")[:_MOST_SIGNATURES]]
        found = [matches_any(value, expected) for version, _, value in parts if version == "v1"]
        if not any(found):
            raise SignatureError("the signature is wrong; compare the webhook's secret token")
        delivery = read_payload(body, Delivery)
        return Identity(
            delivery.id, shorten(clip(f"{delivery.project.slug} {delivery.pipeline.id}", 1000), 300)
        )

    def normalise(self, headers: Mapping[str, str], body: bytes) -> list[Event]:  # noqa: ARG002
        """`ci.failed` and `ci.succeeded` of workflows, `ci.job_failed` and `ci.job_succeeded` of
        their jobs; nothing for what was cancelled."""
        delivery = read_payload(body, Delivery)
        if delivery.type == "workflow-completed":
            name, status, prefix = delivery.workflow.name, delivery.workflow.status, "ci."
        elif delivery.type == "job-completed" and delivery.job is not None:
            name, status, prefix = delivery.job.name, delivery.job.status, "ci.job_"
        else:
            _log.info("webhook %s: %.60r is taken and means nothing here", self.id, delivery.type)
            return []
        outcome = _OUTCOMES.get(status or "")
        if outcome is None:
            return []
        attributes = _attributes(delivery) | {"conclusion": clip(status, 40)}
        where = f"on {attributes['branch']} of " if attributes["branch"] else "of "
        return [
            Event(
                id=f"{self.id}:{delivery.id}",
                kind=prefix + outcome,
                source=self.id,
                subject=clip(str(attributes["repository"]), 300),
                title=clip(f"{name} {outcome} {where}{attributes['repository']}", 500),
                attributes=attributes,
                occurred_at=in_utc(delivery.happened_at),
            )
        ]


def _attributes(delivery: Delivery) -> dict[str, JsonValue]:
    pipeline, git = delivery.pipeline, delivery.pipeline.trigger_parameters.git
    vcs, commit = pipeline.vcs, pipeline.vcs.commit if pipeline.vcs else None
    author = commit.author if commit else None
    return {
        "repository": clip(delivery.project.slug.partition("/")[2] or delivery.project.slug, 200),
        "project": clip(delivery.project.slug, 200),
        "branch": clip((vcs.branch if vcs else "") or git.branch, 250),
        "tag": clip(vcs.tag if vcs else "", 250),
        "sha": clip((vcs.revision if vcs else "") or git.checkout_sha, 64),
        "commit_title": clip((commit.subject if commit else "") or git.commit_title, 300),
        "actor": clip(author.name if author else "", 100),
        "workflow": clip(delivery.workflow.name, 200),
        "run_id": clip(delivery.workflow.id, 100),
        "run_number": pipeline.number,
        "job": clip(delivery.job.name if delivery.job else "", 200),
        "trigger": clip(pipeline.trigger.type, 60),
        "url": web_address(delivery.workflow.url),
    }
