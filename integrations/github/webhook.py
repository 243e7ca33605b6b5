"""GitHub's deliveries: verifying and normalising, without I/O.

https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries

gidgethub's `sansio.validate_event` would do most of `verify`, but it also takes the old SHA-1
header and lets `hmac.compare_digest` raise TypeError on a signature that is not ASCII.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from datetime import datetime

from pydantic import JsonValue, SecretStr

from core.records import Event
from integrations.github import building, coding
from integrations.happening import Origin
from integrations.text import clip, shorten
from integrations.webhooks import (
    Identity,
    MalformedDeliveryError,
    SignatureError,
    Webhook,
    hmac_sha256,
    matches_any,
    read_json,
    require,
)

_DELIVERY = re.compile(r"[A-Za-z0-9-]{1,100}")

_log = logging.getLogger(__name__)


class GitHubWebhook(Webhook):
    """Authenticated by `X-Hub-Signature-256`.

    Args:
        keys: webhook secrets that are valid; two while one is being replaced.
    """

    def __init__(self, webhook_id: str, keys: tuple[SecretStr, ...], max_bytes: int) -> None:
        self.id = webhook_id
        self.max_bytes = max_bytes
        self._keys = keys

    def verify(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Identity:  # noqa: ARG002
        """See `Webhook.verify`; the key is GitHub's delivery id, which a redelivery keeps.

        The order is kept for each pull request or issue, branch or tag, and environment. GitHub
        signs no time, so there is none to hold it to.
        """
        signature = headers.get("x-hub-signature-256")
        if not signature:
            raise SignatureError("the header x-hub-signature-256 is missing")
        if not matches_any(signature, ("sha256=" + hmac_sha256(key, body) for key in self._keys)):
            raise SignatureError("the signature is wrong; compare the webhook's secret")
        return Identity(_delivery(headers), _subject(headers.get("x-github-event", ""), body))

    def normalise(self, headers: Mapping[str, str], body: bytes) -> list[Event]:
        """What the event's reader in `building` or `coding` says; nothing for `ping` and all
        others."""
        name = require(headers, "x-github-event")
        reader = _READERS.get(name)
        if reader is None:
            _log.info("webhook %s: the event %.60r is taken and means nothing here", self.id, name)
            return []
        return reader(Origin(self.id, _delivery(headers)), body)


def _delivery(headers: Mapping[str, str]) -> str:
    delivery = require(headers, "x-github-delivery")
    if not _DELIVERY.fullmatch(delivery):
        raise MalformedDeliveryError("the header x-github-delivery is not a delivery id")
    return delivery


def _subject(name: str, body: bytes) -> str:
    """What the deliveries of `name` are ordered by; nothing where the body does not say it, which
    its reader will complain of."""
    paths = _SUBJECTS.get(name)
    if paths is None:
        return ""
    try:
        payload = read_json(body)
    except MalformedDeliveryError:
        return ""
    repository = _at(payload, ("repository", "full_name"))
    found = next(filter(None, (_at(payload, path) for path in paths)), "")
    if not repository or not found:
        return ""
    area = "environment " if name == "deployment_status" else ""
    return shorten(clip(f"{repository} {area}{found.removeprefix('refs/heads/')}", 1000), 300)


def _at(value: JsonValue, path: tuple[str, ...]) -> str:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return str(value) if isinstance(value, str | int) else ""


_READERS: Mapping[str, Callable[[Origin, bytes], list[Event]]] = {
    "check_run": building.check_run,
    "check_suite": building.check_suite,
    "deployment_status": building.deployment_status,
    "issue_comment": coding.issue_comment,
    "issues": coding.issue,
    "pull_request": coding.pull_request,
    "pull_request_review": coding.review,
    "pull_request_review_comment": coding.review_comment,
    "push": coding.push,
    "release": coding.release,
    "workflow_job": building.workflow_job,
    "workflow_run": building.workflow_run,
}
_PULL = (("pull_request", "number"),)
_SUBJECTS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "check_run": (("check_run", "check_suite", "head_branch"), ("check_run", "head_sha")),
    "check_suite": (("check_suite", "head_branch"), ("check_suite", "head_sha")),
    "deployment_status": (
        ("deployment_status", "environment"),
        ("deployment", "environment"),
    ),
    "issue_comment": (("issue", "number"),),
    "issues": (("issue", "number"),),
    "pull_request": _PULL,
    "pull_request_review": _PULL,
    "pull_request_review_comment": _PULL,
    "push": (("ref",),),
    "release": (("release", "tag_name"),),
    "workflow_job": (("workflow_job", "head_branch"), ("workflow_job", "head_sha")),
    "workflow_run": (("workflow_run", "head_branch"), ("workflow_run", "head_sha")),
}
