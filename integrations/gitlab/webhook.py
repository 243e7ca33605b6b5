"""GitLab's deliveries: verifying and normalising, without I/O.

https://docs.gitlab.com/user/project/integrations/webhooks/

GitLab can prove itself in two ways. A *signing token* (`whsec_…`, on newer servers) signs the body
and the time as Standard Webhooks says; the older *secret token* is sent as it is in
`X-Gitlab-Token`, and proves neither.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from pydantic import JsonValue, SecretStr

from core.records import Event
from integrations.gitlab import building, coding
from integrations.gitlab.happening import Origin
from integrations.gitlab.payloads import Delivery
from integrations.standardwebhooks import signature
from integrations.text import clip, shorten
from integrations.webhooks import (
    Identity,
    MalformedDeliveryError,
    SignatureError,
    Webhook,
    digest,
    matches_any,
    read_json,
    read_payload,
)

_KEY = re.compile(r"[\x21-\x7e]{1,150}")
_SECONDS = re.compile(r"[0-9]{1,11}")

_log = logging.getLogger(__name__)


class GitLabWebhook(Webhook):
    """Authenticated by a signature where there is a signing key, else by the secret token.

    Args:
        tokens: secret tokens that are valid; two while one is being replaced.
        keys: signing keys that are valid. Where there are tokens, too, a delivery without a
            signature may still come with one of them: that is how GitLab advises to change over.
    """

    secret_headers = frozenset({"x-gitlab-token"})

    def __init__(
        self,
        webhook_id: str,
        tokens: tuple[SecretStr, ...],
        keys: tuple[bytes, ...],
        max_bytes: int,
    ) -> None:
        self.id = webhook_id
        self.max_bytes = max_bytes
        self._tokens = tokens
        self._keys = keys

    def verify(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Identity:
        """See `Webhook.verify`.

        The key is GitLab's `Idempotency-Key`, which a second try keeps; servers before 17.4 send
        none, and the event and body stand for it. The order is kept for each merge request or
        issue, branch or tag, and environment.
        """
        if self._signed(headers):
            key = signature.verify_message(headers, body, self._keys, at)
        else:
            token = headers.get("x-gitlab-token")
            if not token:
                raise SignatureError("the header x-gitlab-token is missing")
            if not matches_any(token, (value.get_secret_value() for value in self._tokens)):
                raise SignatureError("the token is wrong; compare the webhook's secret token")
            key = _key(headers, body)
        return Identity(key, _subject(body))

    def normalise(self, headers: Mapping[str, str], body: bytes) -> list[Event]:
        """What the reader of its `object_kind` in `building` or `coding` says; nothing for all
        others."""
        kind = read_payload(body, Delivery).object_kind
        reader = _READERS.get(kind)
        if reader is None:
            _log.info("webhook %s: the event %.60r is taken and means nothing here", self.id, kind)
            return []
        if self._signed(headers):
            return reader(Origin(self.id, headers.get(signature.ID, ""), _sent(headers)), body)
        return reader(Origin(self.id, _key(headers, body), None), body)

    def _signed(self, headers: Mapping[str, str]) -> bool:
        """Whether it is the signature that counts."""
        return bool(self._keys) and (not self._tokens or bool(headers.get(signature.SIGNATURE)))


def _key(headers: Mapping[str, str], body: bytes) -> str:
    key = headers.get("idempotency-key")
    if key is None:
        event = headers.get("x-gitlab-event-uuid", "").encode("utf-8", "surrogateescape")
        return digest(event + b"." + body)
    if not _KEY.fullmatch(key):
        raise MalformedDeliveryError("the header idempotency-key is not a delivery's key")
    return key


def _sent(headers: Mapping[str, str]) -> datetime | None:
    """When a signed delivery was sent; `verify` has checked it."""
    seconds = headers.get(signature.TIMESTAMP, "")
    return datetime.fromtimestamp(int(seconds), UTC) if _SECONDS.fullmatch(seconds) else None


def _subject(body: bytes) -> str:
    """What the deliveries are ordered by; nothing where the body does not say it."""
    try:
        payload = read_json(body)
    except MalformedDeliveryError:
        return ""
    project = _at(payload, ("project", "path_with_namespace"))
    for area, *path in _SUBJECTS.get(_at(payload, ("object_kind",)), ()):
        found = _at(payload, path)
        if project and found:
            name = found.removeprefix("refs/heads/")
            return shorten(clip(f"{project} {area}{name}", 1000), 300)
    return ""


def _at(value: JsonValue, path: Iterable[str]) -> str:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return str(value) if isinstance(value, str | int) else ""


_READERS: Mapping[str, Callable[[Origin, bytes], list[Event]]] = {
    "build": building.job,
    "deployment": building.deployment,
    "issue": coding.issue,
    "merge_request": coding.merge_request,
    "note": coding.note,
    "pipeline": building.pipeline,
    "push": coding.push,
    "release": coding.release,
    "tag_push": coding.push,
    "work_item": coding.issue,
}
_BRANCH, _ISSUE, _MERGE_REQUEST, _ENVIRONMENT = "", "#", "!", "environment "
_SUBJECTS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "build": ((_BRANCH, "ref"),),
    "deployment": ((_ENVIRONMENT, "environment"),),
    "issue": ((_ISSUE, "object_attributes", "iid"),),
    "merge_request": ((_MERGE_REQUEST, "object_attributes", "iid"),),
    "note": ((_MERGE_REQUEST, "merge_request", "iid"), (_ISSUE, "issue", "iid")),
    "pipeline": ((_BRANCH, "object_attributes", "ref"),),
    "push": ((_BRANCH, "ref"),),
    "release": ((_BRANCH, "tag"),),
    "tag_push": ((_BRANCH, "ref"),),
    "work_item": ((_ISSUE, "object_attributes", "iid"),),
}
