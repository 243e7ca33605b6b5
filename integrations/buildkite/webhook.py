"""Buildkite's webhooks: verifying and normalising, without I/O.

https://buildkite.com/docs/apis/webhooks/pipelines#webhook-signature
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import JsonValue, SecretStr

from core.records import Event
from integrations.buildkite.payloads import Build, Delivery, Pipeline
from integrations.text import clip, shorten, web_address
from integrations.webhooks import (
    DEFAULT_MAX_BYTES,
    Identity,
    MalformedDeliveryError,
    SignatureError,
    Webhook,
    digest,
    hmac_sha256,
    in_utc,
    matches_any,
    read_payload,
    require_fresh,
)

_TOKEN, _SIGNATURE = "x-buildkite-token", "x-buildkite-signature"
_SIGNED = re.compile(r"timestamp=([0-9]{1,11}),\s?signature=([0-9a-f]{64})")
_STATES = {"passed": "succeeded", "failed": "failed", "running": "started"}

_log = logging.getLogger(__name__)


class BuildkiteWebhook(Webhook):
    """Authenticated by `X-Buildkite-Signature`, or by `X-Buildkite-Token`.

    Args:
        keys: tokens of the webhook that are valid; two while one is being replaced.
        signed: whether Buildkite signs with the token, or sends it as it is.
    """

    max_bytes = DEFAULT_MAX_BYTES
    secret_headers = frozenset({_TOKEN})

    def __init__(self, webhook_id: str, keys: tuple[SecretStr, ...], *, signed: bool) -> None:
        self.id = webhook_id
        self._keys = keys
        self._signed = signed

    def verify(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Identity:
        """See `Webhook.verify`. Buildkite gives a delivery no id: the key is the body's digest.
        The order of one build is kept."""
        if self._signed:
            self._check_signature(headers, body, at)
        else:
            self._check_token(headers)
        delivery = read_payload(body, Delivery)
        subject = ""
        if delivery.build is not None and delivery.pipeline is not None:
            subject = f"{delivery.pipeline.slug} {delivery.build.id}"
        return Identity(digest(body), shorten(clip(subject, 1000), 300))

    def normalise(self, headers: Mapping[str, str], body: bytes) -> list[Event]:  # noqa: ARG002
        """`ci.started`, `ci.failed` and `ci.succeeded` of builds, `ci.job_failed` and
        `ci.job_succeeded` of their jobs; nothing for what was cancelled, skipped or is blocked."""
        delivery = read_payload(body, Delivery)
        build, pipeline, job = delivery.build, delivery.pipeline, delivery.job
        if build is None or pipeline is None:
            _log.info("webhook %s: %.60r is taken and means nothing here", self.id, delivery.event)
            return []
        attributes = _attributes(build, pipeline)
        name = f"{pipeline.slug} #{build.number}"
        if delivery.event in {"build.finished", "build.running"}:
            outcome, kind = _STATES.get(build.state), "ci."
            when = build.finished_at or build.started_at
        elif delivery.event == "job.finished" and job is not None and job.type == "script":
            outcome, kind, when = _STATES.get(job.state or ""), "ci.job_", job.finished_at
            failed = job.state == "finished" and job.exit_status not in {0, None}
            outcome = "failed" if failed and not job.soft_failed else outcome
            attributes |= {
                "job": clip(job.name, 200),
                "job_id": clip(job.id, 100),
                "url": web_address(job.web_url),
            }
            name = f"{clip(job.name, 100)} in {name}"
        else:
            outcome, kind, when = None, "", None
        if outcome is None:
            return []
        when = when or build.created_at
        if when is None:
            raise MalformedDeliveryError("not a Delivery: it says nowhere when it happened")
        branch = f" on {attributes['branch']}" if attributes["branch"] else ""
        return [
            Event(
                id=f"{self.id}:{digest(body)}",
                kind=kind + outcome,
                source=self.id,
                subject=clip(pipeline.slug, 300),
                title=clip(f"{name} {outcome}{branch}", 500),
                attributes=attributes,
                occurred_at=in_utc(when),
            )
        ]

    def _check_signature(self, headers: Mapping[str, str], body: bytes, at: datetime) -> None:
        header = headers.get(_SIGNATURE)
        if not header:
            raise SignatureError(f"the header {_SIGNATURE} is missing")
        parts = _SIGNED.fullmatch(header)
        if parts is None:
            raise SignatureError(f"the header {_SIGNATURE} is not timestamp=…,signature=…")
        signed = f"{parts[1]}.".encode() + body
        if not matches_any(parts[2], (hmac_sha256(key, signed) for key in self._keys)):
            raise SignatureError("the signature is wrong; compare the webhook's token")
        require_fresh(datetime.fromtimestamp(int(parts[1]), UTC), at)

    def _check_token(self, headers: Mapping[str, str]) -> None:
        token = headers.get(_TOKEN)
        if not token:
            raise SignatureError(f"the header {_TOKEN} is missing")
        if not matches_any(token, (key.get_secret_value() for key in self._keys)):
            raise SignatureError("the token is wrong; compare the webhook's token")


def _attributes(build: Build, pipeline: Pipeline) -> dict[str, JsonValue]:
    creator = build.creator
    return {
        "repository": clip(pipeline.repository, 200),
        "pipeline": clip(pipeline.slug, 200),
        "workflow": clip(pipeline.name or pipeline.slug, 200),
        "run_id": clip(build.id, 100),
        "run_number": build.number,
        "branch": clip(build.branch, 250),
        "tag": clip(build.tag, 250),
        "sha": clip(build.commit, 64),
        "commit_title": clip((build.message or "").partition("\n")[0], 300),
        "actor": clip(creator.name if creator else "", 100),
        "trigger": clip(build.source, 60),
        "conclusion": clip(build.state, 40),
        "url": web_address(build.web_url),
    }
