"""A notification about a group of alerts, as Alertmanager and Grafana send it, normalised."""

from __future__ import annotations

import hashlib
import json

from pydantic import JsonValue

from core.records import Event
from integrations.alertmanager.payloads import Alert, Group
from integrations.text import clip, shorten, tidy, web_address
from integrations.webhooks import digest, in_utc

_MAX_LABELS = 64
_MAX_FINGERPRINTS = 200
_MAX_NAMED = 5


def event_of(source: str, group: Group) -> Event:
    """One event for the group: `alert.firing` while any alert in it fires, and `alert.resolved`
    when none does."""
    name = _label(group, "alertname") or "alert"
    summary = clip(_annotation(group, "summary") or _annotation(group, "message"), 500)
    subject = shorten(clip(group.group_key, len(group.group_key)), 300) or digest(
        group.group_key.encode()
    )
    times = [a.starts_at if a.status == "firing" else a.ends_at for a in group.current]
    return Event(
        id=f"{source}:{key_of(group)}",
        kind=f"alert.{group.status}",
        source=source,
        subject=subject,
        title=clip(f"{name} is {group.status}" + (f": {summary}" if summary else ""), 500),
        attributes={
            "alertname": name,
            "summary": summary,
            "group_key": subject,
            **_described(group),
            **_labels(group),
        },
        occurred_at=max(map(in_utc, times)),
    )


def key_of(group: Group) -> str:
    """The senders give no delivery id, so: a digest of the group and of each alert's state.

    The notification of an unchanged group, repeated after `repeat_interval`, is the same delivery.
    """
    state = [group.receiver, group.group_key, group.status, sorted(map(_alert_state, group.alerts))]
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()


def _described(group: Group) -> dict[str, JsonValue]:
    current = group.current
    return {
        "severity": _label(group, "severity"),
        "service": _label(group, "service") or _label(group, "job"),
        "instance": _label(group, "instance"),
        "description": tidy(_annotation(group, "description"), 2000),
        "runbook_url": web_address(_annotation(group, "runbook_url")),
        "generator_url": web_address(current[0].generator_url, 1000),
        "fingerprint": clip(current[0].fingerprint, 64),
        "fingerprints": [clip(alert.fingerprint, 64) for alert in current[:_MAX_FINGERPRINTS]],
        "count": len(current) + group.truncated_alerts,
        "receiver": clip(group.receiver, 100),
    }


def _labels(group: Group) -> dict[str, JsonValue]:
    common = sorted(group.common_labels.items())[:_MAX_LABELS]
    return {f"label_{clip(name, 100)}": clip(value, 300) for name, value in common}


def _label(group: Group, name: str) -> str:
    """A label that all alerts share, else its values in the first few alerts."""
    if name in group.common_labels:
        return clip(group.common_labels[name], 300)
    values = dict.fromkeys(a.labels[name] for a in group.current if name in a.labels)
    named = ", ".join(list(values)[:_MAX_NAMED])
    return clip(named + (", …" if len(values) > _MAX_NAMED else ""), 300)


def _annotation(group: Group, name: str) -> str:
    """An annotation that all alerts share, else the first alert's."""
    return group.common_annotations.get(name) or group.current[0].annotations.get(name, "")


def _alert_state(alert: Alert) -> list[str]:
    identity = alert.fingerprint or json.dumps(alert.labels, sort_keys=True)
    return [identity, alert.status, alert.starts_at.isoformat(), alert.ends_at.isoformat()]
