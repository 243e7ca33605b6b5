"""Argo CD's notifications: verifying and normalising, without I/O.

Argo CD signs nothing; its webhook service sends the headers that it is given, so the proof is a
bearer token. What it posts is up to a template, which docs/integrations/argocd.md gives.
https://argo-cd.readthedocs.io/en/stable/operator-manual/notifications/services/webhook/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from pydantic import JsonValue, SecretStr

from core.records import Event
from integrations.argocd.payloads import Notification
from integrations.text import clip, tidy
from integrations.webhooks import (
    Identity,
    MalformedDeliveryError,
    Webhook,
    digest,
    in_utc,
    read_payload,
    require_bearer,
)

_PHASES = {"Succeeded": "sync.succeeded", "Failed": "sync.failed", "Error": "sync.failed"}
_HEALTH = {"Healthy": "health.healthy", "Degraded": "health.degraded"}


class ArgoCDWebhook(Webhook):
    """Authenticated by a bearer token.

    Args:
        tokens: those that are valid; two while one is being replaced.
    """

    def __init__(self, webhook_id: str, tokens: tuple[SecretStr, ...], max_bytes: int) -> None:
        self.id = webhook_id
        self.max_bytes = max_bytes
        self._tokens = tokens

    def verify(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Identity:  # noqa: ARG002
        """See `Webhook.verify`. The order of one application's notifications is kept."""
        require_bearer(headers, self._tokens)
        told = read_payload(body, Notification)
        return Identity(_key(told), digest(_name(told).encode()))

    def normalise(self, headers: Mapping[str, str], body: bytes) -> list[Event]:  # noqa: ARG002
        """`sync.succeeded`, `sync.failed`, `health.degraded`, `health.healthy`; nothing for a dry
        run, nor while something is in progress.

        Attributes: `application`, `project`, `environment` (the destination's cluster),
        `namespace` (where it deploys to), `service` (the application's name), `repository`,
        `branch` (what it follows), `sha`, `actor`, `phase`, `sync`, `health`, `description`,
        `url`.
        """
        told = read_payload(body, Notification)
        state = told.operation_state
        if told.event == "sync":
            kind = _PHASES.get(state.phase) if state else None
            if state is None or kind is None or state.operation.is_dry:
                return []
            message, when = state.message, state.finished_at or state.started_at
            title = f"{_name(told)}: sync {'failed' if kind == 'sync.failed' else 'succeeded'}"
        else:
            kind = _HEALTH.get(told.health.status)
            if kind is None:
                return []
            message, when = told.health.message, told.health.last_transition_time
            title = f"{_name(told)} is {told.health.status.lower()}"
        when = when or told.reconciled_at
        if when is None:
            raise MalformedDeliveryError("not a Notification: it says nowhere when it happened")
        description = tidy(message, 2000)
        return [
            Event(
                id=f"{self.id}:{_key(told)}",
                kind=kind,
                source=self.id,
                subject=clip(_name(told), 300),
                title=clip(title + (f": {description}" if description else ""), 500),
                attributes={**_attributes(told), "description": description},
                occurred_at=in_utc(when),
            )
        ]


def _attributes(told: Notification) -> dict[str, JsonValue]:
    state, source, to = told.operation_state, told.spec.first_source, told.spec.destination
    by = state.operation.initiated_by if state else None
    sha = (state.sync_result.revision if state else "") or told.sync.revision
    return {
        "application": clip(told.metadata.name, 253),
        "service": clip(told.metadata.name, 253),
        "project": clip(told.spec.project, 253),
        "environment": clip(to.name or to.server, 300),
        "namespace": clip(to.namespace, 253),
        "repository": clip(source.repo_url, 300),
        "branch": clip(source.target_revision, 250),
        "sha": clip(sha, 64),
        "actor": clip(by.username or ("argocd" if by.automated else ""), 100) if by else "",
        "phase": clip(state.phase, 40) if state else "",
        "sync": clip(told.sync.status, 40),
        "health": clip(told.health.status, 40),
        "url": clip(told.url, 500) if told.url.startswith(("https://", "http://")) else "",
    }


def _name(told: Notification) -> str:
    return "/".join(part for part in (told.metadata.namespace, told.metadata.name) if part)


def _key(told: Notification) -> str:
    """There is no delivery id, so: a digest of what happened to which application, and when."""
    state = told.operation_state
    what: list[str | None] = [_name(told), told.event]
    if told.event == "sync" and state is not None:
        what += [state.phase, _iso(state.started_at), _iso(state.finished_at)]
    else:
        changed = told.health.last_transition_time or told.reconciled_at
        what += [told.health.status, _iso(changed)]
    return digest(json.dumps(what).encode())


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
