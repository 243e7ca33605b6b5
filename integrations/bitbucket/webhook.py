"""Deliveries of Bitbucket Cloud and Data Center: verifying and normalising, without I/O.

Both sign the body alone, in `X-Hub-Signature`; the event keys and bodies have nothing in common.
https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/#Secure-webhooks
https://confluence.atlassian.com/bitbucketserver/manage-webhooks-938025878.html
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from datetime import datetime

from pydantic import JsonValue, SecretStr

from core.records import Event
from integrations.bitbucket import cloud, datacenter
from integrations.bitbucket.happening import Origin
from integrations.text import clip, shorten
from integrations.webhooks import (
    DEFAULT_MAX_BYTES,
    Identity,
    MalformedDeliveryError,
    SignatureError,
    Webhook,
    hmac_sha256,
    matches_any,
    read_json,
    require,
)

_IDS = ("x-request-uuid", "x-request-id")
"""Of Cloud, of Data Center. In this order: a proxy may add the second of its own."""
_DELIVERY = re.compile(r"[A-Za-z0-9-]{1,100}")

_log = logging.getLogger(__name__)


class BitbucketWebhook(Webhook):
    """Authenticated by `X-Hub-Signature`.

    Args:
        keys: webhook secrets that are valid; two while one is being replaced.
    """

    max_bytes = DEFAULT_MAX_BYTES

    def __init__(self, webhook_id: str, keys: tuple[SecretStr, ...]) -> None:
        self.id = webhook_id
        self._keys = keys

    def verify(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Identity:  # noqa: ARG002
        """See `Webhook.verify`; the key is Bitbucket's id of the request.

        The order is kept for each pull request, each branch's builds, and each repository's
        pushes, of which one delivery can have several. Bitbucket signs no time, so there is none
        to hold it to.
        """
        signature = headers.get("x-hub-signature")
        if not signature:
            raise SignatureError("the header x-hub-signature is missing; give the webhook a secret")
        if not matches_any(signature, ("sha256=" + hmac_sha256(key, body) for key in self._keys)):
            raise SignatureError("the signature is wrong; compare the webhook's secret")
        return Identity(_delivery(headers), _subject(body))

    def normalise(self, headers: Mapping[str, str], body: bytes) -> list[Event]:
        """What the event's reader in `cloud` or `datacenter` says; nothing for all others."""
        key = require(headers, "x-event-key")
        reader = _READERS.get(key)
        if reader is None:
            _log.info("webhook %s: the event %.60r is taken and means nothing here", self.id, key)
            return []
        return reader(Origin(self.id, _delivery(headers), key), body)


def _delivery(headers: Mapping[str, str]) -> str:
    found = next((headers[name] for name in _IDS if headers.get(name)), "")
    delivery = found.removeprefix("{").removesuffix("}")
    if not _DELIVERY.fullmatch(delivery):
        raise MalformedDeliveryError(
            "the header x-request-uuid (or x-request-id) is missing, or is no id of a request"
        )
    return delivery


def _subject(body: bytes) -> str:
    """What the delivery is ordered by; nothing where the body does not say it, which its reader
    will complain of."""
    try:
        payload = read_json(body)
    except MalformedDeliveryError:
        return ""
    where = next(filter(None, (_repository(_at(payload, *path)) for path in _REPOSITORIES)), "")
    if not where:
        return ""
    about = next(filter(None, (_text(_at(payload, *path)) for path in _SUBJECTS)), "pushes")
    return shorten(clip(f"{where} {about}", 1000), 300)


def _repository(found: JsonValue) -> str:
    """The name that Cloud gives it, or the project and slug of Data Center."""
    if name := _text(_at(found, "full_name")):
        return name
    project, slug = _text(_at(found, "project", "key")), _text(_at(found, "slug"))
    return f"{project}/{slug}" if project and slug else ""


def _at(value: JsonValue, *path: str) -> JsonValue:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _text(value: JsonValue) -> str:
    return str(value) if isinstance(value, str | int) else ""


_READERS: Mapping[str, Callable[[Origin, bytes], list[Event]]] = {
    "repo:push": cloud.push,
    "repo:commit_status_created": cloud.commit_status,
    "repo:commit_status_updated": cloud.commit_status,
    "pullrequest:created": cloud.pull_request,
    "pullrequest:updated": cloud.pull_request,
    "pullrequest:fulfilled": cloud.pull_request,
    "pullrequest:rejected": cloud.pull_request,
    "pullrequest:approved": cloud.review,
    "pullrequest:changes_request_created": cloud.review,
    "pullrequest:comment_created": cloud.comment,
    "repo:refs_changed": datacenter.push,
    "pr:opened": datacenter.pull_request,
    "pr:from_ref_updated": datacenter.pull_request,
    "pr:modified": datacenter.pull_request,
    "pr:merged": datacenter.pull_request,
    "pr:declined": datacenter.pull_request,
    "pr:reviewer:approved": datacenter.review,
    "pr:reviewer:changes_requested": datacenter.review,
    "pr:reviewer:needs_work": datacenter.review,
    "pr:comment:added": datacenter.comment,
}
_REPOSITORIES = (("repository",), ("pullRequest", "toRef", "repository"))
_SUBJECTS = (
    ("pullrequest", "id"),
    ("pullRequest", "id"),
    ("commit_status", "refname"),
    ("commit_status", "commit", "hash"),
)
