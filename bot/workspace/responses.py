"""Answers to commands and interactions: with the acknowledgement, or over a `response_url`.

https://docs.slack.dev/interactivity/handling-user-interaction#message_responses
"""

from __future__ import annotations

import secrets
from itertools import islice
from typing import Any

from bot.workspace.block_check import checked_blocks
from bot.workspace.directory import Directory
from bot.workspace.errors import MethodError
from bot.workspace.files import Address
from bot.workspace.ids import Clock
from bot.workspace.records import HookRecord, Json
from bot.workspace.storage import Storage
from bot.workspace.timeline import Timeline

HOOK_USES = 5
HOOK_SECONDS = 1_800.0


class Responses:
    """Hands out `response_url`s and does what is posted to them."""

    def __init__(
        self,
        storage: Storage,
        directory: Directory,
        timeline: Timeline,
        address: Address,
        clock: Clock,
    ) -> None:
        self._storage = storage
        self._directory = directory
        self._timeline = timeline
        self._address = address
        self._clock = clock
        stored = storage.all("hook", HookRecord).values()
        self._hooks = {h.key: h for h in sorted(stored, key=lambda hook: hook.expires_at)}

    def issue(
        self, channel: str, user: str, message_ts: str | None = None, thread_ts: str | None = None
    ) -> tuple[str, HookRecord]:
        """Makes a `response_url` for something that a user did on a message or in a channel."""
        hook = HookRecord(
            key=secrets.token_urlsafe(24),
            channel=channel,
            user=user,
            message_ts=message_ts,
            thread_ts=thread_ts,
            uses_left=HOOK_USES,
            expires_at=self._clock() + HOOK_SECONDS,
        )
        self._forget_old()
        self._put(hook)
        return f"{self._address.base_url}/hooks/{hook.key}", hook

    def use(self, key: str, body: Json) -> None:
        """Does what was posted to a `response_url`.

        Raises:
            MethodError: `expired_url`, `used_url`, or why the message is refused.
        """
        hook = self._hooks.get(key)
        if hook is None or hook.expires_at < self._clock():
            raise MethodError("expired_url")
        if hook.uses_left <= 0:
            raise MethodError("used_url")
        self._put(hook.model_copy(update={"uses_left": hook.uses_left - 1}))
        self.respond(hook, body)

    def expire(self) -> None:
        """Lets all `response_url`s run out now."""
        for hook in list(self._hooks.values()):
            self._put(hook.model_copy(update={"expires_at": 0.0}))

    def _put(self, hook: HookRecord) -> None:
        self._hooks[hook.key] = hook
        self._storage.put("hook", hook.key, hook)

    def _forget_old(self) -> None:
        # They are issued in order and live equally long, so the old ones come first.
        for key, hook in list(islice(self._hooks.items(), 20)):
            if hook.expires_at >= self._clock():
                return
            del self._hooks[key]
            self._storage.delete("hook", key)

    def respond(self, hook: HookRecord, body: Json) -> None:
        """Posts, replaces or deletes a message as a response says.

        Raises:
            MethodError: `no_text`, `invalid_blocks`, …
        """
        original = (
            self._timeline.storage.message(hook.channel, hook.message_ts)
            if hook.message_ts
            else None
        )
        if _is_true(body.get("delete_original")):
            if original is not None:
                self._timeline.delete(original)
            return
        content = message_content(body)
        if _is_true(body.get("replace_original")) and original is not None:
            self._timeline.change(original, **content)
            return
        ephemeral = body.get("response_type") != "in_channel"
        thread_ts = body.get("thread_ts") or hook.thread_ts
        self._timeline.post(
            self._directory.channel(hook.channel),
            self._directory.bot_user,
            content.pop("text"),
            bot_id=self._directory.bot.bot_id,
            for_user=hook.user if ephemeral else None,
            thread_ts=self._timeline.root(hook.channel, str(thread_ts)) if thread_ts else None,
            **content,
        )


def message_content(body: Json) -> dict[str, Any]:
    """Checks text, blocks and attachments of a message, as fields of a `MessageRecord`.

    Raises:
        MethodError: `no_text`, `invalid_blocks`, `invalid_attachments`, …
    """
    text = str(body.get("text") or "")[:40_000]
    blocks = checked_blocks(body.get("blocks") or [], "message")
    attachments = body.get("attachments") or []
    if not isinstance(attachments, list) or not all(isinstance(a, dict) for a in attachments):
        raise MethodError("invalid_attachments")
    if len(attachments) > 100:
        raise MethodError("too_many_attachments")
    attachments = [
        {**item, "id": index + 1, "blocks": checked_blocks(item["blocks"], "message")}
        if item.get("blocks")
        else {**item, "id": index + 1}
        for index, item in enumerate(attachments)
    ]
    if not text and not blocks and not attachments:
        raise MethodError("no_text")
    return {"text": text, "blocks": tuple(blocks), "attachments": tuple(attachments)}


def _is_true(value: object) -> bool:
    return value is True or value in ("true", "1")
