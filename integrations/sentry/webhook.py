"""Sentry's deliveries: verifying and normalising, without I/O.

https://docs.sentry.io/organization/integrations/integration-platform/webhooks/#headers

PyPI's `sentry-sdk` reports errors to Sentry and has nothing for its webhooks.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import JsonValue, SecretStr

from core.records import Event
from integrations.sentry.payloads import Delivery, ErrorEvent, Issue, MetricAlert
from integrations.text import clip, tidy, web_address
from integrations.webhooks import (
    Identity,
    MalformedDeliveryError,
    SignatureError,
    Webhook,
    digest,
    hmac_sha256,
    matches_any,
    read_payload,
    require_fresh,
)

_SIGNATURE, _TIMESTAMP = "sentry-hook-signature", "sentry-hook-timestamp"
_NO_TIME = f"the header {_TIMESTAMP} is missing, or is no number of seconds"
_LATEST = 253_402_300_799  # the year 9999
_ISSUE_KINDS = {
    "created": "error.new",
    "resolved": "error.resolved",
    "unresolved": "error.reopened",
    "assigned": "error.assigned",
    "archived": "error.ignored",
    "ignored": "error.ignored",
}
_METRIC_KINDS = {
    "critical": "alert.firing",
    "warning": "alert.firing",
    "resolved": "alert.resolved",
}

_log = logging.getLogger(__name__)


class SentryWebhook(Webhook):
    """Authenticated by `Sentry-Hook-Signature`.

    What a delivery is about is read from its body: of all that Sentry sends only that is signed.

    Args:
        keys: the integration's client secrets that are valid; two while one is being replaced.
    """

    def __init__(self, webhook_id: str, keys: tuple[SecretStr, ...], max_bytes: int) -> None:
        self.id = webhook_id
        self.max_bytes = max_bytes
        self._keys = keys

    def verify(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Identity:
        """See `Webhook.verify`. The order of an issue's deliveries is kept.

        The key is a digest of the body, because `Request-ID` is not signed. Nor is the time, so
        that holding it to our clock stops only who sends an old delivery again unchanged.
        """
        signature = headers.get(_SIGNATURE)
        if not signature:
            raise SignatureError(f"the header {_SIGNATURE} is missing")
        if not matches_any(signature, (hmac_sha256(key, body) for key in self._keys)):
            raise SignatureError("the signature is wrong; compare the client secret")
        sent = _moment(headers)
        if sent is None:
            raise SignatureError(_NO_TIME)
        require_fresh(sent, at)
        return Identity(digest(body), _subject(read_payload(body, Delivery)))

    def normalise(self, headers: Mapping[str, str], body: bytes) -> list[Event]:
        """Of issues `error.new`, `error.resolved`, `error.reopened`, `error.assigned` and
        `error.ignored`; of single errors `error.occurred`; of issue alerts `alert.firing`; of
        metric alerts `alert.firing` and `alert.resolved`; nothing for all else."""
        delivery = read_payload(body, Delivery)
        data = delivery.data
        if data.metric_alert:
            kind = _METRIC_KINDS.get(delivery.action)
            title, attributes = _of_metric(delivery, data.metric_alert)
        elif data.event:
            kind = "alert.firing" if delivery.action == "triggered" else None
            rule = clip(data.triggered_rule, 200)
            title = clip(f"{rule or 'An issue alert'} is firing: {data.event.title}", 500)
            attributes = {**_of_error(data.event), "alertname": rule}
        elif data.error:
            kind = "error.occurred" if delivery.action == "created" else None
            title, attributes = clip(data.error.title, 500), _of_error(data.error)
        elif data.issue:
            kind = _ISSUE_KINDS.get(delivery.action)
            verb = (kind or "").removeprefix("error.")
            title = clip(f"{data.issue.short_id or 'An issue'} is {verb}: {data.issue.title}", 500)
            attributes = _of_issue(data.issue)
        else:
            kind = None
        if kind is None:
            _log.info(
                "webhook %s: the action %.60r of %.60r is taken and means nothing here",
                self.id,
                delivery.action,
                headers.get("sentry-hook-resource", ""),
            )
            return []
        sent = _moment(headers)
        if sent is None:
            raise MalformedDeliveryError(_NO_TIME)
        actor = clip(delivery.actor.name if delivery.actor else "", 100)
        return [
            Event(
                id=f"{self.id}:{digest(body)}",
                kind=kind,
                source=self.id,
                subject=_subject(delivery),
                title=title or "An error",
                attributes={**attributes, "actor": actor},
                occurred_at=sent,
            )
        ]


def _moment(headers: Mapping[str, str]) -> datetime | None:
    """When it was sent; None where no header says so. Bodies do not say when an issue changed."""
    timestamp = headers.get(_TIMESTAMP, "")
    digits = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12
    if not (digits and int(timestamp) <= _LATEST):
        return None
    return datetime.fromtimestamp(int(timestamp), UTC)


def _subject(delivery: Delivery) -> str:
    """The issue or the metric alert; empty where it is about neither."""
    data = delivery.data
    if data.metric_alert:
        return f"metric alert {clip(data.metric_alert.id, 100)}"
    about = data.event or data.error
    issue = about.issue_id if about else data.issue.id if data.issue else ""
    return f"issue {clip(issue, 100)}" if issue else ""


def _of_issue(issue: Issue) -> dict[str, JsonValue]:
    project = issue.project
    return {
        "issue_id": clip(issue.id, 100),
        "issue": clip(issue.short_id, 100),
        "summary": clip(issue.title, 500),
        "culprit": clip(issue.culprit, 300),
        "severity": clip(issue.level, 40),
        "status": clip(issue.status, 40),
        "substatus": clip(issue.substatus, 60),
        "priority": clip(issue.priority, 40),
        "category": clip(issue.category, 60),
        "project": clip((project.slug or project.name) if project else "", 200),
        "platform": clip(issue.platform, 60),
        "count": clip(issue.count, 20),
        "users": issue.user_count,
        "url": web_address(issue.web_url),
    }


def _of_error(error: ErrorEvent) -> dict[str, JsonValue]:
    return {
        "issue_id": clip(error.issue_id, 100),
        "event_id": clip(error.event_id, 64),
        "summary": clip(error.title, 500),
        "culprit": clip(error.culprit, 300),
        "severity": clip(error.level, 40),
        "environment": clip(error.tag("environment"), 100),
        "release": clip(error.release or error.tag("release"), 200),
        "project": clip(error.project_slug, 200),
        "platform": clip(error.platform, 60),
        "url": web_address(error.web_url),
    }


def _of_metric(delivery: Delivery, alert: MetricAlert) -> tuple[str, dict[str, JsonValue]]:
    data, rule = delivery.data, alert.alert_rule
    title = clip(data.description_title or f"{rule.name}: {delivery.action}", 500)
    return title, {
        "alertname": clip(rule.name, 200),
        "summary": clip(data.description_title, 500),
        "description": tidy(data.description_text, 2000),
        "severity": clip(delivery.action, 40),
        "environment": clip(rule.environment, 100),
        "project": clip(", ".join(alert.projects[:10]), 200),
        "query": clip(rule.query, 500),
        "aggregate": clip(rule.aggregate, 200),
        "url": web_address(data.web_url),
    }
