"""Pushes to Git servers of the team's own, told by a server-side hook; without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pydantic import JsonValue

from core.records import Event
from integrations.git.payloads import PushMessage
from integrations.standardwebhooks.signature import ID, verify_message
from integrations.text import clip, shorten
from integrations.webhooks import DEFAULT_MAX_BYTES, Identity, Webhook, in_utc, read_payload


class GitWebhook(Webhook):
    """Authenticated as https://www.standardwebhooks.com says.

    Args:
        keys: those that are valid; two while one is being replaced.
    """

    max_bytes = DEFAULT_MAX_BYTES

    def __init__(self, webhook_id: str, keys: tuple[bytes, ...]) -> None:
        self.id = webhook_id
        self._keys = keys

    def verify(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Identity:
        """See `Webhook.verify`. The order of one ref's pushes is kept."""
        key = verify_message(headers, body, self._keys, at)
        push = read_payload(body, PushMessage).data
        return Identity(key, shorten(clip(f"{push.repository} {push.ref}", 800), 300))

    def normalise(self, headers: Mapping[str, str], body: bytes) -> list[Event]:
        """`push`, with the attributes that GitHub's has."""
        message = read_payload(body, PushMessage)
        push = message.data
        deleted, created = not push.after.strip("0"), not push.before.strip("0")
        what, _, name = clip(push.ref, 250).removeprefix("refs/").partition("/")
        actor, repository = clip(push.actor, 100), clip(push.repository, 200)
        verb = "deleted" if deleted else "force-pushed" if push.forced else "pushed"
        attributes: dict[str, JsonValue] = {
            "repository": repository,
            "ref": clip(push.ref, 250),
            "branch": name if what == "heads" else "",
            "tag": name if what == "tags" else "",
            "sha": push.after,
            "before": push.before,
            "actor": actor,
            "commits": len(push.commits),
            "commit_title": clip(push.commits[0].title, 300) if push.commits else "",
            "created": created,
            "forced": push.forced,
            "deleted": deleted,
        }
        return [
            Event(
                id=f"{self.id}:{headers[ID]}"[:200],
                kind="push",
                source=self.id,
                subject=repository,
                title=clip(f"{actor or 'somebody'} {verb} {name} of {repository}", 500),
                attributes=attributes,
                occurred_at=in_utc(message.timestamp),
            )
        ]
