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
from integrations.github.payloads import PullRequestEvent, PushEvent, WorkflowRunEvent
from integrations.text import clip
from integrations.webhooks import (
    Identity,
    MalformedDeliveryError,
    SignatureError,
    Webhook,
    hmac_sha256,
    in_utc,
    matches_any,
    read_payload,
    require,
)

_DELIVERY = re.compile(r"[A-Za-z0-9-]{1,100}")
_CONCLUSIONS = {
    "success": "ci.succeeded",
    "failure": "ci.failed",
    "timed_out": "ci.failed",
    "startup_failure": "ci.failed",
}

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
        """See `Webhook.verify`; the key is GitHub's delivery id, which a redelivery keeps."""
        signature = headers.get("x-hub-signature-256")
        if not signature:
            raise SignatureError("the header x-hub-signature-256 is missing")
        if not matches_any(signature, ("sha256=" + hmac_sha256(key, body) for key in self._keys)):
            raise SignatureError("the signature is wrong; compare the webhook's secret")
        return Identity(_delivery(headers))

    def normalise(self, headers: Mapping[str, str], body: bytes) -> list[Event]:
        """`ci.failed` and `ci.succeeded` from completed workflow runs (a cancelled or skipped run
        is neither), `push`, and `pull_request.<action>`; nothing for `ping` and all others."""
        name = require(headers, "x-github-event")
        reader = _READERS.get(name)
        if reader is None:
            _log.info("webhook %s: the event %.60r is taken and means nothing here", self.id, name)
            return []
        return reader(self.id, f"{self.id}:{_delivery(headers)}", body)


def _delivery(headers: Mapping[str, str]) -> str:
    delivery = require(headers, "x-github-delivery")
    if not _DELIVERY.fullmatch(delivery):
        raise MalformedDeliveryError("the header x-github-delivery is not a delivery id")
    return delivery


def _workflow_run(source: str, event_id: str, body: bytes) -> list[Event]:
    payload = read_payload(body, WorkflowRunEvent)
    run = payload.workflow_run
    kind = _CONCLUSIONS.get(run.conclusion or "")
    if payload.action != "completed" or kind is None:
        return []
    repository, workflow = clip(payload.repository.full_name, 200), clip(run.name, 200)
    branch = clip(run.head_branch, 250)
    verb = "failed" if kind == "ci.failed" else "succeeded"
    attributes: dict[str, JsonValue] = {
        "repository": repository,
        "branch": branch,
        "sha": clip(run.head_sha, 64),
        "run_id": run.id,
        "run_attempt": run.run_attempt,
        "run_number": run.run_number,
        "workflow": workflow,
        "url": clip(run.html_url, 500),
        "actor": clip((run.triggering_actor or run.actor or payload.sender).login, 100),
        "conclusion": clip(run.conclusion, 40),
        "commit_title": clip(run.display_title, 300),
        "trigger": clip(run.event, 60),
    }
    return [
        Event(
            id=event_id,
            kind=kind,
            source=source,
            subject=repository,
            title=clip(f"{workflow or 'CI'} {verb} on {branch} of {repository}", 500),
            attributes=attributes,
            occurred_at=in_utc(run.updated_at),
        )
    ]


def _push(source: str, event_id: str, body: bytes) -> list[Event]:
    payload = read_payload(body, PushEvent)
    repository = clip(payload.repository.full_name, 200)
    head = payload.head_commit
    when = payload.repository.pushed_at or (head.timestamp if head else None)
    if when is None:
        raise MalformedDeliveryError("not a PushEvent: it says nowhere when it happened")
    what, _, ref = clip(payload.ref, 250).removeprefix("refs/").partition("/")
    actor = clip(payload.pusher.name or (payload.sender.login if payload.sender else ""), 100)
    verb = "deleted" if payload.deleted else "force-pushed" if payload.forced else "pushed"
    attributes: dict[str, JsonValue] = {
        "repository": repository,
        "ref": clip(payload.ref, 250),
        "branch": ref if what == "heads" else "",
        "tag": ref if what == "tags" else "",
        "sha": clip(payload.after, 64),
        "before": clip(payload.before, 64),
        "actor": actor,
        "commits": len(payload.commits),
        "commit_title": clip((head.message if head else "").partition("\n")[0], 300),
        "forced": payload.forced,
        "deleted": payload.deleted,
        "url": clip(payload.compare, 500),
    }
    return [
        Event(
            id=event_id,
            kind="push",
            source=source,
            subject=repository,
            title=clip(f"{actor} {verb} {ref} of {repository}", 500),
            attributes=attributes,
            occurred_at=in_utc(when),
        )
    ]


def _pull_request(source: str, event_id: str, body: bytes) -> list[Event]:
    payload = read_payload(body, PullRequestEvent)
    pull = payload.pull_request
    repository = clip(payload.repository.full_name, 200)
    attributes: dict[str, JsonValue] = {
        "repository": repository,
        "number": pull.number,
        "pull_title": clip(pull.title, 300),
        "state": clip(pull.state, 40),
        "draft": pull.draft,
        "merged": pull.merged,
        "branch": clip(pull.head.ref, 250),
        "sha": clip(pull.head.sha, 64),
        "base": clip(pull.base.ref, 250),
        "author": clip(pull.user.login if pull.user else "", 100),
        "actor": clip(payload.sender.login, 100),
        "url": clip(pull.html_url, 500),
    }
    return [
        Event(
            id=event_id,
            kind=f"pull_request.{payload.action}",
            source=source,
            subject=f"{repository}#{pull.number}",
            title=clip(f"{repository}#{pull.number} {payload.action}: {pull.title}", 500),
            attributes=attributes,
            occurred_at=in_utc(pull.updated_at),
        )
    ]


_READERS: Mapping[str, Callable[[str, str, bytes], list[Event]]] = {
    "workflow_run": _workflow_run,
    "push": _push,
    "pull_request": _pull_request,
}
