"""Deliveries of Gitea and of Forgejo, its fork: verifying and normalising, without I/O.

Both sign the body alone, as GitHub does; Forgejo sends the headers of both. There is no library
to check them that we found; it is one HMAC.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from datetime import datetime

from pydantic import JsonValue, SecretStr

from core.records import Event
from integrations.gitea import building, coding
from integrations.happening import Origin
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
)

_FAMILIES = ("x-forgejo-", "x-gitea-")
_DELIVERY = re.compile(r"[A-Za-z0-9-]{1,100}")

_log = logging.getLogger(__name__)


class GiteaWebhook(Webhook):
    """Authenticated by `X-Gitea-Signature` or `X-Forgejo-Signature`.

    Args:
        keys: webhook secrets that are valid; two while one is being replaced.
    """

    max_bytes = DEFAULT_MAX_BYTES

    def __init__(self, webhook_id: str, keys: tuple[SecretStr, ...]) -> None:
        self.id = webhook_id
        self._keys = keys

    def verify(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Identity:  # noqa: ARG002
        """See `Webhook.verify`; the key is the sender's delivery id.

        The order is kept for each pull request or issue, branch or tag, and commit. No time is
        signed, so there is none to hold it to.
        """
        signature = _header(headers, "signature")
        if not signature:
            raise SignatureError("the header x-gitea-signature is missing; give it a secret")
        if not matches_any(signature, (hmac_sha256(key, body) for key in self._keys)):
            raise SignatureError("the signature is wrong; compare the webhook's secret")
        return Identity(_delivery(headers), _subject(body))

    def normalise(self, headers: Mapping[str, str], body: bytes) -> list[Event]:
        """What the event's reader in `building` or `coding` says; nothing for all others."""
        name = _header(headers, "event")
        if not name:
            raise MalformedDeliveryError("the header x-gitea-event is missing")
        reader = _READERS.get(name)
        if reader is None:
            _log.info("webhook %s: the event %.60r is taken and means nothing here", self.id, name)
            return []
        return reader(Origin(self.id, _delivery(headers)), body)


def _header(headers: Mapping[str, str], name: str) -> str:
    return next((headers[family + name] for family in _FAMILIES if headers.get(family + name)), "")


def _delivery(headers: Mapping[str, str]) -> str:
    delivery = _header(headers, "delivery")
    if not _DELIVERY.fullmatch(delivery):
        raise MalformedDeliveryError("the header x-gitea-delivery is missing, or is no delivery id")
    return delivery


def _subject(body: bytes) -> str:
    """What the delivery is ordered by; nothing where the body does not say it, which its reader
    will complain of."""
    try:
        payload = read_json(body)
    except MalformedDeliveryError:
        return ""
    where = _at(payload, "repository", "full_name") or _at(
        payload, "run", "repository", "full_name"
    )
    found = next(filter(None, (_at(payload, *path) for path in _SUBJECTS)), "")
    if not where or not found:
        return ""
    return shorten(clip(f"{where} {found.removeprefix('refs/heads/')}", 1000), 300)


def _at(value: JsonValue, *path: str) -> str:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return str(value) if isinstance(value, str | int) else ""


_READERS: Mapping[str, Callable[[Origin, bytes], list[Event]]] = {
    "action_run_failure": building.action_run,
    "action_run_recover": building.action_run,
    "action_run_success": building.action_run,
    "issue_comment": coding.comment,
    "issues": coding.issue,
    "pull_request": coding.pull_request,
    "pull_request_approved": coding.pull_request,
    "pull_request_comment": coding.pull_request,
    "pull_request_rejected": coding.pull_request,
    "push": coding.push,
    "release": coding.release,
    "status": building.status,
    "workflow_run": building.workflow_run,
}
_SUBJECTS = (
    ("pull_request", "number"),
    ("issue", "number"),
    ("workflow_run", "head_branch"),
    ("run", "prettyref"),
    ("release", "tag_name"),
    ("ref",),
    ("sha",),
)
